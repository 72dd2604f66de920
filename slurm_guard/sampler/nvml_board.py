"""One GPU or MIG instance with its handle: counters, processes, accounting. pynvml is handed in."""

from __future__ import annotations

from slurm_guard.light import Any
from slurm_guard.sampler.fieldset import Ask, FieldSet, Why
from slurm_guard.sampler.gpm import Gpm, GpmLook
from slurm_guard.sampler.reading import GpuFacts, GpuInfo, GpuProc, GpuReading, PastProc

_MIB = 1 << 20
_MOST_PCT = 100  # above: NVML's "blank" 2147483632 was seen through DCGM (documented in its issues)
_BLANK_B = 1 << 62  # NVML_VALUE_NOT_AVAILABLE of memory sizes is all ones
_NOT_FOUND = 6
_LISTS = {  # kind of a process -> symbol; in each, host pids
    "graphics": "nvmlDeviceGetGraphicsRunningProcesses",
    "mps": "nvmlDeviceGetMPSComputeRunningProcesses",
    "compute": "nvmlDeviceGetComputeRunningProcesses",  # last: a process in several lists is compute
}


class NvmlBoard:
    """All that is asked of one handle. Never used after NVML was shut down: it is closed before."""

    def __init__(
        self, nvml: Any, ask: Ask, info: GpuInfo, handle: Any, parent: Any = None, instance: int | None = None
    ) -> None:
        self._nvml, self._ask = nvml, ask
        self.info, self.handle, self.parent = info, handle, parent
        self.fields = FieldSet(nvml, ask, handle)
        self.gpm = Gpm(nvml, ask, handle, parent, instance)
        self._since_us = 0
        self._use_at_s: float | None = None  # monotonic second of the last question for utilisation
        self._known: set[int] = set()  # pids that a list showed, or that were told as past
        self._answers: set[str] = set()

    def close(self) -> None:
        """Free what NVML allocated for this handle."""
        self.gpm.close()

    # -- counters

    def read(self, at: float, mono_s: float) -> GpuReading:
        """All counters; every field that NVML refuses is null with its reason."""
        why: dict[str, str] = {}
        fields = self._plain(why)
        gpm = self.gpm.look(mono_s)
        self._take_bytes(fields, gpm, why)
        for name in ("sm_pct", "tensor_pct", "int_pct", "dram_pct", "sm_cycles"):
            fields[name] = gpm.fields.get(name)
            if fields[name] is None:
                why[name] = gpm.why.get(name, "GPM: no number")
        if fields["sm_cycles"] is not None:
            fields["sm_cycles"] = int(fields["sm_cycles"])
        self._answers.update(name for name, value in fields.items() if value is not None)
        self._answers.update(gpm.more)
        return GpuReading(at=at, mono_s=mono_s, **fields, why=why, more=gpm.more if gpm.more else None)

    def _plain(self, why: dict[str, str]) -> dict[str, Any]:
        """What one call each gives, and the field values."""
        ask, nvml = self.fields.call, self._nvml
        values = self.fields.values(why)
        average = values.pop("power_average_mw")
        why.pop("power_average_mw", None)
        if average is None:  # older: of one second on Ampere and later but GA100, else of this instant
            average = ask(why, "power_mw", ("nvmlDeviceGetPowerUsage",))
        memory = ask(why, "mem_used_mib", ("nvmlDeviceGetMemoryInfo",))
        util = ask(why, "util_pct", ("nvmlDeviceGetUtilizationRates",))
        if util is None:
            why["mem_pct"] = why["util_pct"]
        reasons = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
        return {
            **values,
            "energy_mj": ask(why, "energy_mj", ("nvmlDeviceGetTotalEnergyConsumption",)),
            "power_mw": average,
            "util_pct": None if util is None else float(util.gpu),
            "mem_pct": None if util is None else float(util.memory),
            "mem_used_mib": None if memory is None else memory.used // _MIB,
            "sm_clock_mhz": ask(why, "sm_clock_mhz", ("nvmlDeviceGetClockInfo",), nvml.NVML_CLOCK_SM),
            "temp_c": ask(why, "temp_c", ("nvmlDeviceGetTemperature",), nvml.NVML_TEMPERATURE_GPU),
            "throttle": ask(why, "throttle", reasons),
        }

    def _take_bytes(self, fields: dict[str, Any], gpm: GpmLook, why: dict[str, str]) -> None:
        """Bytes over PCIe and NVLink; one source per driver. PCIe's own counters have 32 bits (measured on an
        H100) and go round every 4 GiB, in less than a second of full load: GPM's rates come first."""
        for name in ("pcie_tx_b", "pcie_rx_b", "nvlink_tx_b", "nvlink_rx_b"):
            own = name if name.startswith("pcie") else f"{name[:-2]}_kib"
            value, reason = fields.pop(own), why.pop(own, None)
            if own == name and self.gpm.tells(name):
                fields[name] = None if name not in gpm.fields else int(gpm.fields[name])
                if fields[name] is None:
                    why[name] = gpm.why.get(name, "GPM: no number")
                continue
            if value is not None:
                fields[name] = value if own == name else value * 1024
                continue
            fields[name] = None
            if own in self.fields.refused and name in gpm.fields:
                fields[name] = int(gpm.fields[name])
            elif reason is not None:
                why[name] = reason

    def facts(self) -> GpuFacts:
        """What the driver gives of this GPU and what it refuses for good."""
        why = dict(self.fields.refused)
        if self.gpm.why is not None:
            why["gpm"] = self.gpm.why
        why.update((f"gpm metric {metric}", text) for metric, text in self.gpm.refused.items())
        return GpuFacts(self.info, sorted(self._answers), why)

    # -- processes

    def processes(self, mono_s: float) -> list[GpuProc] | None:
        """Host pids with a context on the GPU; null: NVML gave no list of compute processes."""
        found: dict[int, tuple[int | None, str]] = {}
        for kind, symbol in _LISTS.items():
            listed, why = self._ask(lambda s=symbol: getattr(self._nvml, s)(self.handle))
            if why is not None and kind == "compute":
                return None
            for told in [] if why is not None else listed:
                used = told.usedGpuMemory
                found[told.pid] = (None if used is None or used > _BLANK_B else used // _MIB, kind)
        self._known.update(found)
        use = self._use(mono_s)
        return [
            GpuProc(pid, mem_mib, None if use is None else use.get(pid, 0.0), kind)
            for pid, (mem_mib, kind) in sorted(found.items())
        ]

    def _use(self, mono_s: float) -> dict[int, float] | None:
        """SM utilisation per pid since the last call, at most; null: not given.

        The driver tells of periods with work alone, one sample each. A sample is booked for the time since
        the one before it, which may hold idle periods; after a process's last sample it is booked as idle.
        """
        before_s, self._use_at_s = self._use_at_s, mono_s
        since = self._since_us
        samples, why = self._ask(lambda: self._nvml.nvmlDeviceGetProcessUtilization(self.handle, since))
        if why is not None:
            return {} if why.code == _NOT_FOUND else None
        new = [s for s in samples if s.timeStamp > since and s.smUtil <= _MOST_PCT]
        self._since_us = max([since, *(s.timeStamp for s in new)])
        long_us = None if before_s is None or since == 0 else (mono_s - before_s) * 1e6
        return _weigh(new, since, long_us)

    # -- accounting

    def past(self, since_at: float) -> list[PastProc]:
        """Processes that only the driver's accounting saw, told once; those from before `since_at` never.

        Its buffer is a ring by pid: a pid that comes again while it is in there is told once.
        """
        pids, why = self._ask(lambda: self._nvml.nvmlDeviceGetAccountingPids(self.handle))
        if why is not None:
            return []
        self._known &= set(pids)
        told = []
        for pid in pids:
            if pid in self._known:
                continue
            stats, why = self._ask(lambda p=pid: self._nvml.nvmlDeviceGetAccountingStats(self.handle, p))
            if why is not None:
                continue
            running = bool(stats.isRunning)
            if running:
                continue  # the next process list shows it, or it is gone then
            self._known.add(pid)
            start_at = stats.startTime / 1e6 if stats.startTime else None
            if start_at is None or start_at + stats.time / 1e3 >= since_at:
                told.append(self._past(pid, start_at, stats))
        return told

    def _past(self, pid: int, start_at: float | None, stats: Any) -> PastProc:
        most = stats.maxMemoryUsage
        return PastProc(
            gpu=self.info.uuid,
            pid=pid,
            start_at=start_at,
            time_ms=stats.time,
            sm_pct=stats.gpuUtilization if stats.gpuUtilization <= _MOST_PCT else None,
            mem_pct=stats.memoryUtilization if stats.memoryUtilization <= _MOST_PCT else None,
            max_mem_mib=None if most is None or most > _BLANK_B else most // _MIB,
            running=bool(stats.isRunning),
        )

    def accounting(self) -> tuple[int | None, Why | None]:
        """Whether the driver's accounting is on (1) or off (0)."""
        mode, why = self._ask(lambda: self._nvml.nvmlDeviceGetAccountingMode(self.handle))
        return (None if why is not None else int(mode)), why

    def set_accounting(self, mode: int) -> Why | None:
        """Turn the driver's accounting on or off; needs root."""
        _, why = self._ask(lambda: self._nvml.nvmlDeviceSetAccountingMode(self.handle, mode))
        return why


def _weigh(samples: list[Any], since_us: int, long_us: float | None) -> dict[int, float]:
    """Mean percent per pid over `long_us`; null (the first time): the samples' own mean."""
    by_pid: dict[int, list[Any]] = {}
    for sample in sorted(samples, key=lambda s: s.timeStamp):
        by_pid.setdefault(sample.pid, []).append(sample)
    if long_us is None or long_us <= 0:
        return {pid: sum(s.smUtil for s in mine) / len(mine) for pid, mine in by_pid.items()}
    found = {}
    for pid, mine in by_pid.items():
        booked, last_us = 0.0, since_us
        for sample in mine:
            booked += sample.smUtil * min(sample.timeStamp - last_us, long_us)
            last_us = sample.timeStamp
        found[pid] = min(booked / long_us, float(max(s.smUtil for s in mine)))
    return found
