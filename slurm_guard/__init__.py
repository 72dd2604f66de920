"""slurm-guard: which GPU-hours are explained by logged training progress, and which are not."""

__version__ = "0.1.0"
