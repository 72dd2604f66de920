"""Far ends that a process opens one connection after the other to: a tunnel may use one for each user."""

from __future__ import annotations

from slurm_guard.light import TYPE_CHECKING
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable

    from slurm_guard.sampler.outward import Outward

MOST_PLACES = 256  # of a node. Judgement
IDLE_S = 600.0  # without a connection a place is forgotten. Judgement
RECENT_S = 60.0  # one with a connection since is missed, where it has to make room. Judgement
_FIRST = -(1 << 70)  # below every connection's name


class Place:
    """A far end of one process. `ident`: stands for all connections to it together."""

    __slots__ = (
        *("before", "first_s", "flow", "ident", "last_s", "near", "peer", "seen", "told", "told_whole"),
    )

    def __init__(self, ident: int, peer: str) -> None:
        self.ident, self.peer = ident, peer
        self.near = 0
        self.seen: set[int] = set()  # its first connections: two are enough to be looked at together
        self.first_s = 0.0  # when its first connection was met
        self.before: frozenset[int] | None = None  # as Outward tells of the first connection there
        self.last_s = 0.0
        self.flow: Flow | None = None  # the latest
        self.told: Flow | None = None  # the one by which it was told of
        self.told_whole = False

    @property
    def is_many(self) -> bool:
        """Whether more than one connection led there."""
        return len(self.seen) > 1

    def note_before(self, outward: Outward) -> None:
        """What was there before one of its first connections, where a round has seen that begin."""
        if self.before is None and self.flow is not None:
            netns = self.flow.sample.netns
            told = (outward.before(ident, netns) for ident in self.seen)
            self.before = next((before for before in told if before is not None), None)

    def note(self, flow: Flow, mono_s: float) -> None:
        """A connection to it is there."""
        self.flow, self.last_s, self.near = flow, mono_s, flow.near or 0
        self.first_s = self.first_s if self.seen else flow.first_s
        if len(self.seen) < 2:
            self.seen.add(flow.sample.ident)


class Places:
    """Of all processes."""

    def __init__(self) -> None:
        self._of: dict[tuple[int, int], dict[str, Place]] = {}
        self._n = self._n_made = 0
        self._truncated: set[str] = set()

    def take_truncated(self) -> set[str]:
        """Runs of which far ends were left out since this was last asked."""
        found, self._truncated = self._truncated, set()
        return found

    def note(self, owner: Process, flows: list[Flow], mono_s: float) -> list[Place]:
        """The places that these connections of a process lead to, of which several have been seen."""
        mine = self._of.setdefault(owner.key, {})
        for flow in flows:
            peer = flow.sample.peer
            if flow.opened and peer not in mine and self._has_room(flow.run, mono_s):
                mine[peer] = Place(_FIRST - self._n_made, peer)
                self._n += 1
                self._n_made += 1
            if flow.opened and peer in mine:
                mine[peer].note(flow, mono_s)
        return [place for place in mine.values() if place.is_many]

    def _has_room(self, run: str, mono_s: float) -> bool:
        """Whether one more may be followed. Where there is no room, that of the run with most places that has
        been silent longest makes some, or of this one's own if it has its share; never one that several
        connections led to."""
        if self._n < MOST_PLACES:
            return True
        of_run: dict[str, list[tuple[float, Place, dict[str, Place]]]] = {run: []}
        for places in self._of.values():
            for place in places.values():
                if place.flow is not None:
                    of_run.setdefault(place.flow.run, []).append((place.last_s, place, places))
        fullest = max(of_run, key=lambda name: len(of_run[name]))
        if len(of_run[run]) >= MOST_PLACES // len(of_run):
            fullest = run
        # one of this very look makes room for another run's alone
        single = [e for e in of_run[fullest] if not e[1].is_many and (fullest != run or e[0] < mono_s)]
        if not single:
            self._truncated |= {run, fullest}
            return False
        last_s, place, places = min(single, key=lambda entry: (entry[0], -entry[1].ident))
        del places[place.peer]
        self._n -= 1
        if mono_s - last_s < RECENT_S:
            self._truncated.add(fullest)
        return True

    def peers(self) -> set[str]:
        """Where to: what ends on the way there is of interest even if nobody saw it."""
        return {peer for places in self._of.values() for peer in places}

    def drop_idle(self, mono_s: float) -> list[Place]:
        """Those that nobody spoke to for long."""
        return self._drop(lambda place: mono_s - place.last_s > IDLE_S)

    def drop_run(self, run: str) -> list[Place]:
        """Those of a run that ended."""
        return self._drop(lambda place: place.flow is not None and place.flow.run == run)

    def _drop(self, is_over: Callable[[Place], bool]) -> list[Place]:
        dropped: list[Place] = []
        for owner, places in list(self._of.items()):
            over = [place for place in places.values() if is_over(place)]
            for place in over:
                del places[place.peer]
            dropped += over
            if not places:
                del self._of[owner]
        self._n -= len(dropped)
        return dropped
