"""The hooks that slurmd runs: bounded, silent, exit 0. Stdlib only."""
