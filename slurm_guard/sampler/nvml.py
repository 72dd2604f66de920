"""NVML through one funnel: the only file that imports pynvml. What cannot be had is null with its reason.

The sampler itself never imports this file: it runs in `nvml_child`, since any call can hang in the kernel.
"""

from __future__ import annotations

import time

from slurm_guard.light import Any, Callable
from slurm_guard.sampler import binding
from slurm_guard.sampler.fieldset import Why
from slurm_guard.sampler.nvml_board import NvmlBoard
from slurm_guard.sampler.reading import GpuFacts, GpuInfo, GpuProc, GpuReading, PastProc, silence

pynvml = binding.load("pynvml")

FIRST_RETRY_S = 2.0  # at a boot the driver comes some seconds late; doubled with each try: judgement
RETRY_S = 30.0  # between tries to start NVML again, or to open a lost GPU again: judgement
CHECK_S = 60.0  # between looks whether the boards are still the same: judgement, a dozen cheap calls
FORGET_S = 3600.0  # lasting refusals are tried again that often: judgement
_MIB = 1 << 20
_DRIVER_WIDE = (
    pynvml.NVML_ERROR_UNINITIALIZED,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
)
_BOARD_WIDE = (
    pynvml.NVML_ERROR_GPU_IS_LOST,
    getattr(pynvml, "NVML_ERROR_RESET_REQUIRED", 16),
    getattr(pynvml, "NVML_ERROR_GPU_NOT_FOUND", 28),
)


class NvmlReader:
    """NVML as the loop wants it. Retries by itself when the driver comes late or goes away."""

    def __init__(
        self, mono: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._mono, self._wall = mono, wall
        self._infos: dict[str, GpuInfo] = {}  # a board off the bus keeps its place: its silence shows
        self._open: dict[str, NvmlBoard] = {}
        self._out: dict[int, list[GpuInfo]] = {}  # NVML index -> boards that must not be touched
        self._lost: dict[str, float] = {}  # UUID -> monotonic second at which to open it again
        self._started = self._sick = False
        self._driver: str | None = None
        self._tried_s: float | None = None
        self._retry_s = FIRST_RETRY_S
        self._checked_s = self._forgot_s = 0.0
        self.announce: Callable[[int], None] = lambda _index: None  # told before a GPU is opened or checked
        self.why: str | None = None  # why there are no GPUs; null: there are

    # -- start and stop

    def gpus(self) -> list[GpuInfo]:
        """The node's GPUs in NVML's order; empty with `why` while NVML cannot be had."""
        if not self._started or self._sick or not self._infos:
            if self._may_try():
                self._restart()
        elif self._mono() - self._checked_s >= CHECK_S:
            self._check()
        return list(self._infos.values())

    def leave_out(self, infos: list[GpuInfo]) -> None:
        """Boards at which NVML hung: they keep their place and are not touched."""
        self._out = {}
        for info in infos:
            self._out.setdefault(info.gpu_index, []).append(info)
            self._infos.setdefault(info.uuid, info)
            self._drop(info.uuid)

    def _may_try(self) -> bool:
        now_s = self._mono()
        if self._tried_s is not None and now_s - self._tried_s < self._retry_s:
            return False
        self._retry_s = min(RETRY_S, 2 * self._retry_s)
        self._tried_s = now_s
        return True

    def _restart(self) -> None:
        """NVML from the beginning: every handle is given up first."""
        self.close()
        _, why = self._ask(pynvml.nvmlInitWithFlags, 0)
        self.why = why.text if why is not None else None
        if why is not None:
            return
        self._started, self._sick, self._retry_s = True, False, FIRST_RETRY_S
        self._driver, _ = self._ask(pynvml.nvmlSystemGetDriverVersion)
        self._lost.clear()
        self._checked_s = self._forgot_s = self._mono()
        self._enumerate()

    def _enumerate(self) -> None:
        count, why = self._ask(pynvml.nvmlDeviceGetCount)
        found: dict[str, GpuInfo] = {}
        for index in range(count or 0):
            if index in self._out:
                found.update((info.uuid, info) for info in self._out[index])
                continue
            self.announce(index)
            for board in self._boards_at(index):
                self._open[board.info.uuid] = board
                found[board.info.uuid] = board.info
        self.why = None
        if not found and not self._infos:
            self.why = why.text if why is not None else "NVML names no GPU"
        kept = [info for info in self._infos.values() if self._stays(info, found)]
        for info in kept:
            found.setdefault(info.uuid, info)
        self._infos = dict(sorted(found.items(), key=lambda item: item[1].gpu_index))

    def _stays(self, info: GpuInfo, found: dict[str, GpuInfo]) -> bool:
        """A board that is not found keeps its place, but for a MIG instance whose GPU is there without it."""
        taken = any(info.gpu_index == other.gpu_index for other in found.values())
        return info.uuid not in found and not taken

    def close(self) -> None:
        """Give NVML back, handles first."""
        for uuid in list(self._open):
            self._drop(uuid)
        if self._started:
            self._started = False
            self._ask(pynvml.nvmlShutdown)

    def _drop(self, uuid: str) -> None:
        board = self._open.pop(uuid, None)
        if board is not None:
            board.close()

    def _check(self) -> None:
        """Whether count, UUIDs and MIG instances are what they were; if not, everything is opened anew."""
        self._checked_s = self._mono()
        if self._checked_s - self._forgot_s >= FORGET_S:
            self._forgot_s = self._checked_s
            for board in self._open.values():
                board.fields.refused.clear()
        driver, why = self._ask(pynvml.nvmlSystemGetDriverVersion)
        changed = why is None and driver != self._driver
        count, _ = self._ask(pynvml.nvmlDeviceGetCount)
        for index in [i for i in range(count or 0) if i not in self._out]:
            self.announce(index)
            handle, why = self._ask(pynvml.nvmlDeviceGetHandleByIndex, index)
            seen = set() if why is not None else {uuid for _, uuid, _, _ in self._parts(handle)}
            before = {uuid for uuid, board in self._open.items() if board.info.gpu_index == index}
            # nothing seen: it does not answer, as its readings say; a lost one that is back is opened alone
            changed |= bool(seen) and (bool(before - seen) or not seen <= set(self._infos))
        if changed and not self._sick:
            self._restart()

    # -- the funnel

    def _ask(self, call: Callable[..., Any], *args: Any) -> tuple[Any, Why | None]:
        """(value, null) or (null, reason). A missing symbol is a reason like any other."""
        try:
            return call(*args), None
        except pynvml.NVMLError as error:
            if error.value in _DRIVER_WIDE:
                self._sick = True
            return None, Why(str(error), error.value)
        except (AttributeError, OSError, ValueError, UnicodeError) as error:  # an older library or pynvml
            return None, Why(f"{type(error).__name__}: {error}", None)

    # -- boards

    def _boards_at(self, index: int) -> list[NvmlBoard]:
        """A board, or its MIG instances where MIG is on; empty: it does not answer."""
        handle, why = self._ask(pynvml.nvmlDeviceGetHandleByIndex, index)
        parts = [] if why is not None else self._parts(handle)
        return [
            NvmlBoard(pynvml, self._ask, self._info(part, uuid, index, parent), part, parent, instance)
            for part, uuid, parent, instance in parts
        ]

    def _parts(self, handle: Any) -> list[tuple[Any, str, Any, int | None]]:
        """(handle, UUID, parent, GPU instance id) of a board, or of its MIG instances where MIG is on."""
        uuid, why = self._ask(pynvml.nvmlDeviceGetUUID, handle)
        if why is not None:
            return []
        mode, _ = self._ask(pynvml.nvmlDeviceGetMigMode, handle)
        if mode is None or mode[0] != 1:
            return [(handle, uuid, None, None)]
        found = []
        most, _ = self._ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle)
        for place in range(most or 0):
            part, why = self._ask(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, place)
            if why is None:
                instance, _ = self._ask(pynvml.nvmlDeviceGetGpuInstanceId, part)
                part_uuid, why = self._ask(pynvml.nvmlDeviceGetUUID, part)
                found += [(part, part_uuid, handle, instance)] if why is None else []
        return found

    def _info(self, handle: Any, uuid: str, index: int, parent: Any) -> GpuInfo:
        whole = parent if parent is not None else handle
        name, _ = self._ask(pynvml.nvmlDeviceGetName, handle)
        memory, _ = self._ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
        limit, _ = self._ask(pynvml.nvmlDeviceGetPowerManagementLimit, handle)
        minor, _ = self._ask(pynvml.nvmlDeviceGetMinorNumber, whole)
        pci, _ = self._ask(pynvml.nvmlDeviceGetPciInfo, whole)
        model = name if name is not None else "unknown"
        bus = None if pci is None else pci.busId
        return GpuInfo(
            uuid=uuid,
            gpu_index=index,
            model=model,
            mem_total_mib=None if memory is None else memory.total // _MIB,
            power_limit_mw=limit,
            minor=minor,
            mig=None if parent is None else model.partition(" MIG ")[2] or "unknown profile",
            pci=bus.decode("ascii", "replace") if isinstance(bus, bytes) else bus,
            driver=self._driver,
        )

    def _board(self, gpu: GpuInfo) -> tuple[NvmlBoard | None, str]:
        """The open board, or why there is none. A lost one is opened again from time to time, alone."""
        if gpu.uuid in self._open:
            return self._open[gpu.uuid], ""
        if gpu.gpu_index in self._out:
            return None, "left out: NVML hung at this GPU"
        if not self._started or gpu.uuid not in self._infos:
            return None, self.why or "NVML is not there"
        now_s = self._mono()
        if now_s >= self._lost.get(gpu.uuid, 0.0):
            self._lost[gpu.uuid] = now_s + RETRY_S
            for board in self._boards_at(gpu.gpu_index):
                if board.info.uuid in self._infos and board.info.uuid not in self._open:
                    self._open[board.info.uuid] = board
                else:
                    board.close()
        return self._open.get(gpu.uuid), "GPU is lost"

    def _note_loss(self, uuid: str) -> None:
        """Close a board whose driver says that it is gone: a handle of it is good for nothing more."""
        board = self._open.get(uuid)
        if board is None:
            return
        _, why = self._ask(pynvml.nvmlDeviceGetUUID, board.handle)
        if why is not None and why.code in _BOARD_WIDE:
            self._drop(uuid)
            self._lost[uuid] = self._mono() + RETRY_S

    # -- one look

    def read(self, gpu: GpuInfo) -> GpuReading:
        """All counters of one GPU; every field that NVML refuses is null with its reason."""
        at, mono_s = self._wall(), self._mono()
        board, why = self._board(gpu)
        if board is None:
            return silence(at, mono_s, why)
        reading = board.read(at, mono_s)
        if reading.mem_used_mib is None and reading.power_mw is None:
            self._note_loss(gpu.uuid)
        return reading

    def processes(self, gpu: GpuInfo) -> list[GpuProc] | None:
        """Host pids with a context on the GPU, graphics and MPS clients too; null: NVML gave no list."""
        board, _ = self._board(gpu)
        return None if board is None else board.processes(self._mono())

    def past(self, gpu: GpuInfo, since_at: float) -> list[PastProc]:
        """Processes that only the driver's accounting saw and that ended after `since_at`."""
        board, _ = self._board(gpu)
        return [] if board is None else board.past(since_at)

    def facts(self, gpu: GpuInfo) -> GpuFacts | None:
        """What the driver gives of a GPU; null: it is not open."""
        board = self._open.get(gpu.uuid)
        return None if board is None else board.facts()

    def open_boards(self) -> dict[str, NvmlBoard]:
        """The boards that answer, by UUID."""
        return self._open
