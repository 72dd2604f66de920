"""What prolog and epilog saw of the network, held against each other: new, gone and changed over a run.

The snapshots are of the whole node and bounded: a socket counts when it is the owner's, and nothing is said
of a list that was cut before the run. Another run of the owner's on the node makes his sockets nobody's.
Devices, routes, rules, packet filters and name servers are the node's: they are shown and tied to nobody.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from slurm_guard.audit.net import nodewide
from slurm_guard.audit.net.nodewide import NEW, Change
from slurm_guard.model import Run

MOST = 8  # of one kind and sort on one node that are listed; the others are counted. Judgement
LISTENER, CONNECTION = "listener", "connection"  # of the owner's


def changes_of(
    runs: list[Run], keys: pl.DataFrame, frames: Mapping[str, pl.DataFrame]
) -> dict[int, tuple[Change, ...]]:
    """Per run with both snapshots, node by node."""
    mine = keys.select("run", "i")
    first = frames["tickets"].join(mine, on="run").select("run", "i", "node", "uid", before="net")
    last = frames["ends"].select("run", "at", after="net").drop_nulls().sort("at").unique("run", keep="last")
    rows = first.drop_nulls("before").join(last, on="run").sort("i", "node", "run")
    shared = _shared(runs)
    found: dict[int, list[Change]] = {}
    for row in rows.iter_rows(named=True):
        alone = (row["i"], row["node"]) not in shared
        uid = row["uid"] if alone else None
        before, after = _load(row["before"]), _load(row["after"])
        if before and after:
            changes = _compare(before, after, row["node"], uid, row["at"])
            n_beside = _beside(runs, row["i"], row["node"], row["at"]) if changes else 0
            found.setdefault(row["i"], []).extend(replace(c, n_beside=n_beside) for c in changes)
    return {i: tuple(changes) for i, changes in found.items() if changes}


def _beside(runs: list[Run], i: int, node: str, at: float) -> int:
    """Other runs, anybody's, that were on the node between the run's start and the epilog's look."""
    return sum(
        node in run.nodes and run.start_at < at and (run.end_at is None or run.end_at > runs[i].start_at)
        for j, run in enumerate(runs)
        if j != i
    )


def _shared(runs: list[Run]) -> set[tuple[int, str]]:
    """(run, node) where another run of the owner's was when this one ended, or began right then."""
    at: dict[tuple[int | None, str], list[int]] = {}
    for i, run in enumerate(runs):
        for node in run.nodes:
            at.setdefault((run.uid, node), []).append(i)
    return {
        (i, node)
        for (_, node), places in at.items()
        for i in places
        if any(_is_there(runs[j], runs[i].until_at) for j in places if j != i)
    }


def _is_there(run: Run, at: float) -> bool:
    return run.start_at <= at + _SLACK_S and (run.end_at is None or run.end_at > at)


_SLACK_S = 60.0  # an epilog looks some seconds after accounting's end. Judgement


def _load(text: str) -> dict[str, Any]:
    try:
        state = json.loads(text)
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


def _compare(
    before: dict[str, Any], after: dict[str, Any], node: str, uid: int | None, at: float
) -> list[Change]:
    found: list[Change] = []
    if uid is not None and not before.get("truncated", True):
        for kind, part in ((LISTENER, "listen"), (CONNECTION, "established")):
            old = {_socket(s) for s in _rows(before, part)}
            new = {_socket(s) for s in _rows(after, part) if s.get("uid") == uid} - old
            found += [Change(node, kind, what, at, NEW) for what in sorted(new)]
    found += [Change(node, c.kind, c.what, at, c.how, c.telling) for c in nodewide.differences(before, after)]
    return list(_bounded(found))


def _bounded(changes: list[Change]) -> Iterator[Change]:
    """The first of each kind and sort in their order, and at the end what stands for the rest of them."""
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        groups.setdefault((change.kind, change.how), []).append(change)
    rests = {key: some[MOST:] for key, some in groups.items() if len(some) > MOST + 1}
    left = {id(change) for rest in rests.values() for change in rest}
    yield from (change for change in changes if id(change) not in left)
    for rest in rests.values():
        yield replace(rest[0], what="", n=len(rest), telling=any(c.telling for c in rest))


def _rows(state: dict[str, Any], part: str) -> Iterable[dict[str, Any]]:
    return (row for row in state.get(part) or () if isinstance(row, dict))


def _socket(row: dict[str, Any]) -> str:
    """What tells a socket from another: a listener by its place, a connection by both ends."""
    proto, local, peer = (str(row.get(name) or "") for name in ("proto", "local", "peer"))
    return f"{proto} {local}" if row.get("state") != "ESTABLISHED" else f"{proto} {local} to {peer}"
