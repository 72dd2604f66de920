"""The network side of one run: its connections and relays, where they lead, and who allowed them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

import polars as pl

from slurm_guard.audit.holds import GpuUser
from slurm_guard.audit.net.briefs import Brief, briefs_of
from slurm_guard.audit.net.flows import FlowWord, RelayWord, Words
from slurm_guard.audit.net.nodewide import Change
from slurm_guard.audit.net.policy import SITE, Ground, Rules
from slurm_guard.audit.net.unseen import Unseen
from slurm_guard.intent import parse_intent
from slurm_guard.model import Run
from slurm_guard.networks import OUTSIDE


class Kind(str, Enum):
    """What a relay is, by who opened its two sides. Names and ports do not matter."""

    BRIDGE = "reverse tunnel"  # both were opened here: somebody at the far end reaches what is near
    FORWARD = "forward proxy"  # near ones were accepted, the far one opened: somebody near goes out
    GATEWAY = "gateway"  # the far one was accepted: a server and what stands behind it
    UNCLEAR = "relay"  # who opened what is not known


@dataclass(frozen=True, slots=True)
class Person:
    """A process as the node described it."""

    ppid: int | None
    flags: tuple[str, ...]
    cmdline: str | None


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection. `near`: LOOPBACK, CLUSTER, OUTSIDE, null: no address; `inside`: to the run's own nodes;
    `allowed`: SITE, JOB or null; `tie`: what its process is to the log (linked, kin, stray), null: no GPU."""

    word: FlowWord
    near: int | None
    inside: bool
    allowed: str | None
    tie: str | None
    helps: bool  # a child of a process that is tied to the log

    @property
    def goes_out(self) -> bool:
        """To outside, and not accepted from there."""
        return self.near == OUTSIDE and self.word.opened is not False and not self.inside


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay; as in Flow. `tunnel`: the site allows it; `guests`: near ends beyond the run's nodes."""

    word: RelayWord
    kind: Kind
    near: int | None
    inside: bool
    allowed: str | None
    tunnel: bool
    tie: str | None
    client_ties: frozenset[str | None]  # of whoever is at the near end; empty: not known
    guests: bool


@dataclass(frozen=True, slots=True)
class Net:
    """Everything that the run said. `ruled`: somebody said where it may go; `names`: declared host names,
    which no address can be held against."""

    flows: tuple[Flow, ...] = ()
    relays: tuple[Relay, ...] = ()
    briefs: tuple[Brief, ...] = ()
    people: Mapping[tuple[str, int], Person] | None = None
    ruled: bool = False
    names: tuple[str, ...] = ()
    left_out: int = 0
    cut: bool = False
    called: Mapping[str, str] | None = None  # far ends by the name that the site's resolver gave out last
    changes: tuple[Change, ...] = ()  # of the nodes' network, from before the run to after it
    unseen: tuple[Unseen, ...] = ()  # what nodes could not tell; held against nobody

    def place(self, text: str) -> str:
        """A far end, with its name where the site's resolver told one."""
        name = None if self.called is None else self.called.get(text)
        return text if name is None else f"{text} ({name})"

    def person(self, node: str, pid: int | None) -> Person | None:
        """The process, where the node described it."""
        return None if pid is None or self.people is None else self.people.get((node, pid))


def kind_of(word: RelayWord) -> Kind:
    """By direction alone."""
    if word.outer_opened is False:
        return Kind.GATEWAY
    if word.outer_opened is None or word.inner_opened is None:
        return Kind.UNCLEAR
    return Kind.BRIDGE if word.inner_opened else Kind.FORWARD


def people_of(people: pl.DataFrame, keys: pl.DataFrame) -> dict[int, pl.DataFrame]:
    """Process facts per run."""
    mine = people.join(keys.select("run", "i"), on="run").select(
        "i", "node", "pid", "start_ticks", "ppid", "exe_flags", "cmdline"
    )
    ordered = mine.sort("i", "node", "pid", "start_ticks", nulls_last=True)
    return {int(k[0]): part for k, part in ordered.partition_by("i", as_dict=True).items()}


def net_of(
    i: int,
    run: Run,
    told: Words,
    rules: Rules,
    who: tuple[Iterable[GpuUser], pl.DataFrame | None],
) -> Net:
    """The run's network side by its connections. `who`: its GPU processes, and what the nodes said of all its
    processes."""
    flows, relays = list(told.flows_of(i)), told.relays_of(i)
    if not flows and not relays and i not in told.briefs:
        return Net(cut=i in told.cut)
    ground = Ground(rules, told.own, run, parse_intent(run.comment, run.extra).egress)
    users = list(who[0])
    ties = {(u.node, u.pid): u.cls for u in users}
    people = _people(who[1])
    ends = {(f.node, f.local): f.pid for f in flows}
    briefs = tuple(briefs_of(told.briefs.get(i), ground))
    return Net(
        tuple(_flow(word, ground, ties, people) for word in flows),
        tuple(_relay(word, ground, ties, ends) for word in relays),
        briefs,
        people,
        ground.is_ruled,
        ground.names,
        told.left_out.get(i, 0),
        i in told.cut,
        {peer: name for peer in _peers(flows, relays, briefs) if (name := ground.name(peer)) is not None},
    )


def _peers(flows: list[FlowWord], relays: list[RelayWord], briefs: tuple[Brief, ...]) -> set[str]:
    listed = {place.peer for brief in briefs for place in brief.places}
    return listed | {word.peer for word in flows} | {word.outer_peer for word in relays}


def _people(frame: pl.DataFrame | None) -> dict[tuple[str, int], Person]:
    """The last process of each pid."""
    rows = () if frame is None else frame.iter_rows(named=True)
    return {
        (row["node"], row["pid"]): Person(row["ppid"], tuple(row["exe_flags"] or ()), row["cmdline"])
        for row in rows
    }


Ties = Mapping[tuple[str, int], str]


def _tie(ties: Ties, node: str, pid: int | None) -> str | None:
    return None if pid is None else ties.get((node, pid))


def _flow(word: FlowWord, ground: Ground, ties: Ties, people: Mapping[tuple[str, int], Person]) -> Flow:
    person = None if word.pid is None else people.get((word.node, word.pid))
    parent = None if person is None else _tie(ties, word.node, person.ppid)
    allowed = SITE if ground.tunnel(word.peer, word.exe) else ground.egress(word.peer)
    return Flow(
        word,
        ground.near(word.node, word.peer),
        ground.inside(word.peer),
        allowed,
        _tie(ties, word.node, word.pid),
        parent in ("linked", "kin"),
    )


def _relay(word: RelayWord, ground: Ground, ties: Ties, ends: Mapping[tuple[str, str], int | None]) -> Relay:
    clients = [pid for key in [(word.node, word.inner_peer)] if (pid := ends.get(key)) is not None]
    near = ground.near(word.node, word.inner_peer)
    return Relay(
        word,
        kind_of(word),
        ground.near(word.node, word.outer_peer),
        ground.inside(word.outer_peer),
        ground.egress(word.outer_peer),
        ground.tunnel(word.outer_peer, word.exe),
        _tie(ties, word.node, word.pids[0] if word.pids else None),
        frozenset(_tie(ties, word.node, pid) for pid in clients),
        near is not None and not ground.inside(word.inner_peer),
    )
