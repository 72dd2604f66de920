"""What one look at one GPU gives: the seam between NVML (or the simulator) and the windows."""

from __future__ import annotations

from slurm_guard.light import Any, NamedTuple, Protocol


class GpuInfo(NamedTuple):
    """What does not change while the driver is loaded."""

    uuid: str
    gpu_index: int  # NVML index
    model: str
    mem_total_mib: int | None
    power_limit_mw: int | None
    minor: int | None
    mig: str | None  # profile name when this is a MIG instance
    pci: str | None = None  # bus id
    driver: str | None = None  # version


class GpuReading(NamedTuple):
    """One look at one GPU. Null: not observed, with the reason in `why` under the field's name."""

    at: float
    mono_s: float
    energy_mj: int | None  # cumulative since driver load
    power_mw: int | None
    util_pct: float | None  # share of time with a kernel running
    sm_pct: float | None  # GPM
    tensor_pct: float | None
    int_pct: float | None
    dram_pct: float | None
    sm_cycles: int | None  # cumulative
    mem_used_mib: int | None
    sm_clock_mhz: int | None
    temp_c: int | None
    throttle: int | None
    pcie_tx_b: int | None  # cumulative
    pcie_rx_b: int | None
    nvlink_tx_b: int | None
    nvlink_rx_b: int | None
    why: dict[str, str]
    power_inst_mw: int | None = None  # at the instant; `power_mw` is the driver's average where it has one
    mem_pct: float | None = None  # share of time in which memory was read or written
    more: dict[str, int] | None = None  # further cumulative channels by NVML's name


class GpuFacts(NamedTuple):
    """What the driver gives of one GPU; changes with the driver, not with the load."""

    info: GpuInfo
    answers: list[str]
    why: dict[str, str]  # field -> the reason that holds as long as the driver is loaded


class PastProc(NamedTuple):
    """A process that the driver's accounting remembers and no process list ever showed."""

    gpu: str  # UUID
    pid: int
    start_at: float | None
    time_ms: int | None
    sm_pct: int | None
    mem_pct: int | None
    max_mem_mib: int | None
    running: bool


class GpuProc(NamedTuple):
    """One process on a GPU, host pid.

    `sm_pct`: its SM utilisation since the last call, at most (the driver tells working times alone); null:
    not given.
    """

    pid: int
    mem_mib: int | None
    sm_pct: float | None
    kind: str = "compute"  # or graphics, mps


class GpuReader(Protocol):
    """NVML as the sampler needs it. Never raises for a lost GPU: `why` says so, or null is returned."""

    def gpus(self) -> list[GpuInfo]: ...

    def read(self, gpu: GpuInfo) -> GpuReading | None:
        """Null: nothing new yet, and too early to call it silence."""

    def processes(self, gpu: GpuInfo) -> list[GpuProc] | None:
        """Null: the list could not be had."""

    def close(self) -> None: ...


def silence(at: float, mono_s: float, reason: str) -> GpuReading:
    """A reading in which nothing was observed."""
    names = [name for name in GpuReading._fields if name not in ("at", "mono_s", "why", "more")]
    nulls: dict[str, Any] = dict.fromkeys(names)
    return GpuReading(at=at, mono_s=mono_s, **nulls, why=dict.fromkeys(names, reason))
