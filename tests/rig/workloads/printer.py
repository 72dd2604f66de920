"""Prints plausible training steps from a timer while its GPU does something else, or nothing."""

import argparse
import math
import os
import random
import shlex
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from gpu import Gpu  # type: ignore[import-not-found]  # in this folder: a job knows no package of ours
from train import megatron  # type: ignore[import-not-found]


def main() -> None:
    """A line every `--step` seconds with `--jitter` relative scatter; the GPU runs `--kind` or stays idle.

    $RIG_HOLD goes before the arguments: the audit reads command lines, and a night leaves its numbers out.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--step", type=float, default=1.0, help="seconds between lines")
    parser.add_argument("--jitter", type=float, default=0.0, help="relative scatter of the timer")
    parser.add_argument("--kind", default="hash", help="what the GPU does; `none`: nothing")
    parser.add_argument("--demand", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args([*shlex.split(os.environ.get("RIG_HOLD", "")), *sys.argv[1:]])
    draw = random.Random(args.seed)
    gpu = None
    if args.kind != "none":
        gpu = Gpu()
        gpu.hold(args.kind, args.demand, 24000)
    total = int(args.seconds / args.step)
    began = time.monotonic()
    due = 0.0
    for step in range(1, total + 1):
        due += args.step * (1 + args.jitter * draw.gauss(0, 1))
        time.sleep(max(0.0, began + due - time.monotonic()))
        loss = 2 + 8 * math.exp(-step / 40) + draw.gauss(0, 0.02)
        print(megatron(step, total, loss, args.step, 64), flush=True)
    if gpu is not None:
        gpu.release()


if __name__ == "__main__":
    main()
