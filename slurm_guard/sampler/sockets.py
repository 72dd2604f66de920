"""TCP connections and listeners of runs' processes, in the node's own network namespace, by socket inode."""

from __future__ import annotations

import _socket
import re
import struct
from collections.abc import Iterable, Iterator

from slurm_guard import wire
from slurm_guard.light import NamedTuple
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.processes import ProcessTable
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.writer import Instant

MOST_LINES = 20_000  # of each kernel table: judgement; 500 sockets are a busy training node (budget)
MOST_FLOWS = 512  # followed per run: judgement
MOST_FDS = 4096  # of one process
_STATES = {b"01": "ESTABLISHED", b"0A": "LISTEN"}
_LENGTHS = {"tcp": 13, "tcp6": 37}  # of an address and its port, in hex
_INODE = re.compile(r"socket:\[(\d+)\]")


class Line(NamedTuple):
    """One line of /proc/net/tcp that we follow, as little read as it takes to know the socket again."""

    inode: int
    proto: str
    ends: bytes  # local and remote address with the state
    uid: int


class _Flow(NamedTuple):
    line: Line
    process: Process
    run: str
    first_at: float


def read_line(line: bytes, proto: str) -> Line | None:
    """An established or listening socket; null: another line."""
    cells = line.split(None, 10)
    if len(cells) < 10 or cells[3] not in _STATES or cells[9] == b"0":
        return None
    if not len(cells[1]) == len(cells[2]) == _LENGTHS[proto]:
        return None
    try:
        return Line(int(cells[9]), proto, b" ".join(cells[1:4]), int(cells[7]))
    except ValueError:
        return None


def address(text: bytes) -> str:
    """`0100007F:1F90` as `127.0.0.1:8080`; the kernel prints 32-bit words in host order."""
    raw, port = text.split(b":")
    words = struct.pack(f"={len(raw) // 8}I", *(int(raw[i : i + 8], 16) for i in range(0, len(raw), 8)))
    if len(words) == 4:
        return f"{_socket.inet_ntop(_socket.AF_INET, words)}:{int(port, 16)}"
    return f"[{_socket.inet_ntop(_socket.AF_INET6, words)}]:{int(port, 16)}"


class SocketTable:
    """Follows sockets between looks: a record when one is first seen, and one when it is gone."""

    def __init__(self, proc: Proc) -> None:
        self.proc = proc
        # runs of which sockets were left out at the last look, and how many; null: the kernel's table was cut
        self.truncated: dict[str, int | None] = {}
        self._flows: dict[int, _Flow] = {}
        self._orphans: set[int] = set()  # inodes of the runs' users that no followed process held

    def look(self, now: Instant, table: ProcessTable, runs: set[str]) -> Iterator[wire.FlowSeen]:
        """One pass over the kernel's tables; what is told comes one by one."""
        members = [p for p in table.by_pid.values() if p.run in runs]
        still, new, short = self._compare(runs, {process.uid for process in members})
        self.truncated = dict.fromkeys(runs) if short else {}
        yield from (self._record(flow, now, gone=True) for flow in self._vanished(still))
        if not set(new) - self._orphans:
            self._orphans &= set(new)
            return
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
            yield self._record(self._flows[inode], now, gone=False)

    def _compare(self, runs: set[str], uids: set[int | None]) -> tuple[set[int], dict[int, Line], bool]:
        """(flows that are as they were, other sockets of these users, whether lines were left out)."""
        still: set[int] = set()
        new: dict[int, Line] = {}
        short = False
        for proto in ("tcp", "tcp6"):
            for place, text in enumerate(self.proc.lines(f"net/{proto}", MOST_LINES * 200)):
                if place > MOST_LINES:  # the first line is the heading
                    short = True
                    break
                line = read_line(text, proto)
                if line is None:
                    continue
                flow = self._flows.get(line.inode)
                if flow is not None and flow.line[:3] == line[:3] and flow.run in runs:
                    still.add(line.inode)
                elif line.uid in uids:
                    new[line.inode] = line
        return still, new, short

    def _vanished(self, still: set[int]) -> list[_Flow]:
        """Flows that ended, or whose inode is another socket's by now."""
        return [self._flows.pop(inode) for inode in list(self._flows) if inode not in still]

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
        local, peer, state = flow.line.ends.split()
        return wire.FlowSeen(
            run=flow.run,
            pid=flow.process.pid,
            exe=wire.clip(flow.process.exe),
            proto=flow.line.proto,
            local=address(local),
            peer=address(peer),
            state=_STATES[state],
            inode=flow.line.inode,
            first_seen_at=flow.first_at,
            last_seen_at=now.at,
            gone=gone,
            mono_s=now.mono_s,
        )


def _socket_inodes(proc: Proc, pid: int) -> list[int]:
    links = (proc.link(pid, f"fd/{name}") for name in proc.names(pid, "fd")[:MOST_FDS])
    return [int(found[1]) for found in (_INODE.fullmatch(link or "") for link in links) if found]
