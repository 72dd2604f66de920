"""Benchmarks: medians with their spread beside a reference in the same run; `python -m bench NAME`."""
