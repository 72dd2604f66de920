"""What runs beside the sampling, in the same thread: each part does its own little at its own pace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.sampler.loop import Loop


class Part(Protocol):
    """One side task. None of its calls may wait for anything; a fault in one is told like any other's."""

    def tick(self, now: Instant) -> None:
        """After every round of the loop; it looks by itself whether it is due."""
        ...

    def tell(self) -> dict[str, Any]:
        """What it knows of itself, for `slurm-guard node status`; JSON values."""
        ...

    def close(self, now: Instant) -> None:
        """The sampler leaves."""
        ...


def parts_of(loop: Loop) -> list[Part]:
    """The parts of a sampler, in the order in which they run."""
    from slurm_guard.sampler.retention import Bounds, Retention

    node, book = loop.config.node, loop.book
    bounds = Bounds(node.spool_mib << 20, node.spool_days * 86_400.0)
    return [
        Retention(
            loop.streams,
            bounds,
            loop.place.folders.run,
            lambda: {r.ticket.job_id for r in book.runs.values()},
        ),
    ]
