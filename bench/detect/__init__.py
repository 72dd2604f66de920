"""Parts of `python -m bench detection`: how often the audit is right, on whom, and how far its figures hold."""
