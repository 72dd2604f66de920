"""Whose the connections were that ended before anybody looked at them, and the records that count them.

The kernel tells of each that ends, and not whose it was. What was seen open to the same place or port
meanwhile says it, if all of that was one run's; else who was on the node at all.
"""

from __future__ import annotations

from slurm_guard import wire
from slurm_guard.light import Callable, Iterable, Mapping
from slurm_guard.sampler.process import SYSTEM_UID, Process
from slurm_guard.sampler.tally import Tally
from slurm_guard.sampler.tcpdiag import Passed, TcpDiag
from slurm_guard.sampler.users import Users
from slurm_guard.sampler.writer import Instant

EVERY_S = 60.0  # a run's counts are told. Judgement
LEAST_SIGHTINGS = 5  # of one owner and of no other, until a port is thought his. Judgement: 95 % of half
MOST_SEEN = 2048  # far ends of which is known who was seen there. Judgement
MOST_LATELY = 6  # looks that sightings are kept for, and as many again. Judgement: a minute
LEAST_NOBODYS = 64  # far ends, for a record in which nobody is named. Judgement
NODES = ""  # the owner of what is no run's
UNKNOWN = "?"  # somebody, and nobody can say who: no run's key looks so
KERNEL, ALIKE, ALONE = "kernel", "alike", "alone"
Whose = tuple[str | None, str | None, int | None]  # run, how, network namespace


class Sightings:
    """Who was seen to have connections where, lately.

    To a place whoever had one open. To a port only short ones count, which are what was missed: somebody's
    long connections to port 443 say nothing about the short ones of others.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, str] = {}  # far end -> owner; UNKNOWN: several
        self._ports: dict[bytes, dict[str, int]] = {}
        self._nodes: dict[bytes, None] = {}  # where the node's own go to, also when nobody else is there
        self._before: tuple[dict[bytes, str], dict[bytes, dict[str, int]]] = {}, {}
        self._n_looks = 0

    def note(self, key: bytes, owner: str) -> None:
        """A connection of an owner's (a run, NODES or UNKNOWN) is open to a far end."""
        if len(self._places) < MOST_SEEN or key in self._places:
            held = self._places.setdefault(key, owner)
            if held != owner:
                self._places[key] = UNKNOWN

    def note_short(self, key: bytes, owner: str, n: int = 1) -> None:
        """So many short ones of an owner's were met open."""
        self.note(key, owner)
        if len(self._ports) < MOST_SEEN or key[-2:] in self._ports:
            counts = self._ports.setdefault(key[-2:], {})
            counts[owner] = counts.get(owner, 0) + n

    def note_nodes(self, keys: Iterable[bytes]) -> None:
        """Places of the node's own services; of too many the oldest are forgotten."""
        for key in keys:
            self._nodes.pop(key, None)
            self._nodes[key] = None
        while len(self._nodes) > MOST_SEEN:
            del self._nodes[next(iter(self._nodes))]

    def age(self) -> None:
        """One more look."""
        self._n_looks += 1
        if self._n_looks % MOST_LATELY == 0:
            self._before = self._places, self._ports
            self._places, self._ports = {}, {}

    def owner(self, key: bytes) -> str | None:
        """Whose connections to a far end were; UNKNOWN: one of several's; null: nobody was seen there."""
        places, ports = self._before
        found = {part[key] for part in (places, self._places) if key in part}
        if found:
            return found.pop() if len(found) == 1 else UNKNOWN
        if key in self._nodes:
            return NODES
        by_port = _added(ports.get(key[-2:], {}), self._ports.get(key[-2:], {}))
        if len(by_port) > 1:
            return UNKNOWN
        return _only(by_port)


def _added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    if not other:
        return one
    return {owner: one.get(owner, 0) + other.get(owner, 0) for owner in [*one, *other]}


def _only(counts: dict[str, int]) -> str | None:
    """The one owner of all sightings, where they are enough."""
    return next(iter(counts)) if len(counts) == 1 and sum(counts.values()) >= LEAST_SIGHTINGS else None


class _Account:
    """What is to be told of one owner."""

    __slots__ = ("first", "n_unheard", "tally", "who")

    def __init__(self, first: Instant) -> None:
        self.first, self.tally, self.n_unheard = first, Tally(), 0
        self.who: tuple[int, str | None] | None = None


class Briefs:
    """Counts of runs until they are told."""

    def __init__(self) -> None:
        self.seen = Sightings()
        self._accounts: dict[Whose, _Account] = {}
        self._alone: str | None = None  # the run that was there alone at the last look and the one before
        self._by_itself: str | None = None  # … at the last look
        self._living: set[str] = set()
        self._since = Instant(0.0, 0.0)  # the look before

    def look(self, members: Iterable[Process], every: Iterable[Process], living: set[str]) -> None:
        """Who is on the node. `living`: runs of which anything may still be told."""
        self._living = set(living)
        runs = {process.run for process in members}
        others = any(p.run is None and p.uid is not None and p.uid >= SYSTEM_UID for p in every)
        now = runs.pop() if len(runs) == 1 and not others else None
        # What ended since the look before may be of somebody who was there then.
        self._alone = now if now == self._by_itself else None
        self._by_itself = now
        self.seen.age()

    def peek(
        self, diag: TcpDiag, is_known: Callable[[int], bool], groups: Mapping[int, str], users: Users
    ) -> None:
        """Between two looks: whose the connections are that are open just now."""
        try:
            found = diag.peek(is_known)
        except OSError:
            return
        for key, uid, group in found:
            run = groups.get(group or 0) if uid else None  # root's are slurmstepd's and an admin's
            # Of a user with several runs, or with a login beside one, nobody can say.
            owner = run or users.run_of(uid) or (UNKNOWN if uid in users.uids else NODES)
            self.seen.note_short(key, owner)

    def add(
        self, passed: Passed, tally: Tally, now: Instant, where: tuple[int | None, int] = (None, 0)
    ) -> None:
        """Ended ones that were seen open, or lay where only one run lives: in `where`, a network namespace,
        with how many there were not heard."""
        netns, n_unheard = where
        # One that its process has closed is nobody's any more: the kernel says root.
        owner = passed.run or (UNKNOWN if passed.uid else None)
        if netns is None and owner is not None:
            for key, counts in tally.places.items():
                self.seen.note_short(key, owner, counts[0])
        if passed.run not in self._living:
            self.add_unknown(tally, now, 0)
            return
        account = self._account((passed.run, KERNEL, netns), now)
        account.n_unheard += n_unheard
        if passed.pid is not None:
            account.who = passed.pid, passed.exe
        account.tally.add_all(tally)

    def add_unknown(self, tally: Tally, now: Instant, n_unheard: int) -> dict[str | None, int]:
        """Ended ones of which nobody was seen open; how many are counted for which run."""
        touched: dict[Whose, int] = {}
        for key, counts in tally.places.items():
            whose = self._whose(self.seen.owner(key))
            self._account(whose, now).tally.add_place(key, counts)
            touched[whose] = touched.get(whose, 0) + counts[0]
        if touched and tally.rest[0]:  # the others are too many to be asked one by one: as most of these
            most = max(touched, key=lambda whose: touched[whose])
            self._account(most, now).tally.add_rest(tally)
            touched[most] += tally.rest[0]
        found: dict[str | None, int] = {}
        for whose, n in touched.items():
            self._accounts[whose].n_unheard += n_unheard
            found[whose[0]] = found.get(whose[0], 0) + n
        return found

    def _whose(self, owner: str | None) -> Whose:
        if owner in (NODES, UNKNOWN):
            return None, None, None
        if owner is not None:
            return (owner, ALIKE, None) if owner in self._living else (None, None, None)
        return (self._alone, ALONE, None) if self._alone is not None else (None, None, None)

    def _account(self, whose: Whose, now: Instant) -> _Account:
        account = self._accounts.get(whose)
        if account is None:
            first = self._since if self._since.mono_s else now
            account = self._accounts[whose] = _Account(first)
        return account

    def due(self, now: Instant) -> list[wire.BriefSeen]:
        """What has waited long enough. Ends the look."""
        self._since = now
        return self._take(
            now, [w for w, a in self._accounts.items() if now.mono_s - a.first.mono_s >= EVERY_S]
        )

    def end(self, run: str, now: Instant) -> list[wire.BriefSeen]:
        """The last words about a run."""
        self._living.discard(run)
        return self._take(now, [whose for whose in self._accounts if whose[0] == run])

    def _take(self, now: Instant, due: list[Whose]) -> list[wire.BriefSeen]:
        told = []
        for whose in due:
            account = self._accounts.pop(whose)
            if whose[0] is not None or account.tally.n_places >= LEAST_NOBODYS:
                told.append(_record(whose, account, now))
        return told


def _record(whose: Whose, account: _Account, now: Instant) -> wire.BriefSeen:
    run, how, netns = whose
    pid, exe = (None, None) if account.who is None else account.who
    n, n_failed, out_b, in_b = account.tally.sums()
    return wire.BriefSeen(
        run=run,
        how=how,
        pid=pid,
        exe=wire.clip(exe),
        netns=netns,
        first_seen_at=account.first.at,
        last_seen_at=now.at,
        n=n,
        n_failed=n_failed,
        out_b=out_b,
        in_b=in_b,
        n_addresses=account.tally.n_addresses,
        n_places=account.tally.n_places,
        n_unheard=account.n_unheard,
        places=account.tally.told(),
        mono_s=now.mono_s,
    )
