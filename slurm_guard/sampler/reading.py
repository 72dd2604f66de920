"""What one look at one GPU gives: the seam between NVML (or the simulator) and the windows."""

from typing import NamedTuple, Protocol


class GpuInfo(NamedTuple):
    """What does not change while the driver is loaded."""

    uuid: str
    gpu_index: int  # NVML index
    model: str
    mem_total_mib: int | None
    power_limit_mw: int | None
    minor: int | None
    mig: str | None  # profile name when this is a MIG instance


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


class GpuProc(NamedTuple):
    """One process on a GPU, host pid. `sm_pct`: mean SM utilisation since the last call; null: not given."""

    pid: int
    mem_mib: int | None
    sm_pct: float | None


class GpuReader(Protocol):
    """NVML as the sampler needs it. Never raises for a lost GPU: `why` says so, or null is returned."""

    def gpus(self) -> list[GpuInfo]: ...

    def read(self, gpu: GpuInfo) -> GpuReading: ...

    def processes(self, gpu: GpuInfo) -> list[GpuProc] | None:
        """Null: the list could not be had."""
        ...

    def close(self) -> None: ...
