"""Entry of the sampler when the prolog starts it: puts our package on the path and runs it as a program."""

import runpy
import sys

_LIB = __file__.rsplit("/", 3)[0]

if __name__ == "__main__":
    sys.path.insert(0, _LIB)
    runpy.run_module("slurm_guard.sampler", run_name="__main__", alter_sys=True)
