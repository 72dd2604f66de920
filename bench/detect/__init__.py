"""Parts of `python -m bench detection`: how often the audit is right, and how far its figures hold."""
