"""A short honest training loop whose last line can be checked: same seed and steps, same loss."""

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def learn(seed: int, steps: int) -> list[float]:
    """Loss after each step of gradient descent on a small quadratic, drawn from the seed."""
    draw = random.Random(f"witness {seed}")
    x = [draw.uniform(-2, 2) for _ in range(16)]
    target = [draw.uniform(-1, 1) for _ in range(16)]
    losses = []
    for _ in range(steps):
        noise = [draw.gauss(0, 0.05) for _ in x]
        x = [a - 0.1 * (a - b + e) for a, b, e in zip(x, target, noise, strict=True)]
        losses.append(sum((a - b) ** 2 for a, b in zip(x, target, strict=True)) / len(x))
    return losses


def last_line(seed: int, steps: int) -> str:
    """What the job must have printed at its end."""
    return f"witness {seed} done after {steps} steps, loss {learn(seed, steps)[-1]:.12f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--work", type=float, default=0.45, help="GPU-seconds a step")
    args = parser.parse_args()
    print(f"begin {time.time():.3f}", flush=True)
    from gpu import Gpu  # type: ignore[import-not-found]  # in this folder: a job knows no package of ours

    gpu = Gpu()
    gpu.memory(8000)
    for step, loss in enumerate(learn(args.seed, args.steps), 1):
        began = time.monotonic()
        gpu.work(args.work, "train", 0.97)
        took_s = time.monotonic() - began
        print(
            f"time={time.time():.3f} step={step} total={args.steps} loss={loss:.6f} step_time={took_s:.3f}",
            flush=True,
        )
    gpu.release()
    print(last_line(args.seed, args.steps), flush=True)


if __name__ == "__main__":
    main()
