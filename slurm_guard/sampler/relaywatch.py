"""Connections of one process that hand bytes on, told once they surely do, and again at the end."""

from __future__ import annotations

import time

from slurm_guard import wire
from slurm_guard.light import TYPE_CHECKING, Any, Iterable
from slurm_guard.networks import LOOPBACK, OUTSIDE
from slurm_guard.sampler.allowed import Allowed
from slurm_guard.sampler.callers import Callers
from slurm_guard.sampler.chains import chained
from slurm_guard.sampler.devices import Devices
from slurm_guard.sampler.flows import NOTHING, Counts, Flow, counts_of, less
from slurm_guard.sampler.joints import Joints
from slurm_guard.sampler.moved import Moved, merged, port_of, together
from slurm_guard.sampler.nearby import Nearby
from slurm_guard.sampler.order import settle_order
from slurm_guard.sampler.outward import Outward
from slurm_guard.sampler.places import Place, Places
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.relayrecord import record_of
from slurm_guard.sampler.relays import Pair, Relays
from slurm_guard.sampler.spread import Spread
from slurm_guard.sampler.suspects import State, Suspects
from slurm_guard.sampler.tcpdiag import Sample
from slurm_guard.sampler.waiting import Waiting
from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.config import NetworkConfig

Told = wire.RelaySeen | wire.Event
Key = tuple[int, int]


MOST_S = 0.1  # CPU time of a look, beyond which owners are left out. Judgement
_COUNTED = ("tcp", "tcp6")  # of which the kernel tells bytes


class RelayWatch:
    """Between looks it holds what came and went."""

    def __init__(self, network: NetworkConfig, proc: Proc) -> None:
        self._proc = proc
        self._joints = Joints(proc)
        self._nearby = Nearby(network.cluster)
        self._allowed = Allowed(network)
        self._relays = Relays()
        self._short: list[Moved] = []
        self._short_to: dict[str, list[Moved]] = {}  # by far end
        self._told: dict[int, bool] = {}  # outer connections, and whether as a tunnel in use
        self._places = Places()
        self._spread = Spread()
        self._callers = Callers()
        self._devices = Devices(proc)
        self._every: list[Moved] = []  # the same, singly
        self._suspects = Suspects()
        self.waiting = Waiting()
        self.outward = Outward(network.cluster)
        self._owned: dict[Key, list[Flow]] = {}  # of suspects
        self._counted: dict[Key, dict[int, Counts]] = {}  # by owner and connection, since the last look
        self._cut: set[str] = set()  # runs of which pairs were left out
        self._partners: dict[int, set[int]] = {}  # pids of those that an outer one's owner is joined to

    def take_truncated(self) -> set[str]:
        """Runs of which pairs or far ends were left out since this was last asked."""
        cut, self._cut = self._cut, set()
        return cut | self._places.take_truncated()

    def note_short(self, samples: list[Sample], mono_s: float) -> None:
        """Connections within the node that came and went since the last look, anybody's."""
        every = [self._moved(s, counts_of(s), s.opened, first_s=mono_s) for s in samples]
        peers = self._places.peers() if samples else set()
        for moved in every:
            if moved.peer in peers:
                self._short_to.setdefault(moved.peer, []).append(moved)
        self._every = every
        self._short = merged([moved for moved in every if moved.near != OUTSIDE])

    def note_counted(self, owner: Key, counts: dict[int, Counts]) -> None:
        """Bytes that a round has counted of connections that no look has met yet."""
        self._counted.setdefault(owner, {}).update(counts)

    def counted(self, owner: Key, ident: int) -> Counts | None:
        """Of one; null: none has counted it."""
        return self._counted.get(owner, {}).get(ident)

    def suspects(self) -> list[tuple[Key, list[Flow]]]:
        """Owners that rounds have to look at, and the connections that the last look saw with each."""
        return [(key, self._owned[key]) for key in self._suspects.chosen if key in self._owned]

    def led_to(self, owned: list[Flow]) -> set[str] | None:
        """Far ends nearby to which bytes of these connections were handed on; null: to many at once."""
        return self._relays.led_to({f.sample.ident for f in owned if f.near != LOOPBACK})

    def take_up(self, owner: Key, owned: list[Flow], mono_s: float) -> bool:
        """A waiting one that opened a connection to this node just now: rounds look at it. False: no room."""
        if not self._suspects.take_up(owner, owned[0].run, mono_s):
            return False
        self._owned[owner] = owned
        self.waiting.drop(owner)
        return True

    def look_closely(self, now: Instant, owner: Key, owned: list[Flow], short: list[Sample]) -> list[Told]:
        """A round's look at one suspect. `short`: what came and went since the look or round before."""
        self._nearby.place(owned)
        self._callers.look(owned)
        self.note_short(short, now.mono_s)
        told = self._look_at(now, owned, owner)
        for flow in owned:
            flow.start_look(now.mono_s)
        self.note_counted(owner, {m.ident: (m.out_b, m.in_b, m.out_n, m.in_n) for m in self._every})
        self._every, self._short, self._short_to = [], [], {}
        return told

    def look(self, now: Instant, flows: Iterable[Flow]) -> list[Told]:
        """What moved since the last look, owner by owner."""
        every = [flow for flow in flows if flow.process is not None and flow.sample.proto in _COUNTED]
        self._nearby.place(every)
        of_owner: dict[tuple[int, int], list[Flow]] = {}
        for flow in every:
            if flow.process is not None and flow.is_connection:
                of_owner.setdefault(flow.process.key, []).append(flow)
        told: list[Told] = []
        self._callers.look(every)
        joined = self._joined(of_owner, now)
        for key, more in chained(of_owner, [flow for flow in every if not flow.is_connection]).items():
            joined.setdefault(key, []).extend(more)
        until_s = time.thread_time() + MOST_S
        for key, owned in of_owner.items():
            if time.thread_time() > until_s:
                self._cut |= {flow.run for flow in owned}
                continue
            if any(flow.near != LOOPBACK for flow in owned):
                told += self._look_at(now, owned + joined.get(key, []), key)
        self._suspects.choose(now.mono_s, set(of_owner))
        self._owned = {
            key: of_owner[key] + joined.get(key, []) for key in self._suspects.chosen if key in of_owner
        }
        self.waiting.choose([(k, owned) for k, owned in of_owner.items() if self._may_wait(k, owned, joined)])
        self._devices.forget_gone(set(of_owner))
        self._callers.forget_gone(set(of_owner))
        for flow in every:
            flow.start_look(now.mono_s)
        self._every, self._short, self._short_to, self._counted = [], [], {}, {}
        self._relays.n_looks += 1
        for place in (*self._places.drop_idle(now.mono_s), *self._spread.drop_idle(now.mono_s)):
            told += self._forget_place(place, now)
        return told

    def places(self) -> set[str]:
        """Far ends that short connections may lead to as well."""
        return self._places.peers()

    def _joined(
        self, of_owner: dict[tuple[int, int], list[Flow]], now: Instant
    ) -> dict[tuple[int, int], list[Flow]]:
        """For processes that have only far connections, the nearer ones of the processes that they are
        joined to by pipes."""
        far, near = [], []
        for owned in of_owner.values():
            process = owned[0].process
            if process is None:
                continue
            places = {flow.near for flow in owned}
            if places - {LOOPBACK}:
                far.append(process)
            if places - {OUTSIDE}:
                near.append(process)
        found: dict[tuple[int, int], list[Flow]] = {}
        for a, b in self._joints.joined(far, near, now.mono_s) if far and near else ():
            found.setdefault(a.key, []).extend(of_owner[b.key])
        return found

    def _look_at(self, now: Instant, owned: list[Flow], owner: tuple[int, int]) -> list[Told]:
        """One process's connections, and those of the processes that it is joined to."""
        short, short_to = self._short_of(owner)
        moved = [
            self._moved(
                f.sample,
                f.moved,
                f.opened,
                f.near,
                fresh=f.is_fresh,
                ages=f.ages(now.mono_s),
                first_s=f.first_s,
            )._replace(before=self.outward.before(f.sample.ident, f.sample.netns))
            for f in owned
        ]
        outers = [
            flow
            for flow, m in zip(owned, moved, strict=True)
            if m.near != LOOPBACK and flow.process is not None and flow.process.key == owner
        ]
        process = outers[0].process if outers else None
        if process is not None:
            moved += self._devices.moved(process, outers[0].sample.netns, now.mono_s)
        places = [] if process is None else self._places.note(process, outers, now.mono_s)
        for place in places:
            place.note_before(self.outward)
        sums = [
            together(place, [m for m in (*moved, *short_to.get(place.peer, ())) if m.peer == place.peer])
            for place in places
        ]
        whole = None if process is None else self._spread.note(process, outers, now.mono_s)
        if whole is not None:
            whole.note_before(self.outward)
            sums.append(together(whole, [m for m in moved if m.near == OUTSIDE]))
        doors = self._callers.of(owned)
        self._relays.look(now.at, moved, short, {flow.sample.ident for flow in outers}, tuple(sums), doors)
        if self._relays.take_truncated():
            self._cut |= {flow.run for flow in outers}
        settle_order(self._proc, self._relays, outers, (*places, *([] if whole is None else [whole])), owned)
        told: list[Told] = []
        for place in places:
            told += self._tell_place(now, place)
        others = {flow.process.pid for flow in owned if flow.process is not None}
        for outer in outers:
            if len(others) > 1:
                self._partners[outer.sample.ident] = others
            if not self._told.get(outer.sample.ident, False):
                told += self._tell_first(now, outer)
        if whole is not None and not self._is_told(outers, places):
            told += self._tell_place(now, whole)
        if process is not None:
            names = {place.ident for place in (*places, *([] if whole is None else [whole]))}
            names |= {flow.sample.ident for flow in outers if flow.opened and flow.near == OUTSIDE}
            state = self._relays.state(names) if self._may_be_bridge(outers) else State(0, is_own=False)
            self._suspects.note(owner, outers[0].run, state, now.mono_s)
        return told

    def _may_be_bridge(self, outers: list[Flow]) -> bool:
        """Whether an event could come of one of these: led outwards to where nobody allowed it."""
        return any(
            flow.opened
            and flow.near == OUTSIDE
            and not self._allowed.allows(flow.sample.peer, flow.process.exe if flow.process else None)
            for flow in outers
        )

    def _may_wait(self, key: Key, owned: list[Flow], joined: dict[Key, list[Flow]]) -> bool:
        """Whether all that it has leads to outside, and nobody is known to have come by it."""
        return (
            all(flow.opened and flow.near == OUTSIDE for flow in owned)
            and key not in joined
            and key not in self._suspects.chosen
            and not any(self._told.get(flow.sample.ident, False) for flow in owned)
            and self._may_be_bridge(owned)
        )

    def _short_of(self, owner: Key) -> tuple[list[Moved], dict[str, list[Moved]]]:
        """What came and went, as far as no round has counted it for this owner."""
        counted = self._counted.get(owner)
        if not counted:
            return self._short, self._short_to
        left = []
        for moved in self._every:
            out_b, in_b, out_n, in_n = less(
                (moved.out_b, moved.in_b, moved.out_n, moved.in_n), counted.get(moved.ident, NOTHING)
            )
            left.append(moved._replace(out_b=out_b, in_b=in_b, out_n=out_n, in_n=in_n))
        to: dict[str, list[Moved]] = {}
        for moved in left:
            if moved.moved_b and moved.peer in self._short_to:
                to.setdefault(moved.peer, []).append(moved)
        return merged([m for m in left if m.near != OUTSIDE and m.moved_b]), to

    def _is_told(self, outers: list[Flow], places: list[Place]) -> bool:
        """Whether one of these was told of by itself."""
        return any(o.sample.ident in self._told for o in outers) or any(p.told is not None for p in places)

    def _moved(
        self,
        sample: Sample,
        counts: Counts,
        opened: bool | None,
        near: int | None = None,
        *,
        fresh: bool = True,
        ages: tuple[int | None, int | None] = (None, None),
        first_s: float,
    ) -> Moved:
        door = None if opened is None else port_of(sample.peer if opened else sample.local)
        near = self._nearby.of(sample.peer, sample.netns) if near is None else near
        ends = (opened, door, sample.local, sample.peer)
        rtt_ms = None if sample.min_rtt_us is None else sample.min_rtt_us // 1000
        return Moved(sample.ident, near, *counts, *ends, *ages, int(fresh), rtt_ms, first_s)

    def _tell_first(self, now: Instant, outer: Flow) -> list[Told]:
        pair = self._relays.best(outer.sample.ident)
        if pair is None or (outer.sample.ident in self._told and not pair.is_whole):
            return []
        self._told[outer.sample.ident] = pair.is_whole
        return self._tell(now, outer, pair)

    def _tell_place(self, now: Instant, place: Place) -> list[Told]:
        """A far end by all connections to it, where none of them was told of alone."""
        pair = self._relays.best(place.ident)
        flow = place.flow
        if pair is None or flow is None or self._told.get(flow.sample.ident, False):
            return []
        if place.told is not None and (place.told_whole or not pair.is_whole):
            return []
        place.told, place.told_whole = flow, pair.is_whole
        return self._tell(now, flow, pair)

    def _tell(self, now: Instant, outer: Flow, pair: Pair) -> list[Told]:
        record = record_of(now, outer, pair, self._partners.get(outer.sample.ident))
        told: list[Told] = [record]
        if pair.is_whole and self._is_bridge(outer, record):
            detail: dict[str, Any] = {
                "pid": record.pids[0] if record.pids else None,
                "exe": record.exe,
                "outer": record.outer_peer,
                "inner": record.inner_peer,
                "in_b": record.coupled_in_b,
                "out_b": record.coupled_out_b,
            }
            told.append(wire.Event(now.at, outer.run, "bridge", detail, now.mono_s))
        return told

    def _is_bridge(self, outer: Flow, record: wire.RelaySeen) -> bool:
        """Whether a whole one is a hard fact (rulings 9, 19): opened outwards, and nobody allowed it."""
        if self._nearby.of(record.outer_peer, outer.sample.netns) != OUTSIDE:
            return False
        return record.outer_opened is True and not self._allowed.allows(record.outer_peer, record.exe)

    def end(self, run: str, now: Instant) -> list[Told]:
        """The last word about a run's places."""
        over = (*self._places.drop_run(run), *self._spread.drop_run(run))
        return [told for place in over for told in self._forget_place(place, now)]

    def _forget_place(self, place: Place, now: Instant) -> list[Told]:
        pair = self._relays.best(place.ident)
        self._relays.forget(place.ident)
        if pair is None or place.told is None:
            return []
        return [record_of(now, place.told, pair, None)._replace(gone=True)]

    def forget(self, flow: Flow, now: Instant) -> list[Told]:
        """The last word about an outer connection that handed bytes on."""
        ident = flow.sample.ident
        pair = self._relays.best(ident) if ident in self._told else None
        self._told.pop(ident, None)
        self._relays.forget(ident)
        partners = self._partners.pop(ident, None)
        return [] if pair is None else [record_of(now, flow, pair, partners)._replace(gone=True)]
