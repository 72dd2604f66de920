"""boards.state: the boards as the NVML library reads them, behind a seqlock (mirrors ../nvml/state.h)."""

import mmap
import os
import struct
from pathlib import Path
from types import TracebackType

from slurm_guard.simulate.boards import Board

MAGIC = 0x31424753
MAX_BOARDS = 16
MAX_PROCS = 32
STALE_MS = 5000  # judgement: a rig on two busy cores may starve the board process for seconds
DRIVER = b"590.48.01"

_HEADER = struct.Struct("<IIQQIIII32s")
_BOARD = struct.Struct("<96s96s21Q22I")
_PROC = struct.Struct("<IIQ")
_USE = struct.Struct("<IIIIQ")
BOARD_BYTES = _BOARD.size + MAX_PROCS * (_PROC.size + _USE.size) + 8  # the reader's own field
STATE_BYTES = _HEADER.size + MAX_BOARDS * BOARD_BYTES

_GPM, _MIG_CAPABLE, _AVERAGED, _NVLINK = 1, 2, 8, 16
_ARCH = {"v100": (5, 70), "a100": (7, 80), "h100": (9, 90), "h200": (9, 90), "b200": (10, 100)}  # nvml.h
_RESERVED_B = 600 << 20  # what the driver keeps: H100 capture, 81559 MiB total of 80 GiB + ECC


class StateFile:
    """The writer. The file keeps inode and size, so that open maps stay good over a restart."""

    def __init__(self, path: Path, boards: list[Board], stale_ms: int = STALE_MS) -> None:
        self._boards = boards
        self._before: dict[int, tuple[float, float, float]] = {}
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            os.fchmod(fd, 0o644)
            if os.fstat(fd).st_size < STATE_BYTES:
                os.ftruncate(fd, STATE_BYTES)
            self._map = mmap.mmap(fd, STATE_BYTES)
        finally:
            os.close(fd)
        self._seq = (int.from_bytes(self._map[8:16], "little") | 1) + 1
        self._stale_ms = stale_ms

    def write(self, at: float, started_at: float) -> None:
        """Publish all boards as of wall time `at`; `started_at` is the wall time of the boards' zero."""
        parts = [self._pack(board, started_at) for board in self._boards]
        body = b"".join(parts)
        self._map[8:16] = (self._seq + 1).to_bytes(8, "little")  # odd: readers wait
        head = _HEADER.pack(
            MAGIC, 1, self._seq + 1, int(at * 1e6), len(parts), BOARD_BYTES, self._stale_ms, 0, DRIVER
        )
        self._map[: _HEADER.size] = head
        self._map[_HEADER.size : _HEADER.size + len(body)] = body
        self._seq += 2
        self._map[8:16] = self._seq.to_bytes(8, "little")

    def close(self) -> None:
        """Unmap; the file stays and turns stale, as a board that fell off the bus."""
        self._map.close()

    def __enter__(self) -> "StateFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pack(self, board: Board, started_at: float) -> bytes:
        spec, totals = board.spec, board.totals()
        tx_kbs, rx_kbs = self._bus_rates(board, totals.pcie_tx_b, totals.pcie_rx_b)
        flags = (_GPM if spec.gpm else 0) | (_MIG_CAPABLE if spec.key != "v100" else 0)
        flags |= _NVLINK | (_AVERAGED if spec.averaged else 0)
        procs = sorted(board.mem_mib.items())[:MAX_PROCS]
        uses = sorted(board.pid_use.items())[:MAX_PROCS]
        seconds = (
            totals.busy_s, totals.sm_s, totals.tensor_s, totals.integer_s,
            totals.fp32_s, totals.fp64_s, totals.dram_s,
        )  # fmt: skip
        packed = _BOARD.pack(
            spec.name.encode(), board.uuid.encode(),
            spec.mem_mib << 20, board.used_mib() << 20, _RESERVED_B, int(totals.energy_mj), board.reasons,
            int(board.time_s * 1e9), *(int(value * 1e9) for value in seconds),
            int(totals.cycles_elapsed), int(totals.sm_cycles), int(totals.tensor_cycles),
            int(totals.integer_cycles), int(totals.pcie_tx_b), int(totals.pcie_rx_b),
            int(totals.nvlink_tx_b), int(totals.nvlink_rx_b),
            board.index, 0x09 + 0x11 * board.index & 0xFF, spec.pci_device_id, 0x16C110DE,
            int(board.power_w * 1000), int(board.shown_power_w() * 1000),
            int(board.limit_w * 1000), int(spec.tdp_w * 1000),
            board.util_pct, board.mem_util_pct, round(board.temp_c), board.clock_mhz,
            spec.mem_clock_mhz, spec.max_clock_mhz, spec.mem_clock_mhz,
            tx_kbs, rx_kbs, flags, len(procs), len(uses), *_ARCH[spec.key],
        )  # fmt: skip
        tables = [_PROC.pack(pid, 0, mib << 20) for pid, mib in procs]
        tables.append(bytes(_PROC.size * (MAX_PROCS - len(procs))))
        tables += [_USE.pack(p, u.sm_pct, u.mem_pct, 0, int((started_at + u.at_s) * 1e6)) for p, u in uses]
        tables.append(bytes(_USE.size * (MAX_PROCS - len(uses)) + 8))
        return packed + b"".join(tables)

    def _bus_rates(self, board: Board, tx_b: float, rx_b: float) -> tuple[int, int]:
        """KB/s since the last write: NVML's throughput looks at 20 ms, a tick here is 50."""
        time_s, old_tx, old_rx = self._before.get(board.index, (0.0, 0.0, 0.0))
        span = board.time_s - time_s
        self._before[board.index] = (board.time_s, tx_b, rx_b)
        if span <= 0:
            return 0, 0
        return int((tx_b - old_tx) / span / 1000), int((rx_b - old_rx) / span / 1000)
