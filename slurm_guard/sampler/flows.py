"""One TCP connection or listener of a run, as it is followed from look to look."""

from __future__ import annotations

from slurm_guard import wire
from slurm_guard.light import Iterable, Iterator, Mapping
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.tcpsample import Sample
from slurm_guard.sampler.writer import Instant

NOTHING = (0, 0, 0, 0)


Counts = tuple[int, int, int, int]


class Flow:
    """`process`: null for one that came and went between two looks. `began`: the sampler was there when it
    began, so that all its bytes are of its own time."""

    __slots__ = (
        *(
            "sample",
            "process",
            "run",
            "first_at",
            "first_s",
            "opened",
            "moved",
            "near",
            "is_fresh",
            "_read",
            "_read_s",
            "_told_b",
            "_told_s",
            "_exe",
        ),
    )

    def __init__(
        self, sample: Sample, process: Process | None, run: str, now: Instant, *, began: bool
    ) -> None:
        self.sample, self.process, self.run = sample, process, run
        self.first_at, self.first_s = now.at, now.mono_s
        self.opened: bool | None = sample.opened
        self.near: int | None = None  # how near its far end is; null: not asked yet
        self.moved = (
            counts_of(sample) if began else NOTHING
        )  # bytes out, in, segments out, in: since the last look
        self.is_fresh = began  # it began since the last look
        self._read, self._read_s = sample, now.mono_s  # the sample whose ages are of that moment
        self._told_b, self._told_s = -1, now.mono_s
        self._exe = None if process is None else wire.clip(process.exe)

    @property
    def is_connection(self) -> bool:
        """No listener."""
        return self.sample.state != "LISTEN"

    def is_same(self, row: Sample) -> bool:
        """Whether a row is of the same socket: inodes are used again."""
        mine = self.sample
        return (mine.proto, mine.local, mine.peer) == (row.proto, row.local, row.peer)

    def update(self, sample: Sample) -> None:
        """One more look. Who opened it is kept once it is known: later data can hide it."""
        if self.opened is None or (sample.opened and sample.state != "CLOSED"):
            self.opened = sample.opened if sample.opened is not None else self.opened
        if sample is self.sample:
            self.moved = NOTHING
            return
        self.moved = less(counts_of(sample), counts_of(self.sample))
        before = self.sample  # the message of its end says neither whose it was nor where it was made
        if sample.state == "CLOSED":
            sample = sample._replace(uid=before.uid, inode=before.inode, netns=before.netns, run=before.run)
        self.sample = sample

    def count_less(self, counted: Counts | None) -> None:
        """Between two looks so much of it was counted already; null: nothing was."""
        if counted is not None:
            self.moved, self.is_fresh = less(self.moved, counted), False

    def ages(self, mono_s: float) -> tuple[int | None, int | None]:
        """How long ago, in ms, data last went and came; null: not told. A socket that stood still keeps the
        sample that it had, whose ages are of that look."""
        self._note_read(mono_s)
        since_ms = round(1000 * (mono_s - self._read_s))
        sent_ms, recv_ms = self.sample.sent_ms, self.sample.recv_ms
        return (
            None if sent_ms is None else sent_ms + since_ms,
            None if recv_ms is None else recv_ms + since_ms,
        )

    def _note_read(self, mono_s: float) -> None:
        if self.sample is not self._read:
            self._read, self._read_s = self.sample, mono_s

    def start_look(self, mono_s: float) -> None:
        """What moved before has been counted."""
        self._note_read(mono_s)
        self.moved, self.is_fresh = NOTHING, False

    def pass_to(self, process: Process) -> None:
        """Another process holds it now."""
        self.process, self._exe = process, wire.clip(process.exe)

    def is_due(self, mono_s: float, every_s: float) -> bool:
        """Whether bytes have grown since they were last told, and that is long ago."""
        return mono_s - self._told_s >= every_s and _bytes(self.sample) != self._told_b

    def is_uncounted(self, mono_s: float, least_s: float) -> bool:
        """Whether it is a TCP connection of which, for so long, no bytes were told."""
        is_tcp = self.is_connection and self.sample.proto.startswith("tcp")
        return is_tcp and self.sample.out_b is None and mono_s - self._told_s >= least_s

    def record(self, now: Instant, *, gone: bool) -> wire.FlowSeen:
        """The connection as it stands."""
        sample = self.sample
        self._told_b, self._told_s = _bytes(sample), now.mono_s
        return wire.FlowSeen(
            run=self.run,
            pid=None if self.process is None else self.process.pid,
            exe=self._exe,
            proto=sample.proto,
            local=sample.local,
            peer=sample.peer,
            state=sample.state,
            inode=sample.inode or None,
            first_seen_at=self.first_at,
            last_seen_at=now.at,
            gone=gone,
            mono_s=now.mono_s,
            uid=sample.uid,
            cookie=sample.cookie,
            opened=self.opened if self.is_connection else None,
            out_b=sample.out_b,
            in_b=sample.in_b,
            min_rtt_us=sample.min_rtt_us,
            netns=sample.netns,
            how=self.how,
        )

    @property
    def how(self) -> str | None:
        """What says that it is the run's: the control group that it was made in, a process of the run that
        holds it, or both. Null: neither, of one that ended before anybody looked."""
        by_group, by_holder = (
            self.sample.run == self.run,
            self.process is not None and self.process.run == self.run,
        )
        return "both" if by_group and by_holder else "cgroup" if by_group else "inode" if by_holder else None


def orphaned(flows: Iterable[Flow], members: Iterable[Process]) -> list[Flow]:
    """Those whose holder was of the run and has ended: somebody else may hold them, as after a fork."""
    there = {process.key for process in members}
    return [flow for flow in flows if flow.sample.inode and _has_left(flow, there)]


def _has_left(flow: Flow, there: set[tuple[int, int]]) -> bool:
    holder = flow.process
    return holder is not None and holder.run == flow.run and holder.key not in there


def pass_on(left: list[Flow], holders: Mapping[int, Process], now: Instant) -> Iterator[wire.FlowSeen]:
    """Those of which a holder was found are his from now on, and told again."""
    for flow in left:
        if flow.sample.inode in holders:
            flow.pass_to(holders[flow.sample.inode])
            yield flow.record(now, gone=False)


def go_on(flows: dict[int, Flow], rows: Mapping[int, Sample], entered: set[int]) -> None:
    """Those that were followed by inode go on by the kernel's own number, in network namespaces that have
    been entered since. What it counts of them moved before."""
    found = {row.inode: row for row in rows.values() if row.netns in entered and row.inode} if entered else {}
    for ident in [i for i, flow in flows.items() if flow.sample.cookie is None] if found else ():
        flow = flows[ident]
        row = found.get(flow.sample.inode)
        if row is not None and row.netns == flow.sample.netns and flow.is_same(row):
            del flows[ident]
            flows[row.ident] = flow
            flow.sample, flow.opened = row, row.opened


def counts_of(sample: Sample) -> Counts:
    """Bytes out and in, segments out and in."""
    return sample.out_b or 0, sample.in_b or 0, sample.out_n or 0, sample.in_n or 0


def _bytes(sample: Sample) -> int:
    return (sample.out_b or 0) + (sample.in_b or 0)


def less(now: Counts, before: Counts) -> Counts:
    """How much more there is now, none of it below 0."""
    a, b, c, d = now
    return max(0, a - before[0]), max(0, b - before[1]), max(0, c - before[2]), max(0, d - before[3])
