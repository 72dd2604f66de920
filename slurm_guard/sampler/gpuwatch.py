"""What the NVML client has to tell beside readings: hangs, what the driver gives, processes of the past."""

from __future__ import annotations

from slurm_guard import wire
from slurm_guard.light import TYPE_CHECKING, Any
from slurm_guard.sampler.nvml_client import NvmlClient
from slurm_guard.sampler.reading import GpuFacts, PastProc
from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.sampler.loop import Loop


class GpuWatch:
    """A part of the loop: turns the client's notes into events and records of the node's own stream."""

    def __init__(self, loop: Loop, client: NvmlClient) -> None:
        self._loop, self._client = loop, client
        self._missing: str | None = None  # why there were no GPUs, as last told

    def tick(self, now: Instant) -> None:
        """Write what is new."""
        why = self._client.missing()
        if why is not None and why != self._missing:
            self._loop.event("nvml-missing", reason=why)
        self._missing = why
        for name, detail in self._client.take_notes():
            self._loop.event(name, **detail)
        for found in self._client.take_records():
            record = _seen(found, now) if isinstance(found, GpuFacts) else _accounted(found, now)
            self._loop.out(None, record)

    def tell(self) -> dict[str, Any]:
        """For `slurm-guard node status`."""
        return {"nvml": self._client.tell()}

    def close(self, now: Instant) -> None:
        """The last notes."""
        self.tick(now)


def _seen(facts: GpuFacts, now: Instant) -> wire.GpuSeen:
    info = facts.info
    return wire.GpuSeen(
        at=now.at,
        mono_s=now.mono_s,
        gpu=info.uuid,
        gpu_index=info.gpu_index,
        minor=info.minor,
        pci=info.pci,
        model=info.model,
        mig=info.mig,
        driver=info.driver,
        answers=facts.answers,
        why=facts.why,
    )


def _accounted(past: PastProc, now: Instant) -> wire.Accounted:
    return wire.Accounted(
        at=now.at,
        run=None,
        gpu=past.gpu,
        pid=past.pid,
        start_at=past.start_at,
        time_ms=past.time_ms,
        sm_pct=past.sm_pct,
        mem_pct=past.mem_pct,
        max_mem_mib=past.max_mem_mib,
        running=past.running,
    )
