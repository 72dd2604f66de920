"""Slurm as the audit reads it: accounting, host lists, TRES, intents."""
