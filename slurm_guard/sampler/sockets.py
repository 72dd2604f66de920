"""TCP connections and listeners of runs' processes, in the node's own network namespace, by socket inode."""

import re
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

from slurm_guard import wire
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.processes import ProcessTable
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.writer import Instant

MOST_LINES = 20_000  # of each kernel table: judgement; 500 sockets are a busy training node (budget)
MOST_FLOWS = 512  # followed per run: judgement
MOST_FDS = 4096  # of one process
_STATES = {"01": "ESTABLISHED", "0A": "LISTEN"}
_INODE = re.compile(r"socket:\[(\d+)\]")


class Row(NamedTuple):
    """One line of /proc/net/tcp that we follow."""

    proto: str
    local: str
    peer: str
    state: str
    uid: int
    inode: int


class _Flow(NamedTuple):
    row: Row
    process: Process
    run: str
    first_at: float


def parse_table(text: str, proto: str, most: int = MOST_LINES) -> tuple[list[Row], bool]:
    """(established and listening sockets, whether lines were left out)."""
    rows = []
    lines = text.splitlines()[1:]
    for line in lines[:most]:
        cells = line.split()
        if len(cells) < 10 or cells[3] not in _STATES or cells[9] == "0":
            continue
        try:
            row = Row(
                proto, address(cells[1]), address(cells[2]), _STATES[cells[3]], int(cells[7]), int(cells[9])
            )
        except (ValueError, OSError, struct.error):
            continue
        rows.append(row)
    return rows, len(lines) > most


def address(text: str) -> str:
    """`0100007F:1F90` as `127.0.0.1:8080`; the kernel prints 32-bit words in host order."""
    raw, port = text.split(":")
    words = struct.pack(f"={len(raw) // 8}I", *(int(raw[i : i + 8], 16) for i in range(0, len(raw), 8)))
    if len(words) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, words)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, words)}]:{int(port, 16)}"


class SocketTable:
    """Follows sockets between looks: a record when one is first seen, and one when it is gone."""

    def __init__(self, proc: Proc) -> None:
        self.proc = proc
        # runs of which sockets were left out at the last look, and how many; null: the kernel's table was cut
        self.truncated: dict[str, int | None] = {}
        self._flows: dict[int, _Flow] = {}
        self._orphans: set[int] = set()  # inodes of the runs' users that no followed process held

    def look(self, now: Instant, table: ProcessTable, runs: set[str]) -> list[wire.FlowSeen]:
        """One pass over the kernel's tables."""
        rows, self.truncated = self._rows(runs)
        told = [self._record(flow, now, gone=True) for flow in self._vanished(rows, runs)]
        members = [p for p in table.by_pid.values() if p.run in runs]
        uids = {process.uid for process in members}
        new = {inode: row for inode, row in rows.items() if inode not in self._flows and row.uid in uids}
        if not set(new) - self._orphans:
            self._orphans &= set(rows)
            return told
        found = self._owners(set(new), members)
        self._orphans = set(new) - set(found)
        counts: dict[str, int] = {}
        for flow in self._flows.values():
            counts[flow.run] = counts.get(flow.run, 0) + 1
        for inode in sorted(found):
            process = found[inode]
            if process.run is None:
                continue
            counts[process.run] = counts.get(process.run, 0) + 1
            if counts[process.run] > MOST_FLOWS:
                self.truncated.setdefault(process.run, 0)
                left = self.truncated[process.run]
                self.truncated[process.run] = None if left is None else left + 1
                continue
            self._flows[inode] = _Flow(new[inode], process, process.run, now.at)
            told.append(self._record(self._flows[inode], now, gone=False))
        return told

    def _rows(self, runs: set[str]) -> tuple[dict[int, Row], dict[str, int | None]]:
        rows: dict[int, Row] = {}
        short = False
        for proto in ("tcp", "tcp6"):
            text = self.proc.read_all(f"net/{proto}", MOST_LINES * 200) or ""
            part, cut = parse_table(text, proto)
            short = short or cut
            rows.update({row.inode: row for row in part})
        return rows, dict.fromkeys(runs) if short else {}

    def _vanished(self, rows: dict[int, Row], runs: set[str]) -> list[_Flow]:
        """Flows that ended, or whose inode is another socket's by now."""
        lost = [
            inode
            for inode, flow in self._flows.items()
            if flow.run not in runs or inode not in rows or rows[inode][:4] != flow.row[:4]
        ]
        return [self._flows.pop(inode) for inode in lost]

    def end(self, run: str, now: Instant) -> list[wire.FlowSeen]:
        """The last word about a run's flows."""
        lost = [inode for inode, flow in self._flows.items() if flow.run == run]
        return [self._record(self._flows.pop(inode), now, gone=True) for inode in lost]

    def _owners(self, wanted: set[int], members: Iterable[Process]) -> dict[int, Process]:
        """Which process holds which socket; the oldest where several do."""
        found: dict[int, Process] = {}
        for process in sorted(members, key=lambda p: p.key[::-1]):
            for inode in _socket_inodes(self.proc, process.pid):
                if inode in wanted:
                    found.setdefault(inode, process)
            if len(found) == len(wanted):
                break
        return found

    def _record(self, flow: _Flow, now: Instant, gone: bool) -> wire.FlowSeen:
        return wire.FlowSeen(
            run=flow.run,
            pid=flow.process.pid,
            exe=wire.clip(flow.process.exe),
            proto=flow.row.proto,
            local=flow.row.local,
            peer=flow.row.peer,
            state=flow.row.state,
            inode=flow.row.inode,
            first_seen_at=flow.first_at,
            last_seen_at=now.at,
            gone=gone,
            mono_s=now.mono_s,
        )


def _socket_inodes(proc: Proc, pid: int) -> list[int]:
    links = (proc.link(pid, f"fd/{name}") for name in proc.names(pid, "fd")[:MOST_FDS])
    return [int(found[1]) for found in (_INODE.fullmatch(link or "") for link in links) if found]
