"""Debian and RPM packages: one tree at /opt/slurm-guard, of which a node takes the half without Polars."""
