"""Entry of the sampler when the prolog starts it: puts our package on the path and runs it as a program."""

import sys

_LIB = __file__.rsplit("/", 3)[0]

if __name__ == "__main__":
    sys.path.insert(0, _LIB)
    # By its name, as a program of its own: hooks import nothing of the sampler's. `runpy` would cost it 1 MB.
    sys.exit(__import__("slurm_guard.sampler.__main__", fromlist=["main"]).main())
