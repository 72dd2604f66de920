"""What simulated jobs say to the network: connections and relays, recorded as a node's sampler would."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from slurm_guard import wire

LOOK_S = 10.0  # between looks at the kernel's sockets, as in production
_CIPHER = 1.08  # what encryption and framing add to a stream inside a stream


class Spell(NamedTuple):
    """A stretch in which a connection carries something, since the night began."""

    from_s: float
    until_s: float
    in_b_s: float
    out_b_s: float


class Line(NamedTuple):
    """One connection of a job's process. `keep_b_s`: keep-alives, each way; `greeting_b`: its first words."""

    node: str
    pid: int
    exe: str
    local: str
    peer: str
    opened: bool
    from_s: float
    until_s: float
    spells: tuple[Spell, ...] = ()
    keep_b_s: float = 2.4
    greeting_b: tuple[int, int] = (3700, 3200)
    rtt_us: int = 120

    def carried(self, t_s: float) -> tuple[int, int]:
        """Bytes in and out until then."""
        kept = self.keep_b_s * max(0.0, min(t_s, self.until_s) - self.from_s)
        sums = [self.greeting_b[0] + kept, self.greeting_b[1] + kept]
        for spell in self.spells:
            long_s = max(0.0, min(t_s, spell.until_s) - spell.from_s)
            sums[0] += spell.in_b_s * long_s
            sums[1] += spell.out_b_s * long_s
        return int(sums[0]), int(sums[1])


class Tunnel(NamedTuple):
    """A process that hands on what comes by its outer line to an inner one, and back."""

    outer: Line
    inner: Line

    @property
    def first_s(self) -> float:
        """When something came through for the first time."""
        return min((spell.from_s for spell in self.inner.spells), default=self.inner.from_s)


def through(
    outer: Line, inner: tuple[str, str, bool], spells: tuple[Spell, ...], exe: str | None = None
) -> Tunnel:
    """A tunnel: `inner` is (near local, near peer, opened here); `spells` as the far end sees them."""
    local, peer, opened = inner
    first, last = spells[0].from_s, spells[-1].until_s
    mirrored = tuple(Spell(s.from_s, s.until_s, s.out_b_s, s.in_b_s) for s in spells)
    near = Line(
        outer.node, outer.pid, exe or outer.exe, local, peer, opened, first, last, mirrored, keep_b_s=0.0
    )
    dressed = tuple(Spell(s.from_s, s.until_s, s.in_b_s * _CIPHER, s.out_b_s * _CIPHER) for s in spells)
    return Tunnel(outer._replace(spells=outer.spells + dressed), near)


class Sockets:
    """One job's lines and tunnels on one node, as they are first seen and at last."""

    def __init__(self, run: str, uid: int, lines: tuple[Line, ...], tunnels: tuple[Tunnel, ...]) -> None:
        self._run, self._uid = run, uid
        self._lines = [*lines, *(line for tunnel in tunnels for line in tunnel)]
        self._tunnels = list(tunnels)
        self._told: set[int] = set()  # lines seen, by place in the list; tunnels below zero
        self._done: set[int] = set()

    def look(
        self, begin_at: float, t_s: float, *, last: bool = False
    ) -> Iterator[wire.FlowSeen | wire.RelaySeen]:
        """What is new at `t_s`. `last`: the run is over, whatever still lives is told."""
        for k, line in enumerate(self._lines):
            if k not in self._told and _seen_s(line.from_s) <= t_s:
                self._told.add(k)
                yield self._flow(begin_at, k, _seen_s(line.from_s), gone=False)
            if k in self._told and k not in self._done and (last or line.until_s <= t_s):
                self._done.add(k)
                yield self._flow(begin_at, k, min(t_s, line.until_s), gone=True)
        for k, tunnel in enumerate(self._tunnels, 1):
            first_s = _seen_s(tunnel.first_s) + LOOK_S
            if -k not in self._told and first_s <= t_s:
                self._told.add(-k)
                yield self._relay(begin_at, tunnel, first_s, gone=False)
            if -k in self._told and -k not in self._done and (last or tunnel.inner.until_s <= t_s):
                self._done.add(-k)
                yield self._relay(begin_at, tunnel, min(t_s, tunnel.inner.until_s), gone=True)

    def _flow(self, begin_at: float, k: int, t_s: float, *, gone: bool) -> wire.FlowSeen:
        line = self._lines[k]
        into, out = line.carried(t_s)
        return wire.FlowSeen(
            run=self._run,
            pid=line.pid,
            exe=line.exe,
            proto="tcp",
            local=line.local,
            peer=line.peer,
            state="ESTABLISHED",
            inode=70_000 + 10 * line.pid + k,
            first_seen_at=begin_at + _seen_s(line.from_s),
            last_seen_at=begin_at + t_s,
            gone=gone,
            uid=self._uid,
            cookie=1_000_000 + 100 * line.pid + k,
            opened=line.opened,
            out_b=out,
            in_b=into,
            min_rtt_us=line.rtt_us,
        )

    def _relay(self, begin_at: float, tunnel: Tunnel, t_s: float, *, gone: bool) -> wire.RelaySeen:
        outer, inner = tunnel
        before = outer.carried(tunnel.first_s)
        outer_in, outer_out = (a - b for a, b in zip(outer.carried(t_s), before, strict=True))
        inner_in, inner_out = inner.carried(t_s)
        live = [max(0.0, min(t_s, spell.until_s) - spell.from_s) for spell in inner.spells]
        k = self._lines.index(outer)
        return wire.RelaySeen(
            run=self._run,
            pids=[outer.pid],
            exe=outer.exe,
            outer_local=outer.local,
            outer_peer=outer.peer,
            outer_opened=outer.opened,
            outer_cookie=1_000_000 + 100 * outer.pid + k,
            inner_local=inner.local,
            inner_peer=inner.peer,
            inner_opened=inner.opened,
            n_inner=1,
            outer_in_b=outer_in,
            outer_out_b=outer_out,
            inner_in_b=inner_in,
            inner_out_b=inner_out,
            coupled_in_b=min(outer_in, inner_out),
            coupled_out_b=min(outer_out, inner_in),
            n_busy=math.ceil(sum(live) / LOOK_S),  # keep-alives alone make no look busy
            n_coupled=math.ceil(0.97 * sum(live) / LOOK_S),
            first_seen_at=begin_at + _seen_s(tunnel.first_s),
            last_seen_at=begin_at + t_s,
            gone=gone,
            led=inner.opened,
        )


def _seen_s(t_s: float) -> float:
    """The first look at or after."""
    return math.ceil(t_s / LOOK_S) * LOOK_S
