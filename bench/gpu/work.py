"""GPU work with PyTorch: a small training loop, and a neighbour that works for a known part of the time.

`python -m bench.gpu.work train SECONDS` prints a step's seconds a line; `… neighbour DUTY SECONDS` works for
DUTY of each 200 ms. Nothing but matrix products: what runs does not matter, how long it runs does.
"""

import sys
import time
from typing import Any

PERIOD_S = 0.2


def _torch() -> Any:
    import torch  # type: ignore[import-not-found,unused-ignore]

    return torch


def train(seconds: float) -> None:
    """Forward, backward and update of a few wide layers; synchronised once a step, as loops that log are."""
    torch = _torch()
    layers = [torch.nn.Linear(4096, 4096), torch.nn.GELU(), torch.nn.Linear(4096, 4096)] * 2
    model = torch.nn.Sequential(*layers).cuda().to(torch.bfloat16)
    optimiser = torch.optim.AdamW(model.parameters())
    x = torch.randn(8192, 4096, device="cuda", dtype=torch.bfloat16)
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        begun_s = time.perf_counter()
        for _ in range(8):
            optimiser.zero_grad()
            model(x).square().mean().backward()
            optimiser.step()
        torch.cuda.synchronize()
        print(f"{time.perf_counter() - begun_s:.6f}", flush=True)


def neighbour(duty: float, seconds: float) -> None:
    """Works until DUTY of each period is over, then rests."""
    torch = _torch()
    a = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
    until_s = time.perf_counter() + seconds
    while (begun_s := time.perf_counter()) < until_s:
        while time.perf_counter() - begun_s < duty * PERIOD_S:
            a @ a
            torch.cuda.synchronize()
        time.sleep(max(0.0, PERIOD_S - (time.perf_counter() - begun_s)))


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[0] == "train":
        train(float(words[1]))
    else:
        neighbour(float(words[1]), float(words[2]))
