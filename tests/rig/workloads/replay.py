"""Prints an earlier training's log again, line by line at its old pace, while its GPU does something else."""

import argparse
import math
import os
import random
import shlex
import sys
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from gpu import Gpu  # type: ignore[import-not-found]  # in this folder: a job knows no package of ours


def recorded(seed: int, seconds: float) -> list[tuple[float, str]]:
    """(seconds from its beginning, line) of a training some days ago: steps differ, loaders stall."""
    draw = random.Random(f"earlier {seed}")
    begun = time.time() - 86400 * draw.uniform(1, 9)
    took, now, step, saved = draw.uniform(0.7, 1.4), draw.uniform(2, 6), 0, 0.0
    lines = []
    while now < seconds:
        step += 1
        this = took * max(0.8, draw.gauss(1.0, 0.02)) + draw.expovariate(1 / 0.02)
        now += this + (draw.uniform(0.5, 2.0) if draw.random() < 0.03 else 0.0)
        stamp = datetime.fromtimestamp(begun + now).strftime("%Y-%m-%d %H:%M:%S.%f")
        loss = 2 + 8 * math.exp(-step / 40) + draw.gauss(0, 0.03)
        line = f" [{stamp}] iteration {step:8d}/    5000 | consumed samples: {step * 64:12d} |"
        line += f" elapsed time per iteration (ms): {1000 * this:.1f} | learning rate: 1.000E-04 |"
        lines.append((now, f"{line} lm loss: {loss:.6E} |"))
        if now - saved > 30:
            saved = now
            now += draw.uniform(0.8, 1.6)
            lines.append((now, f"saved checkpoint at step {step}"))
    return lines


def main() -> None:
    """For `--seconds`; what the GPU does stands in $RIG_HOLD."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--kind", default="hash")
    parser.add_argument("--demand", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args([*shlex.split(os.environ.get("RIG_HOLD", "")), *sys.argv[1:]])
    gpu = Gpu()
    gpu.hold(args.kind, args.demand, 24000)
    began = time.monotonic()
    for at, line in recorded(args.seed, args.seconds):
        time.sleep(max(0.0, began + at - time.monotonic()))
        print(line, flush=True)
    gpu.release()


if __name__ == "__main__":
    main()
