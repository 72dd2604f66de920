"""The audit: facts, ledger, cost, checks, verdicts. No I/O, no clock."""
