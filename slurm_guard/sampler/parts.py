"""What runs beside the sampling, in the same thread: each part does its own little at its own pace."""

from __future__ import annotations

import os

from slurm_guard.light import TYPE_CHECKING, Any, Protocol
from slurm_guard.sampler.beat import Beat, Notify
from slurm_guard.sampler.clockwatch import ClockWatch
from slurm_guard.sampler.events import JournalPart
from slurm_guard.sampler.hearing import Hearing
from slurm_guard.sampler.limits import Limits
from slurm_guard.sampler.status import Status
from slurm_guard.sampler.textfile import Textfile
from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.sampler.loop import Loop


class Part(Protocol):
    """One side task. None of its calls may wait for anything; a fault in one is told like any other's."""

    def tick(self, now: Instant) -> None:
        """After every round of the loop; it looks by itself whether it is due."""

    def tell(self) -> dict[str, Any]:
        """What it knows of itself, for `slurm-guard node status`; JSON values."""

    def close(self, now: Instant) -> None:
        """The sampler leaves."""


def parts_of(loop: Loop) -> list[Part]:
    """The parts of a sampler, in the order in which they run."""
    from slurm_guard.sampler.gpuwatch import GpuWatch
    from slurm_guard.sampler.nvml_client import NvmlClient
    from slurm_guard.sampler.retention import Bounds, Retention

    node, run = loop.config.node, loop.place.folders.run
    status = Status(loop)
    notify = Notify(os.environ.pop("NOTIFY_SOCKET", None))  # our children are not the service
    bounds = Bounds(node.spool_mib << 20, node.spool_days * 86_400.0)
    service: list[Part] = [
        Hearing(loop),
        ClockWatch(loop),
        Beat(run, notify, status.line),
        JournalPart(loop.streams),
        loop.switch,
        Limits(node, loop),
        Retention(loop.streams, bounds, run, lambda: {r.ticket.job_id for r in loop.book.runs.values()}),
        status,
        Textfile(node.textfile, loop, status),
    ]
    watch: list[Part] = [GpuWatch(loop, loop.reader)] if isinstance(loop.reader, NvmlClient) else []
    return [*watch, *service]
