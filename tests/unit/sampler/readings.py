"""Builders of readings for the sampler's tests."""

from typing import Any

from slurm_guard.sampler.reading import GpuInfo, GpuReading

INFO = GpuInfo("GPU-0", 0, "NVIDIA H100", 81559, 700_000, 0, None)

_BASE = GpuReading(
    at=0.0,
    mono_s=0.0,
    energy_mj=0,
    power_mw=300_000,
    util_pct=50.0,
    sm_pct=40.0,
    tensor_pct=30.0,
    int_pct=5.0,
    dram_pct=20.0,
    sm_cycles=0,
    mem_used_mib=1000,
    sm_clock_mhz=1980,
    temp_c=50,
    throttle=0,
    pcie_tx_b=0,
    pcie_rx_b=0,
    nvlink_tx_b=None,
    nvlink_rx_b=None,
    why={"nvlink_tx_b": "Not Supported", "nvlink_rx_b": "Not Supported"},
)


def reading(mono_s: float, at0: float = 1_000_000.0, **changes: Any) -> GpuReading:
    """A reading at a monotonic second whose counters run at fixed rates: 300 W, 1000 cycles a second."""
    counters = {
        "energy_mj": round(300_000 * mono_s),
        "sm_cycles": round(1000 * mono_s),
        "pcie_tx_b": round(10 * mono_s),
        "pcie_rx_b": round(20 * mono_s),
    }
    return _BASE._replace(at=at0 + mono_s, mono_s=mono_s, **{**counters, **changes})
