"""A node's devices, routes, policy rules, packet filters and name servers in two snapshots, held together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

NEW, GONE, CHANGED = "new", "gone", "changed"
DEVICE, ROUTE, RULE, FILTER, LEGACY = "device", "route", "policy rule", "packet filter", "iptables table"
NAMES = "name server"
# Kinds of devices that lead into another network, as the kernel names them. Documented.
_KINDS = frozenset(
    {
        "tun",
        "tap",
        "wireguard",
        "ovpn",
        "ppp",
        "ipip",
        "sit",
        "gre",
        "gretap",
        "ip6gre",
        "ip6gretap",
        "ip6tnl",
    }
    | {"vti", "vti6", "xfrm", "vxlan", "geneve", "gtp", "fou", "amt", "bareudp"}
)
# What the kernel itself makes in every network namespace when it loads the module of a kind: no tunnel leads
# through them (net/ipv4/ipip.c, sit.c, ip_gre.c, ip_vti.c; net/ipv6/ip6_tunnel.c, ip6_gre.c, ip6_vti.c).
_BY_MODULE = {
    "tunl0": "ipip",
    "sit0": "sit",
    "gre0": "gre",
    "gretap0": "gretap",
    "erspan0": "erspan",
    "ip_vti0": "vti",
    "ip6tnl0": "ip6tnl",
    "ip6gre0": "ip6gre",
    "ip6_vti0": "vti6",
}
# Where an older hook told no kinds: names that the kernel and the programs give such devices by default.
# Documented; a name can be chosen.
_DEVICES = ("tun", "tap", "wg", "utun", "ppp", "zt", "tailscale", "sit", "gre", "vxlan", "ipsec", "nebula")
# Half of the world or more: what VPN programs set instead of a default route.
_WIDE = frozenset({"0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1", "2000::/3"})
_NOWHERE = frozenset({"blackhole", "unreachable", "prohibit"})
_LINK_LOCAL = "fe80::/64"  # of every device that comes, a container's as well; leads nowhere else


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the prolog's look and the epilog's, which was at `at`."""

    node: str
    kind: str  # listener, connection (of the owner's); the others are the node's
    what: str
    at: float
    how: str  # new, gone, changed
    telling: bool = False  # alters where the node's packets go, or whether they do
    n: int = 1  # so many of the kind and sort: the last of a kind stands for those that are not listed
    n_beside: int = 0  # other runs that were on the node meanwhile

    @property
    def shown(self) -> str:
        """The kind and what it is, in words."""
        if self.n > 1:
            return f"{self.n:,} more {self.kind}s"
        if self.kind != ROUTE:
            return f"{self.kind} {self.what}"
        first, _, rest = self.what.partition(" ")
        if first in _NOWHERE:
            return f"{first} route {rest}"
        return f"{'default ' if first.endswith('/0') else ''}route {self.what}"


def mixed(changes: Iterable[Change]) -> list[Change]:
    """The first of each kind before the second of any: many of one hide none of another. Those that stand
    for many come last."""
    seen: dict[str, int] = {}
    ranked = []
    for change in changes:
        rank = seen[change.kind] = seen.get(change.kind, -1) + 1
        ranked.append((change.n > 1, rank, change))
    return [change for _, _, change in sorted(ranked, key=lambda item: item[:2])]


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """The telling ones first; `node` and `at` are empty. A part that is not whole says nothing."""
    why = {*_dict(before, "why"), *_dict(after, "why")}
    found = [*_devices(before, after, why), *_routes(before, after, why)]
    for kind, part in ((RULE, "rules"), (NAMES, "nameservers")):
        if part not in why and isinstance(before.get(part), list) and isinstance(after.get(part), list):
            found += _moved(kind, _texts(before, part), _texts(after, part), telling=kind == RULE)
    old, new = before.get("firewall"), after.get("firewall")
    if isinstance(old, dict) and isinstance(new, dict):
        found += _filters(old, new, why)
    return sorted(found, key=lambda c: (not c.telling, c.how != NEW))


def _change(kind: str, what: str, how: str, *, telling: bool) -> Change:
    return Change("", kind, what, 0.0, how, telling)


def _moved(kind: str, old: set[str], new: set[str], *, telling: bool) -> list[Change]:
    return [
        _change(kind, what, how, telling=telling)
        for how, some in ((NEW, new - old), (GONE, old - new))
        for what in sorted(some)
    ]


def _devices(before: dict[str, Any], after: dict[str, Any], why: set[str]) -> Iterator[Change]:
    """Those that lead into another network, by their kind where it was told, else by their name: new ones,
    ones that are gone, and names that are another device's now."""
    if "interfaces" in why:
        return
    here, there = _texts(before, "interfaces"), _texts(after, "interfaces")
    for names, state, how in ((there - here, after, NEW), (here - there, before, GONE)):
        for name in sorted(names):
            kind = _kind(state, name, why)
            if _leads_out(name, kind):
                yield _change(DEVICE, name if kind is None else f"{name} ({kind})", how, telling=how == NEW)
    for name in sorted(here & there):
        old, new = _kind(before, name, why), _kind(after, name, why)
        if old is not None and new is not None and old != new and _KINDS & {old, new}:
            words = f"{name} ({old or 'hardware'}, then {new or 'hardware'})"
            yield _change(DEVICE, words, CHANGED, telling=new in _KINDS)


def _kind(state: dict[str, Any], name: str, why: set[str]) -> str | None:
    """Empty: hardware; null: an older hook told none, or not of all."""
    told = isinstance(state.get("kinds"), dict) and "kinds" not in why
    return str(_dict(state, "kinds").get(name, "")) if told else None


def _leads_out(name: str, kind: str | None) -> bool:
    if kind is not None:
        return kind in _KINDS and _BY_MODULE.get(name) != kind
    known = name.rstrip("0123456789") in _DEVICES or name.startswith(("zt", "tailscale", "nebula", "wg"))
    return known and name not in _BY_MODULE


def _routes(before: dict[str, Any], after: dict[str, Any], why: set[str]) -> Iterator[Change]:
    """Snapshots of an older hook word routes in another way: these are compared among themselves alone."""
    if "routes" in why or ("rules" in before) != ("rules" in after):
        return
    for change in _moved(ROUTE, _texts(before, "routes"), _texts(after, "routes"), telling=False):
        words = change.what.split(" ")
        place = words[1] if words[0] in _NOWHERE and words[1:] else words[0]
        if place != _LINK_LOCAL:
            telling = place in _WIDE or words[0] in _NOWHERE
            yield _change(ROUTE, change.what, change.how, telling=telling)


def _filters(old: dict[str, Any], new: dict[str, Any], why: set[str]) -> Iterator[Change]:
    if isinstance(old.get("legacy"), list) and isinstance(new.get("legacy"), list):
        yield from _moved(LEGACY, _texts(old, "legacy"), _texts(new, "legacy"), telling=False)
    if "firewall" in why:
        return
    if "tables" not in why:
        asleep = [{t for t in _texts(side, "tables") if t.endswith(" (dormant)")} for side in (old, new)]
        yield from _moved(FILTER, *asleep, telling=True)
    before, after = _chains(old), _chains(new)
    for name in sorted({*before, *after}):
        here, there = before.get(name), after.get(name)
        if here is None or there is None:
            if "chains" not in why:
                chain = there or here or {}
                how = NEW if here is None else GONE
                yield _change(FILTER, f"{name} ({_said(chain)})", how, telling=bool(chain.get("hook")))
        elif words := _between(here, there):
            yield _change(FILTER, f"{name} ({words})", CHANGED, telling=bool(there.get("hook")))


def _chains(wall: dict[str, Any]) -> dict[str, dict[str, Any]]:
    rows = wall.get("chains")
    found = rows if isinstance(rows, list) else []
    return {f"{row.get('table')} {row.get('chain')}": row for row in found if isinstance(row, dict)}


def _said(chain: dict[str, Any]) -> str:
    n_rules = chain.get("n_rules")
    parts = [f"at {chain['hook']}" if chain.get("hook") else "", _policy(chain), _counted(n_rules)]
    return ", ".join(part for part in parts if part)


def _policy(chain: dict[str, Any]) -> str:
    return f"policy {chain['policy']}" if chain.get("policy") else ""


def _counted(n_rules: object) -> str:
    return "rules not read" if n_rules is None else f"{n_rules} rule{'' if n_rules == 1 else 's'}"


def _between(old: dict[str, Any], new: dict[str, Any]) -> str:
    """In words; empty: the same, or not known of both."""
    words = [
        f"{name} {old.get(name) or 'none'}, then {new.get(name) or 'none'}"
        for name in ("hook", "policy")
        if old.get(name) != new.get(name)
    ]
    if None not in (old.get("digest"), new.get("digest")) and old.get("digest") != new.get("digest"):
        n_old, n_new = old.get("n_rules"), new.get("n_rules")
        words.append(
            f"{_counted(n_old)}, then {n_new}" if n_old != n_new else f"{_counted(n_old)}, other ones"
        )
    return "; ".join(words)


def _texts(state: dict[str, Any], part: str) -> set[str]:
    rows = state.get(part)
    return {str(x) for x in rows} if isinstance(rows, Iterable) and not isinstance(rows, str) else set()


def _dict(state: dict[str, Any], part: str) -> dict[str, Any]:
    value = state.get(part)
    return value if isinstance(value, dict) else {}
