"""NVML through one funnel: the only file that imports pynvml. What cannot be had is null with its reason."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pynvml

from slurm_guard.sampler.gpm import Gpm, GpmShares
from slurm_guard.sampler.reading import GpuInfo, GpuProc, GpuReading

RETRY_S = 30.0  # between tries to start NVML again after the driver was gone: judgement
_MIB = 1 << 20
_BLANK_PCT = 101  # above: NVML's "blank" 2147483632 was seen through DCGM (documented in its issues)
_LOST = (
    pynvml.NVML_ERROR_UNINITIALIZED,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_GPU_IS_LOST,
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
)
_NOTHING_NEW = (pynvml.NVML_ERROR_NOT_FOUND,)
_PCIE_TX_BYTES, _PCIE_RX_BYTES = 197, 198  # NVML_FI_DEV_PCIE_COUNT_*; the older call blocks 20 ms


class _Board(NamedTuple):
    """A GPU (or MIG instance) with its handle."""

    info: GpuInfo
    handle: Any
    parent: Any  # of a MIG instance; null: a whole board
    instance: int | None  # the MIG instance's GPU instance id


class NvmlReader:
    """NVML as the loop wants it. Retries by itself when the driver comes late or goes away."""

    def __init__(
        self, mono: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._mono, self._wall = mono, wall
        self._boards: dict[str, _Board] = {}
        self._gpm: dict[str, Gpm] = {}
        self._since_us: dict[str, int] = {}
        self._started = False
        self._tried_s: float | None = None
        self._sick = False
        self.why: str | None = None  # why there are no GPUs; null: there are

    # -- start and stop

    def gpus(self) -> list[GpuInfo]:
        """The node's GPUs in NVML's order; empty with `why` while NVML cannot be had."""
        if (not self._started or self._sick or not self._boards) and self._may_try():
            self._start()
        return [board.info for board in self._boards.values()]

    def _may_try(self) -> bool:
        now_s = self._mono()
        if self._tried_s is not None and now_s - self._tried_s < RETRY_S:
            return False
        self._tried_s = now_s
        return True

    def _start(self) -> None:
        if self._started:
            self._stop()
        _, self.why = self._ask(pynvml.nvmlInitWithFlags, 0)
        if self.why is not None:
            return
        self._started, self._sick = True, False
        count, self.why = self._ask(pynvml.nvmlDeviceGetCount)
        boards: dict[str, _Board] = {}
        for index in range(count or 0):
            handle, why = self._ask(pynvml.nvmlDeviceGetHandleByIndex, index)
            for board in [] if why is not None else self._open(handle, index):
                boards[board.info.uuid] = board
        if boards:  # a board that fell off the bus keeps its place, so that its silence shows
            self._boards = {**self._boards, **boards}
        elif self.why is None:
            self.why = "NVML names no GPU"
        for uuid, board in boards.items():
            self._gpm[uuid] = Gpm(pynvml, self._ask, board.handle, board.parent, board.instance)

    def _stop(self) -> None:
        for gpm in self._gpm.values():
            gpm.close()
        self._gpm.clear()
        self._ask(pynvml.nvmlShutdown)
        self._started = False

    def close(self) -> None:
        """Give NVML back."""
        if self._started:
            self._stop()

    def _ask(self, call: Callable[..., Any], *args: Any) -> tuple[Any, str | None]:
        """The funnel: (value, null) or (null, reason). A missing symbol is a reason like any other."""
        try:
            return call(*args), None
        except pynvml.NVMLError as error:
            if error.value in _LOST:
                self._sick = True
            return None, str(error)
        except (AttributeError, OSError, ValueError, UnicodeError) as error:  # an older library or pynvml
            return None, f"{type(error).__name__}: {error}"

    def _open(self, handle: Any, index: int) -> list[_Board]:
        """A board, or its MIG instances where MIG is on."""
        mode, _ = self._ask(pynvml.nvmlDeviceGetMigMode, handle)
        whole = self._board(handle, index, None, None)
        if whole is None or mode is None or mode[0] != 1:
            return [] if whole is None else [whole]
        found = []
        most, _ = self._ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle)
        for place in range(most or 0):
            part, why = self._ask(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, place)
            if why is None:
                instance, _ = self._ask(pynvml.nvmlDeviceGetGpuInstanceId, part)
                board = self._board(part, index, handle, instance)
                found += [board] if board is not None else []
        return found

    def _board(self, handle: Any, index: int, parent: Any, instance: int | None) -> _Board | None:
        uuid, why = self._ask(pynvml.nvmlDeviceGetUUID, handle)
        if why is not None:
            return None
        name, _ = self._ask(pynvml.nvmlDeviceGetName, handle)
        memory, _ = self._ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
        limit, _ = self._ask(pynvml.nvmlDeviceGetPowerManagementLimit, handle)
        minor, _ = self._ask(pynvml.nvmlDeviceGetMinorNumber, parent if parent is not None else handle)
        model = name if name is not None else "unknown"
        info = GpuInfo(
            uuid=uuid,
            gpu_index=index,
            model=model,
            mem_total_mib=None if memory is None else memory.total // _MIB,
            power_limit_mw=limit,
            minor=minor,
            mig=None if parent is None else model.partition(" MIG ")[2] or "unknown profile",
        )
        return _Board(info, handle, parent, instance)

    # -- one look

    def read(self, gpu: GpuInfo) -> GpuReading:
        """All counters of one GPU; every field that NVML refuses is null with its reason."""
        board = self._boards.get(gpu.uuid)
        at, mono_s = self._wall(), self._mono()
        if board is None or not self._started:
            return _nothing(at, mono_s, self.why or "NVML is not there")
        why: dict[str, str] = {}
        fields = self._plain_fields(board, why)
        gpm = (
            self._gpm[gpu.uuid].look(mono_s)
            if gpu.uuid in self._gpm
            else GpmShares.missing("GPM is not open")
        )
        why.update(gpm.why)
        tx, rx = self._pcie(board, why)
        return GpuReading(
            at=at,
            mono_s=mono_s,
            **fields,
            sm_pct=gpm.sm_pct,
            tensor_pct=gpm.tensor_pct,
            int_pct=gpm.int_pct,
            dram_pct=gpm.dram_pct,
            sm_cycles=gpm.sm_cycles,
            pcie_tx_b=tx,
            pcie_rx_b=rx,
            nvlink_tx_b=gpm.nvlink_tx_b,
            nvlink_rx_b=gpm.nvlink_rx_b,
            why=why,
        )

    def _plain_fields(self, board: _Board, why: dict[str, str]) -> dict[str, Any]:
        """What one call each gives."""
        handle = board.handle
        memory = self._field(why, "mem_used_mib", pynvml.nvmlDeviceGetMemoryInfo, handle)
        util = self._field(why, "util_pct", pynvml.nvmlDeviceGetUtilizationRates, handle)
        reasons = getattr(
            pynvml, "nvmlDeviceGetCurrentClocksEventReasons", pynvml.nvmlDeviceGetCurrentClocksThrottleReasons
        )
        return {
            "energy_mj": self._field(why, "energy_mj", pynvml.nvmlDeviceGetTotalEnergyConsumption, handle),
            "power_mw": self._field(why, "power_mw", pynvml.nvmlDeviceGetPowerUsage, handle),
            "util_pct": None if util is None else float(util.gpu),
            "mem_used_mib": None if memory is None else memory.used // _MIB,
            "sm_clock_mhz": self._field(
                why, "sm_clock_mhz", pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM
            ),
            "temp_c": self._field(
                why, "temp_c", pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU
            ),
            "throttle": self._field(why, "throttle", reasons, handle),
        }

    def _field(self, why: dict[str, str], name: str, call: Callable[..., Any], *args: Any) -> Any:
        value, reason = self._ask(call, *args)
        if reason is not None:
            why[name] = reason
        return value

    def _pcie(self, board: _Board, why: dict[str, str]) -> tuple[int | None, int | None]:
        """Cumulative bytes both ways, from field values: the throughput call would block for 20 ms."""
        ids = [_PCIE_TX_BYTES, _PCIE_RX_BYTES]
        values, reason = self._ask(pynvml.nvmlDeviceGetFieldValues, board.handle, ids)
        found: list[int | None] = []
        for place, name in enumerate(("pcie_tx_b", "pcie_rx_b")):
            if reason is not None or values[place].nvmlReturn != pynvml.NVML_SUCCESS:
                why[name] = reason if reason is not None else str(pynvml.NVMLError(values[place].nvmlReturn))
                found.append(None)
            else:
                found.append(_number(values[place]))
        return found[0], found[1]

    # -- processes

    def processes(self, gpu: GpuInfo) -> list[GpuProc] | None:
        """Host pids with a context on the GPU (MPS clients too); null: NVML gave no list."""
        board = self._boards.get(gpu.uuid)
        if board is None or not self._started:
            return None
        listed, why = self._ask(pynvml.nvmlDeviceGetComputeRunningProcesses, board.handle)
        if why is not None:
            return None
        clients, _ = self._ask(pynvml.nvmlDeviceGetMPSComputeRunningProcesses, board.handle)
        memory = {p.pid: p.usedGpuMemory for p in [*listed, *(clients or [])]}
        use = self._process_use(board)
        return [
            GpuProc(
                pid=pid,
                mem_mib=None if used is None else used // _MIB,
                sm_pct=None if use is None else use.get(pid, 0.0),
            )
            for pid, used in sorted(memory.items())
        ]

    def _process_use(self, board: _Board) -> dict[int, float] | None:
        """Mean SM utilisation per pid since the last call; no samples: it did nothing. Null: not given."""
        since = self._since_us.get(board.info.uuid, 0)
        try:
            samples = pynvml.nvmlDeviceGetProcessUtilization(board.handle, since)
        except pynvml.NVMLError as error:
            return {} if error.value in _NOTHING_NEW else None
        except (AttributeError, OSError, ValueError):
            return None
        sums: dict[int, list[int]] = {}
        for sample in samples:
            if sample.timeStamp > since and sample.smUtil < _BLANK_PCT:
                sums.setdefault(sample.pid, []).append(sample.smUtil)
        newest = max((sample.timeStamp for sample in samples), default=since)
        self._since_us[board.info.uuid] = max(since, newest)
        return {pid: sum(values) / len(values) for pid, values in sums.items()}


def _number(value: Any) -> int:
    """A field value's number by its declared type."""
    kinds = {
        pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
        pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
        pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
        pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    }
    return int(getattr(value.value, kinds.get(value.valueType, "sllVal")))


def _nothing(at: float, mono_s: float, reason: str) -> GpuReading:
    """A reading in which nothing was observed."""
    names = [name for name in GpuReading._fields if name not in ("at", "mono_s", "why")]
    nulls: dict[str, Any] = dict.fromkeys(names)
    return GpuReading(at=at, mono_s=mono_s, **nulls, why=dict.fromkeys(names, reason))
