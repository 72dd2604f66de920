"""Logs written honestly and otherwise, while the real observer watches: for `python -m bench forged`."""
