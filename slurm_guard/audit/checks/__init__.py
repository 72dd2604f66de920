"""The checks, one file each, listed in audit/registry.py."""
