"""The core of the ledger three times: with the audit's own functions, as SQL and as pandas."""
