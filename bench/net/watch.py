"""The sampler's own socket table over the processes of one play, as if they were a run."""

import time

from bench.net.shape import BRIDGE, DEVICE, FORWARD
from bench.net.stage import Stage
from slurm_guard import wire
from slurm_guard.config import NetworkConfig
from slurm_guard.networks import OUTSIDE, Nearness, parse_place
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.sockets import SocketTable, Told
from slurm_guard.sampler.tcpdiag import tcp_diag
from slurm_guard.sampler.writer import Instant

RUN = "play"


class _Processes:
    """What the socket table needs of the node's process table."""

    def __init__(self, proc: Proc, roots: list[int], uid: int) -> None:
        self.proc, self.roots, self.uid = proc, roots, uid
        self.by_pid: dict[int, Process] = {}

    def look(self, now: Instant) -> None:
        """The roots and everything below them, and the account's processes whose parent has gone: on a node
        the control group holds them."""
        stats = {pid: stat for pid in self.proc.pids() if (stat := self.proc.stat(pid)) is not None}
        left = {pid for pid, stat in stats.items() if stat.ppid == 1 and self.proc.ids(pid).uid == self.uid}
        inside = {*self.roots, *left}
        while True:
            more = {pid for pid, stat in stats.items() if stat.ppid in inside} - inside
            if not more:
                break
            inside |= more
        self.by_pid = {pid: p for pid, p in self.by_pid.items() if pid in stats and pid in inside}
        for pid in inside & stats.keys() - self.by_pid.keys():
            process = Process(stats[pid], now.at, now)
            process.run, process.uid, process.exe = RUN, self.proc.ids(pid).uid, self.proc.link(pid, "exe")
            self.by_pid[pid] = process


class Watcher:
    """Looks, and remembers what was told."""

    def __init__(self, stage: Stage, shape: str) -> None:
        """`shape`: what is awaited: of a bridge its event, since a joint on its way may be told before."""
        proc = Proc()
        self._awaited = wire.Event if shape == BRIDGE else wire.RelaySeen
        self._stage = stage
        self._near = Nearness(NetworkConfig().cluster)
        self._processes = _Processes(proc, stage.roots, stage.home.stat().st_uid)
        self._sockets = SocketTable(proc, NetworkConfig(), tcp_diag(proc.root))
        self.told: list[Told] = []
        self.looks_late: int | None = None
        self.busy_late: int | None = (
            None  # of these, those since whose predecessor an exchange came to an end
        )
        self._n_busy = self._n_uses = 0
        self._used_since: int | None = None
        self.n = 0
        self.event_late_s: float | None = None  # from the beginning of the first exchange to the event
        self._round_s, self._n_rounds = 0.0, 0

    def look(self) -> None:
        """Once."""
        now = Instant(time.time(), time.monotonic())
        self._processes.look(now)
        told = list(self._sockets.look(now, self._processes, {RUN}))  # type: ignore[arg-type]
        self.n += 1
        if self._used_since is None and self._is_used(told):
            self._used_since = self.n
        n_uses = self._stage.n_uses()
        self._n_busy += n_uses > self._n_uses
        self._n_uses = n_uses
        self._note(told, self.n)

    def round(self) -> None:
        """What the sampler does in each round between two looks."""
        self._sockets.hear(time.monotonic())
        is_busy, began_s = self._sockets.closeup.has_suspects, time.thread_time()
        told = self._sockets.closer(Instant(time.time(), time.monotonic()))
        if is_busy:
            self._round_s += time.thread_time() - began_s
            self._n_rounds += 1
        self._note(told, self.n + 1)

    @property
    def round_ms(self) -> float | None:
        """CPU time of a round in which there was a suspect; null: there was none."""
        return 1000 * self._round_s / self._n_rounds if self._n_rounds else None

    def _note(self, told: list[Told], n: int) -> None:
        """`n`: the look by which it was told."""
        if self.looks_late is None and any(isinstance(t, self._awaited) for t in told):
            self.looks_late, self.busy_late = n - (self._used_since or n), self._n_busy
        if self.event_late_s is None and any(isinstance(t, wire.Event) and t.name == "bridge" for t in told):
            began_s = self._stage.began_s()
            self.event_late_s = None if began_s is None else time.monotonic() - began_s
        self.told += told

    def _is_used(self, told: list[Told]) -> bool:
        """Whether the first exchange has begun; where its program does not say when, the first connection
        to this node or the cluster stands for it."""
        if self._stage.began():
            return True
        flows = [t for t in told if isinstance(t, wire.FlowSeen) and t.opened]
        return any(self._near.of(parse_place(t.peer)) != OUTSIDE for t in flows) and self._stage.n_uses() > 0

    def end(self) -> None:
        """The last word."""
        now = Instant(time.time(), time.monotonic())
        self.told += self._sockets.end(RUN, now)
        self._sockets.close()

    def shapes(self) -> tuple[set[str], bool]:
        """(bridge, forward, device, other: what the node told of, to outside; whether as a hard fact)."""
        found = set()
        for relay in self.told:
            if not isinstance(relay, wire.RelaySeen):
                continue
            out = self._near.of(parse_place(relay.outer_peer)) == OUTSIDE and relay.outer_opened
            # as the audit has it: strangers' short connections may have been counted
            if out and relay.inner_local.startswith("device "):
                found.add(DEVICE)
            elif out and relay.inner_opened is not None and relay.inner_owned is not False:
                shape = BRIDGE if relay.inner_opened else FORWARD
                found.add("other" if shape == BRIDGE and not relay.led else shape)
            else:
                found.add("other")
        return found, any(isinstance(t, wire.Event) and t.name == "bridge" for t in self.told)
