"""What each process had of one GPU in one window."""

from slurm_guard.sampler.process import Key, Process
from slurm_guard.sampler.reading import GpuProc
from slurm_guard.wire import ProcShare

MOST = 64  # processes told per window; one context a GPU and process is usual: judgement


class _Share:
    __slots__ = ("cpu_ms", "mem_mib", "moved", "process", "seen", "sm_ms")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.sm_ms: float | None = None
        self.mem_mib: int | None = None
        self.cpu_ms, self.moved = process.cpu_ms, process.moved
        self.seen = True


class Shares:
    """Adds up between the windows of one builder."""

    def __init__(self) -> None:
        self._by_key: dict[Key, _Share] = {}

    def add(self, process: Process, told: GpuProc, long_s: float) -> None:
        """NVML listed the process; its mean SM utilisation is over `long_s`, since the last list."""
        share = self._by_key.get(process.key)
        if share is None:
            share = self._by_key[process.key] = _Share(process)
        share.process, share.seen = process, True
        if told.sm_pct is not None:
            before = share.sm_ms if share.sm_ms is not None else 0.0
            share.sm_ms = before + told.sm_pct / 100 * long_s * 1000
        if told.mem_mib is not None:
            share.mem_mib = told.mem_mib if share.mem_mib is None else max(share.mem_mib, told.mem_mib)

    def take(self) -> tuple[list[ProcShare], bool]:
        """The window's shares (the busiest where there are too many), and whether some were cut."""
        seen = [share for share in self._by_key.values() if share.seen]
        seen.sort(key=lambda s: (-(s.sm_ms if s.sm_ms is not None else -1.0), s.process.key))
        told = [_record(share) for share in seen[:MOST]]
        for share in seen:
            share.cpu_ms, share.moved = share.process.cpu_ms, share.process.moved
            share.sm_ms, share.mem_mib, share.seen = None, None, False
        self._by_key = {share.process.key: share for share in seen}
        return sorted(told), len(seen) > MOST


def _record(share: _Share) -> ProcShare:
    process = share.process
    return ProcShare(
        pid=process.pid,
        start_ticks=process.start_ticks,
        run=process.run,
        sm_ms=None if share.sm_ms is None else round(share.sm_ms),
        mem_mib=share.mem_mib,
        cpu_ms=process.cpu_ms - share.cpu_ms,
        holds=process.holds,
        written_b=_since(share.moved.written_b, process.moved.written_b),
        read_b=_since(share.moved.read_b, process.moved.read_b),
        stored_b=_since(share.moved.stored_b, process.moved.stored_b),
    )


def _since(before: int | None, now: int | None) -> int | None:
    """Null too where a count fell, as none should: a negative one would cost the whole segment at ingest."""
    return None if before is None or now is None or now < before else now - before
