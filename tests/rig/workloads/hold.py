"""Runs one kind of work on the job's GPUs for a while and says nothing: co-tenants, leftovers, fillers."""

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from gpu import Gpu  # type: ignore[import-not-found]  # in this folder: a job knows no package of ours


def main() -> None:
    """Hold `--demand` of `--kind` for `--seconds`, after `--after`; without arguments $RIG_HOLD has them.

    The audit reads command lines: a night leaves its numbers out of them.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--after", type=float, default=0.0, help="seconds before it begins")
    parser.add_argument("--kind", default="hash")
    parser.add_argument("--demand", type=float, default=0.3)
    parser.add_argument("--mem-mib", type=int, default=3000)
    parser.add_argument("--gpus", help="NVML indices, comma-separated; default: the job's")
    args = parser.parse_args(sys.argv[1:] or shlex.split(os.environ.get("RIG_HOLD", "")))
    time.sleep(args.after)
    gpu = Gpu([int(part) for part in args.gpus.split(",")] if args.gpus else None)
    gpu.hold(args.kind, args.demand, args.mem_mib)
    time.sleep(args.seconds)
    gpu.release()


if __name__ == "__main__":
    main()
