"""Measurements on a real GPU, for docs/gpu-measurements.md: `python -m bench.gpu --out FOLDER`."""
