"""Which night is looked at. Imports nothing, so that the peers' environment can read it."""

WINDOW = (1_760_400_000.0, 1_760_486_400.0)  # the night of `slurm-guard simulate`
