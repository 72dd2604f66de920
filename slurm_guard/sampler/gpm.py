"""GPM: what the SMs did between two samples (Hopper and later). Every metric is probed and may be missing.

pynvml is handed in, so that one file alone imports it.
"""

from __future__ import annotations

from slurm_guard.light import Any, NamedTuple
from slurm_guard.sampler.fieldset import Ask, Why

LEAST_APART_S = 0.1  # documented hard limit between two samples (DCGM#310)
_MIB = 1 << 20
_UNKNOWN_METRIC = (2, 3)  # NVML's answers to an id that this driver or board does not have

# Reading's field -> GPM metric: mean percent since the last sample.
_PERCENT = {"sm_pct": 2, "int_pct": 4, "tensor_pct": 5, "dram_pct": 10}
# Reading's field -> metrics in order of preference: bytes since boot, or MiB/s that are integrated here.
_SINCE_BOOT = {"sm_cycles": 249, "pcie_tx_b": 255, "pcie_rx_b": 256}
_MIB_PER_S = {"pcie_tx_b": 20, "pcie_rx_b": 21, "nvlink_rx_b": 60, "nvlink_tx_b": 61}
# Further channels, by NVML's name without NVML_GPM_METRIC_. Those in percent are integrated to milliseconds.
_MORE_PERCENT = {
    "SM_OCCUPANCY": 3,
    "DFMA_TENSOR_UTIL": 6,
    "HMMA_TENSOR_UTIL": 7,
    "DMMA_TENSOR_UTIL": 8,
    "IMMA_TENSOR_UTIL": 9,
    "FP64_UTIL": 11,
    "FP32_UTIL": 12,
    "FP16_UTIL": 13,
    "NVDEC_0_UTIL": 30,
}
_MORE_SINCE_BOOT = {
    "SM_CYCLES_ELAPSED": 248,
    "MMA_CYCLES_ACTIVE": 250,
    "DMMA_CYCLES_ACTIVE": 251,
    "HMMA_CYCLES_ACTIVE": 252,
    "IMMA_CYCLES_ACTIVE": 253,
    "DFMA_CYCLES_ACTIVE": 254,
    "INTEGER_CYCLES_ACTIVE": 257,
    "FP64_CYCLES_ACTIVE": 258,
    "FP32_CYCLES_ACTIVE": 259,
    "FP16_CYCLES_ACTIVE": 260,
    # Two processes that slice one GPU must switch contexts (threat notes): of the whole GPU's one engine;
    # the engines 1 to 7 are MIG's.
    "GR0_CTXSW_CYCLES_ELAPSED": 170,
    "GR0_CTXSW_CYCLES_ACTIVE": 171,
    "GR0_CTXSW_REQUESTS": 172,
}
FIELDS = (*_PERCENT, "sm_cycles", "nvlink_tx_b", "nvlink_rx_b")


class GpmLook(NamedTuple):
    """Values by the reading's field names and by NVML's; what is not in them has its reason in `why`."""

    fields: dict[str, float]
    more: dict[str, int]
    why: dict[str, str]

    @staticmethod
    def missing(reason: str) -> GpmLook:
        """Nothing, for one reason."""
        return GpmLook({}, {}, dict.fromkeys(FIELDS, reason))


class Gpm:
    """GPM of one GPU or MIG instance. Rates are integrated since this object was made."""

    def __init__(self, nvml: Any, ask: Ask, handle: Any, parent: Any, instance: int | None) -> None:
        self._nvml, self._ask = nvml, ask
        self._handle, self._parent, self._instance = handle, parent, instance
        self._samples: list[Any] = []
        self._last_s: float | None = None
        self._sums: dict[int, float] = {}
        self.refused: dict[int, str] = {}  # metric -> the driver's lasting reason
        channels = (_PERCENT, _SINCE_BOOT, _MIB_PER_S, _MORE_PERCENT, _MORE_SINCE_BOOT)
        self._ids = sorted({metric for group in channels for metric in group.values()})
        self._order: Any = None  # NVML's request, made once: it is 20 KB
        self.why = self._probe()  # why there is no GPM; null: there is

    def _probe(self) -> str | None:
        whole = self._parent if self._parent is not None else self._handle
        support, why = self._ask(lambda: self._nvml.nvmlGpmQueryDeviceSupport(whole))
        if why is not None:
            return f"GPM: {why.text}"
        if not support.isSupportedDevice:
            return "GPM: not on this GPU"
        for _ in range(2):
            sample, why = self._ask(lambda: self._nvml.nvmlGpmSampleAlloc())
            if why is not None:
                return f"GPM: {why.text}"
            self._samples.append(sample)
        return None

    def tells(self, name: str) -> bool:
        """Whether this driver has one of GPM's metrics for a reading's bytes, whatever it said just now."""
        ids = [group[name] for group in (_SINCE_BOOT, _MIB_PER_S) if name in group]
        return self.why is None and any(metric not in self.refused for metric in ids)

    def close(self) -> None:
        """Free the samples."""
        for sample in self._samples:
            self._ask(lambda s=sample: self._nvml.nvmlGpmSampleFree(s))
        self._samples = []

    def look(self, mono_s: float) -> GpmLook:
        """What happened since the last look; nothing at the first, or sooner than 100 ms after it."""
        if self.why is not None:
            return GpmLook.missing(self.why)
        if self._last_s is not None and mono_s - self._last_s < LEAST_APART_S:
            return GpmLook.missing("GPM: less than 100 ms since the last sample")
        old, new = self._samples
        why = self._sample(new)
        if why is not None:
            self._last_s = None
            return GpmLook.missing(f"GPM: {why.text}")
        before_s, self._last_s = self._last_s, mono_s
        self._samples = [new, old]
        if before_s is None:
            return GpmLook.missing("GPM: needs two samples")
        values, reason = self._metrics(old, new)
        if reason is not None:
            return GpmLook.missing(f"GPM: {reason.text}")
        return self._shares(values, mono_s - before_s)

    def _sample(self, into: Any) -> Why | None:
        if self._parent is None:
            _, why = self._ask(lambda: self._nvml.nvmlGpmSampleGet(self._handle, into))
        else:
            _, why = self._ask(lambda: self._nvml.nvmlGpmMigSampleGet(self._parent, self._instance, into))
        return why

    def _metrics(self, old: Any, new: Any) -> tuple[dict[int, float], Why | None]:
        """All metrics in one call. A driver that fails the whole call for one id is asked id by id, once."""
        ids = [metric for metric in self._ids if metric not in self.refused]
        values, reason = self._get(old, new, ids)
        if reason is None or len(ids) < 2:
            return values, reason
        alone = {metric: self._get(old, new, [metric]) for metric in ids}
        if all(why is not None for _, why in alone.values()):
            return {}, reason  # not one id's fault
        for metric, (value, why) in alone.items():
            values.update(value)
            if why is not None:
                self.refused[metric] = why.text
        return values, None

    def _get(self, old: Any, new: Any, ids: list[int]) -> tuple[dict[int, float], Why | None]:
        if self._order is None:
            self._order, why = self._ask(lambda: self._nvml.c_nvmlGpmMetricsGet_t())
            if why is not None:
                return {}, why
        order = self._order
        order.version = self._nvml.NVML_GPM_METRICS_GET_VERSION
        order.numMetrics = len(ids)
        order.sample1, order.sample2 = old, new
        for place, metric in enumerate(ids):
            order.metrics[place].metricId = metric
        _, why = self._ask(lambda: self._nvml.nvmlGpmMetricsGet(order))
        if why is not None:
            return {}, why
        values: dict[int, float] = {}
        for place, metric in enumerate(ids):
            code, value = order.metrics[place].nvmlReturn, order.metrics[place].value
            if code in _UNKNOWN_METRIC:
                self.refused[metric] = str(self._nvml.NVMLError(code))
            elif code == 0 and value == value and value >= 0:
                values[metric] = value
        return values, None

    def _shares(self, values: dict[int, float], long_s: float) -> GpmLook:
        fields: dict[str, float] = {}
        why: dict[str, str] = {}
        for name, metric in _PERCENT.items():
            self._put(fields, why, name, metric, values.get(metric))
        for name, metric in _SINCE_BOOT.items():
            self._put(fields, why, name, metric, values.get(metric))
        for name, metric in _MIB_PER_S.items():
            if name not in fields:
                self._put(fields, why, name, metric, self._add(metric, values, _MIB * long_s))
        more = {name: int(values[metric]) for name, metric in _MORE_SINCE_BOOT.items() if metric in values}
        for name, metric in _MORE_PERCENT.items():
            amount = self._add(metric, values, 10.0 * long_s)  # percent · s -> ms
            if amount is not None:
                more[name] = int(amount)
        return GpmLook(fields, more, why)

    def _put(
        self, fields: dict[str, float], why: dict[str, str], name: str, metric: int, value: float | None
    ) -> None:
        if value is None:
            why[name] = f"GPM: {self.refused.get(metric, 'no number')}"
        else:
            fields[name] = value
            why.pop(name, None)

    def _add(self, metric: int, values: dict[int, float], factor: float) -> float | None:
        """A rate's integral so far; null: it did not answer now."""
        if metric not in values:
            return None
        self._sums[metric] = self._sums.get(metric, 0.0) + values[metric] * factor
        return self._sums[metric]
