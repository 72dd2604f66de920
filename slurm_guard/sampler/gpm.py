"""GPM: what the SMs did between two samples (Hopper and later). Every metric is probed and may be missing.

pynvml is handed in, so that one file alone imports it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

LEAST_APART_S = 0.1  # documented hard limit between two samples (DCGM#310)
_MIB = 1 << 20
SM_UTIL, INTEGER_UTIL, ANY_TENSOR_UTIL, DRAM_BW_UTIL = 2, 4, 5, 10
NVLINK_RX_MIB_S, NVLINK_TX_MIB_S = 60, 61
SM_CYCLES_ACTIVE = 249  # cumulative since boot; newer driver branches
_IDS = (
    SM_UTIL,
    INTEGER_UTIL,
    ANY_TENSOR_UTIL,
    DRAM_BW_UTIL,
    NVLINK_RX_MIB_S,
    NVLINK_TX_MIB_S,
    SM_CYCLES_ACTIVE,
)
_FIELDS = ("sm_pct", "int_pct", "tensor_pct", "dram_pct", "nvlink_rx_b", "nvlink_tx_b", "sm_cycles")

Ask = Callable[..., tuple[Any, str | None]]


class GpmShares(NamedTuple):
    """Means since the last look in percent, and cumulative counters; null with a reason in `why`."""

    sm_pct: float | None
    tensor_pct: float | None
    int_pct: float | None
    dram_pct: float | None
    sm_cycles: int | None
    nvlink_tx_b: int | None
    nvlink_rx_b: int | None
    why: dict[str, str]

    @staticmethod
    def missing(reason: str) -> "GpmShares":
        """Nothing, for one reason."""
        return GpmShares(None, None, None, None, None, None, None, dict.fromkeys(_FIELDS, reason))


class Gpm:
    """GPM of one GPU or MIG instance. NVLink's rates are integrated to bytes since this object was made."""

    def __init__(self, nvml: Any, ask: Ask, handle: Any, parent: Any, instance: int | None) -> None:
        self._nvml, self._ask = nvml, ask
        self._handle, self._parent, self._instance = handle, parent, instance
        self._samples: list[Any] = []
        self._last_s: float | None = None
        self._nvlink = {NVLINK_RX_MIB_S: 0.0, NVLINK_TX_MIB_S: 0.0}
        self.why = self._probe()  # why there is no GPM; null: there is

    def _probe(self) -> str | None:
        support, why = self._ask(
            lambda: self._nvml.nvmlGpmQueryDeviceSupport(
                self._parent if self._parent is not None else self._handle
            )
        )
        if why is not None:
            return f"GPM: {why}"
        if not support.isSupportedDevice:
            return "GPM: not on this GPU"
        for _ in range(2):
            sample, why = self._ask(lambda: self._nvml.nvmlGpmSampleAlloc())
            if why is not None:
                return f"GPM: {why}"
            self._samples.append(sample)
        return None

    def close(self) -> None:
        """Free the samples."""
        for sample in self._samples:
            self._ask(self._nvml.nvmlGpmSampleFree, sample)
        self._samples = []

    def look(self, mono_s: float) -> GpmShares:
        """What happened since the last look; nothing at the first, or sooner than 100 ms after it."""
        if self.why is not None:
            return GpmShares.missing(self.why)
        if self._last_s is not None and mono_s - self._last_s < LEAST_APART_S:
            return GpmShares.missing("GPM: less than 100 ms since the last sample")
        old, new = self._samples
        why = self._sample(new)
        if why is not None:
            self._last_s = None
            return GpmShares.missing(f"GPM: {why}")
        before_s, self._last_s = self._last_s, mono_s
        self._samples = [new, old]
        if before_s is None:
            return GpmShares.missing("GPM: needs two samples")
        return self._shares(old, new, mono_s - before_s)

    def _sample(self, into: Any) -> str | None:
        if self._parent is None:
            _, why = self._ask(self._nvml.nvmlGpmSampleGet, self._handle, into)
        else:
            _, why = self._ask(lambda: self._nvml.nvmlGpmMigSampleGet(self._parent, self._instance, into))
        return why

    def _shares(self, old: Any, new: Any, long_s: float) -> GpmShares:
        ask = self._nvml.c_nvmlGpmMetricsGet_t()
        ask.version = self._nvml.NVML_GPM_METRICS_GET_VERSION
        ask.numMetrics = len(_IDS)
        ask.sample1, ask.sample2 = old, new
        for place, metric in enumerate(_IDS):
            ask.metrics[place].metricId = metric
        _, reason = self._ask(self._nvml.nvmlGpmMetricsGet, ask)
        if reason is not None:
            return GpmShares.missing(f"GPM: {reason}")
        values: dict[int, float | None] = {}
        why: dict[str, str] = {}
        for place, (metric, name) in enumerate(zip(_IDS, _FIELDS, strict=True)):
            answer = ask.metrics[place]
            good = answer.nvmlReturn == 0 and answer.value == answer.value and answer.value >= 0
            values[metric] = answer.value if good else None
            if not good:
                why[name] = (
                    f"GPM: {self._nvml.NVMLError(answer.nvmlReturn)}"
                    if answer.nvmlReturn
                    else "GPM: no number"
                )
        cycles = values[SM_CYCLES_ACTIVE]
        return GpmShares(
            sm_pct=values[SM_UTIL],
            tensor_pct=values[ANY_TENSOR_UTIL],
            int_pct=values[INTEGER_UTIL],
            dram_pct=values[DRAM_BW_UTIL],
            sm_cycles=None if cycles is None else int(cycles),
            nvlink_tx_b=self._bytes(NVLINK_TX_MIB_S, values[NVLINK_TX_MIB_S], long_s),
            nvlink_rx_b=self._bytes(NVLINK_RX_MIB_S, values[NVLINK_RX_MIB_S], long_s),
            why=why,
        )

    def _bytes(self, metric: int, rate_mib_s: float | None, long_s: float) -> int | None:
        if rate_mib_s is None:
            return None
        self._nvlink[metric] += rate_mib_s * _MIB * long_s
        return int(self._nvlink[metric])
