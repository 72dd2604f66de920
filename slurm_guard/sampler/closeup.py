"""Looks between looks, once a round, at the connections of suspects and of nobody else.

Where bytes were handed on and nobody knows who leads, the owner's connections are asked for one by one (5 us
each), and the relay watch looks at them as it does at a look. Where no inner one is open, or bytes moved on
one side that appear on none of the other's connections, those are asked for that lead to the same ports: a
walk of the kernel's over its whole table (0.4 ms). What a round has counted the next look does not count
again. Who waits for somebody to come by (waiting.py) is a suspect as soon as he has opened a connection to
this node.
"""

from __future__ import annotations

import time

from slurm_guard.light import TYPE_CHECKING, Callable
from slurm_guard.networks import OUTSIDE
from slurm_guard.sampler.fdowners import Owners
from slurm_guard.sampler.flows import Counts, Flow, counts_of, less
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.relays import QUIET_B
from slurm_guard.sampler.tcpsample import Sample
from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.sampler.relaywatch import RelayWatch, Told
    from slurm_guard.sampler.tcpdiag import TcpDiag

EVERY_S = 0.9  # a round of the sampler's, by default; it may be told to make ten a second
ROUND_S = 0.005  # CPU time of a round, beyond which the rest waits for the next one. Judgement
MOST_ASKED = 32  # connections of an owner with more nobody looks at in rounds. Judgement
MOST_SHORT = 256  # that came and went at its doors since the round before. Judgement
MOST_NEW = 16  # new ones to the same ports, of an owner's user. Judgement
MOST_DOORS = 12  # of an owner, the latest. Judgement
MOST_PORTS = 16  # asked for at once: netlink.ports_request

Key = tuple[int, int]
Door = tuple[int | None, str, str]  # network namespace, table, far end of a connection that was opened
DiagOf = Callable[[int | None], "TcpDiag | None"]  # network namespace, null: the node's


class Closeup:
    """Between two looks it holds what began since the last one."""

    def __init__(self, watch: RelayWatch, proc: Proc, elsewhere: Callable[[int], TcpDiag | None]) -> None:
        """`elsewhere`: the way to ask in another network namespace."""
        self._watch, self._owners, self._elsewhere = watch, Owners(proc), elsewhere
        self._early: dict[Key, dict[int, Flow]] = {}  # connections that no look has met yet
        self._upto: dict[Key, int] = {}  # of what was heard to end since the last look, how much was counted
        self._doors: dict[Key, dict[Door, None]] = {}
        self._walks: dict[tuple[int | None, str], tuple[set[int], list[Sample] | None]] = {}  # of this round
        # of these loopbacks there were too many connections: they are left to the next look
        self._crowds: dict[tuple[int | None, str], list[Sample]] = {}
        self._last_s = 0.0
        self._turn = 0

    @property
    def has_suspects(self) -> bool:
        """Whether there is anybody to look at."""
        return bool(self._watch.suspects() or self._watch.waiting.owners)

    def begin(self, mono_s: float) -> None:
        """A look has ended."""
        self._early, self._upto, self._last_s, self._crowds = {}, {}, mono_s, {}

    def look(
        self, now: Instant, diag: TcpDiag, heard: list[Sample], is_known: Callable[[int], bool]
    ) -> list[Told]:
        """A round. `diag`: the node's own namespace; `heard`: what has ended there since the last look;
        `is_known`: whether a look has met this one. Never waits, never raises: what the kernel does not
        answer is left to the next round."""
        self._watch.outward.round(now.mono_s, diag, heard)
        suspects = self._watch.suspects()
        if not self.has_suspects or now.mono_s - self._last_s < EVERY_S:
            return []
        self._last_s, self._walks = now.mono_s, {}
        self._doors = {key: self._doors.get(key, {}) for key, _ in suspects}

        def diag_of(netns: int | None) -> TcpDiag | None:
            return diag if netns is None else self._elsewhere(netns)

        until_s = time.thread_time() + ROUND_S
        told: list[Told] = []
        self._turn += 1
        for k in range(len(suspects)):
            if time.thread_time() > until_s:
                self._turn += k - 1  # the next round begins where this one ended
                break
            key, owned = suspects[(self._turn + k) % len(suspects)]
            try:
                told += self._look_at(now, (key, owned), diag_of, heard, is_known)
            except OSError:
                return told  # a kernel that does not answer one does not answer the next
        if time.thread_time() <= until_s:
            try:
                told += self._look_for_comers(now, diag_of, heard, is_known)
            except OSError:
                pass
        return told

    def _look_for_comers(
        self, now: Instant, diag_of: DiagOf, heard: list[Sample], is_known: Callable[[int], bool]
    ) -> list[Told]:
        """Owners that waited, and have a connection to this node now: they are suspects from now on."""
        waiting = self._watch.waiting
        rows = _asked([flow for _, flows in waiting.owners for flow in flows], diag_of)
        told: list[Told] = []
        tables: dict[tuple[int | None, str], list[Sample]] = {}
        stirred = waiting.stirred(rows)
        uids = {flows[0].sample.uid for _, flows in stirred}
        for key, flows in stirred:
            found: list[Flow] = []
            for netns in {flow.sample.netns for flow in flows}:
                diag = diag_of(netns)
                for table in ("tcp", "tcp6") if diag is not None else ():
                    if diag is not None and (netns, table) not in tables | self._crowds:
                        there = diag.loopback(table, lambda uid, ident: uid in uids and not is_known(ident))
                        (self._crowds if there is None else tables)[netns, table] = there or []
                    found += self._own(tables.get((netns, table), []), flows, netns, now)
            if found and self._watch.take_up(key, flows, now.mono_s):
                told += self._look_at(now, (key, flows), diag_of, heard, is_known, (*found,))
        return told

    def _own(self, rows: list[Sample], flows: list[Flow], netns: int | None, now: Instant) -> list[Flow]:
        """Of these, what the holder of some connections has opened."""
        process = flows[0].process
        new = [row for row in rows if row.opened and row.uid == flows[0].sample.uid]
        if process is None or not 0 < len(new) <= MOST_NEW:
            return []
        whose, _ = self._owners.find({row.inode for row in new}, [process])
        mine = [row._replace(netns=netns) for row in new if row.inode in whose]
        return [Flow(row, process, flows[0].run, now, began=True) for row in mine]

    def _look_at(
        self,
        now: Instant,
        whose: tuple[Key, list[Flow]],
        diag_of: DiagOf,
        heard: list[Sample],
        is_known: Callable[[int], bool],
        came: tuple[Flow, ...] = (),
    ) -> list[Told]:
        """`came`: new connections of the owner's that no look or round has met before."""
        key, owned = whose
        found = [*came]
        early = self._early.setdefault(key, {})
        flows = [flow for flow in (*owned, *early.values()) if flow.sample.state != "CLOSED"]
        if len(flows) > MOST_ASKED:
            return []
        fresh = heard[self._upto.get(key, 0) :]
        rows = _asked(flows, diag_of)
        names = {flow.sample.ident for flow in flows}
        rows.update((sample.ident, sample) for sample in fresh if sample.ident in names)
        self._note_doors(key, [*flows, *found])
        led_to = self._watch.led_to(flows)
        for peer in led_to or ():
            for flow in flows[:1]:
                self._note_door(key, (flow.sample.netns, "tcp6" if "[" in peer else "tcp", peer))
        doors = {flow.sample.local for flow in flows if not flow.opened}
        doors |= {peer for _, _, peer in self._doors[key]}
        short = [
            s
            for s in fresh
            if (s.peer in doors or s.local in doors) and s.ident not in names and not is_known(s.ident)
        ]
        if len(short) > MOST_SHORT:
            return []
        is_one_sided = _is_one_sided(flows, rows, short)
        if not found and (is_one_sided or not _has_inner(flows, rows)):
            new = self._find_new(key, flows, now, diag_of, lambda i: i in names or is_known(i))
            if new is None and is_one_sided:
                return []  # whose that is a look has to find out, and this round's bytes are that look's
            found = new or []
            far = {flow.sample.peer for flow in flows if flow.near == OUTSIDE}
            knows = led_to is not None and any(peer not in far for _, _, peer in self._doors[key])
            if is_one_sided and not found and not knows:
                return []  # where it leads to, a look has to find out
        for flow in flows:
            row = rows.get(flow.sample.ident)
            if row is not None:
                flow.update(row)
        self._upto[key] = len(heard)
        early.update((flow.sample.ident, flow) for flow in found)
        told = self._watch.look_closely(now, key, [*flows, *found], short)
        self._watch.note_counted(key, {i: counts_of(flow.sample) for i, flow in early.items()})
        return told

    def _note_doors(self, key: Key, flows: list[Flow]) -> None:
        """Where these processes have connections to, or had: a new one may come when none is open."""
        for flow in flows:
            if flow.opened:
                self._note_door(key, (flow.sample.netns, flow.sample.proto, flow.sample.peer))

    def _note_door(self, key: Key, door: Door) -> None:
        doors = self._doors.setdefault(key, {})
        doors.pop(door, None)
        doors[door] = None
        while len(doors) > MOST_DOORS:
            del doors[next(iter(doors))]

    def _walk(self, key: Key, netns: int | None, table: str, diag: TcpDiag | None) -> list[Sample] | None:
        """Open connections to an owner's doors, and to those of other suspects; null: they are too many."""
        mine = _ports(self._doors[key], netns, table)
        asked, rows = self._walks.get((netns, table), (set[int](), None))
        if diag is None or mine <= asked:
            return rows
        ports = sorted(mine)
        for doors in self._doors.values():
            ports += sorted(_ports(doors, netns, table) - set(ports))
        rows = diag.ports(table, ports[:MOST_PORTS])
        self._walks[netns, table] = set(ports[:MOST_PORTS]), rows
        return rows

    def _find_new(
        self,
        key: Key,
        flows: list[Flow],
        now: Instant,
        diag_of: DiagOf,
        is_known: Callable[[int], bool],
    ) -> list[Flow] | None:
        """Connections of these processes that no look has met; null: whose they are cannot be said."""
        found: list[Flow] = []
        holders = {flow.process.key: flow.process for flow in flows if flow.process is not None}
        uids, doors = {flow.sample.uid for flow in flows}, self._doors[key]
        for netns, table in {(netns, table) for netns, table, _ in doors}:
            rows = self._walk(key, netns, table, diag_of(netns))
            if rows is None:
                return None
            new = [
                row
                for row in rows
                if row.uid in uids and (netns, table, row.peer) in doors and not is_known(row.ident)
            ]
            if len(new) > MOST_NEW:
                return None
            if not new:
                continue
            whose, unread = self._owners.find({row.inode for row in new}, list(holders.values()))
            if unread:
                return None
            for row in new:
                process = whose.get(row.inode)
                if process is not None and process.run is not None:
                    row = row._replace(netns=netns, opened=True)
                    found.append(Flow(row, process, process.run, now, began=True))
        return found


def _asked(flows: list[Flow], diag_of: DiagOf) -> dict[int, Sample]:
    found: dict[int, Sample] = {}
    for netns in {flow.sample.netns for flow in flows}:
        diag = diag_of(netns)
        if diag is not None:
            found |= diag.again(
                [flow.sample for flow in flows if flow.sample.netns == netns and flow.sample.cookie]
            )
    return found


def _has_inner(flows: list[Flow], rows: dict[int, Sample]) -> bool:
    """Whether a connection that leads no farther than the cluster is open."""
    near = [flow for flow in flows if flow.opened and flow.near is not None and flow.near != OUTSIDE]
    return any(flow.sample.ident in rows and rows[flow.sample.ident].state != "CLOSED" for flow in near)


def _is_one_sided(flows: list[Flow], rows: dict[int, Sample], short: list[Sample]) -> bool:
    """Whether much more moved on one side than on the other: some that it appeared on are not known."""
    far = {flow.sample.peer for flow in flows if flow.near == OUTSIDE}
    far_b = sum(sum(counts_of(s)[:2]) for s in short if s.opened and s.peer in far)
    near_b = sum(sum(counts_of(s)[:2]) for s in short if s.opened and s.peer not in far)
    for flow in flows:
        row = rows.get(flow.sample.ident)
        moved: Counts = flow.moved if row is None else less(counts_of(row), counts_of(flow.sample))
        if flow.near == OUTSIDE:
            far_b += moved[0] + moved[1]
        else:
            near_b += moved[0] + moved[1]
    return max(far_b, near_b) > QUIET_B and 2 * min(far_b, near_b) < max(far_b, near_b)


def _ports(doors: dict[Door, None], netns: int | None, table: str) -> set[int]:
    peers = [peer for where, proto, peer in doors if (where, proto) == (netns, table)]
    return {int(port) for peer in peers if (port := peer.rpartition(":")[2]).isdecimal()}
