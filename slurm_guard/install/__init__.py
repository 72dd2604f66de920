"""Put slurm-guard on a machine and take it off: a plan first, then a journalled change that can be undone."""
