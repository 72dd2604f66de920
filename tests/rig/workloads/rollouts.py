"""Reinforcement learning in one process: a rollout of any length, then updates; a line an iteration."""

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from gpu import Gpu  # type: ignore[import-not-found]  # in this folder: a job knows no package of ours
from train import Student  # type: ignore[import-not-found]


def main() -> None:
    """Lines as verl's console logger prints them: counters, times and tokens, no wall clock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--update", type=float, default=0.9, help="GPU-seconds of one update")
    parser.add_argument("--tokens", type=float, default=6000.0, help="generated in a GPU-second")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    draw, student, gpu = random.Random(args.seed), Student(args.seed), Gpu()
    until = time.monotonic() + args.seconds
    gpu.memory(40000)
    gpu.work(1.5, "compile", 0.6)
    step = 0
    while time.monotonic() < until:
        step += 1
        began = time.monotonic()
        length_s = min(5.0, max(0.6, draw.lognormvariate(0.5, 0.4)))  # answers are as long as they are
        gpu.work(length_s, "membound", 0.85)
        time.sleep(draw.uniform(0.1, 0.5))  # rewards, on the CPU
        generated = time.monotonic()
        for _ in range(2):
            gpu.work(args.update, "train", 0.97)
            loss = student.step(64)
        ended = time.monotonic()
        print(
            f"step:{step} - actor/pg_loss:{loss:.4f} - response_length/mean:{length_s * args.tokens / 64:.1f}"
            f" - perf/total_num_tokens:{int(length_s * args.tokens)}"
            f" - timing_s/gen:{generated - began:.3f} - timing_s/update_actor:{ended - generated:.3f}"
            f" - timing_s/step:{ended - began:.3f}",
            flush=True,
        )
    gpu.release()


if __name__ == "__main__":
    main()
