"""How a night that is too large for one look is audited: part by part, in several processes."""
