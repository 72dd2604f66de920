"""For a plain PyTorch loop, which stays as it is: `watch(optimizer, total=10_000)` before it."""

from typing import Any

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from slurm_guard.progress.client import progress


def watch(optimizer: Optimizer, *, first_step: int = 0, total: int | None = None) -> RemovableHandle:
    """Tell of every step that the optimiser makes, until the returned handle is removed.

    `first_step`: steps made before (a resumed training); `total`: the last one, if it is known.
    """
    step = first_step

    def tell(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        nonlocal step
        step += 1
        progress(step, total=total)

    return optimizer.register_step_post_hook(tell)
