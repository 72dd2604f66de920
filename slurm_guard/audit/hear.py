"""What was heard of nodes and of runs' streams: silence is data."""

from dataclasses import dataclass, replace

import polars as pl

from slurm_guard.audit import others
from slurm_guard.audit.case import Hearing
from slurm_guard.audit.codes import texts
from slurm_guard.audit.net.unseen import remarks
from slurm_guard.audit.upkeep import Upkeep
from slurm_guard.model import NodeCoverage, Run

OFF = "switched-off"  # the event by which a node says that the guard does nothing (rulings 8)


@dataclass(frozen=True, slots=True)
class Heard:
    """The night's silence and speech, indexed for the runs."""

    nodes: frozenset[str]  # anything at all came from them
    off: frozenset[str]
    keys: dict[int, list[tuple[str, str, float]]]  # run -> (key, node, ticket_at)
    sealed: frozenset[str]
    refused: dict[int, int]
    windows: dict[int, int]
    others: others.Others  # what another monitor told
    streams: frozenset[str] = frozenset()  # keys of which a sampler sent anything


def counts_of(windows: pl.DataFrame) -> pl.DataFrame:
    """(node, run, map, len) of windows."""
    return windows.group_by("node", "run", "map").len()


def listen(
    frames: dict[str, pl.DataFrame], keys: pl.DataFrame, refused: pl.DataFrame, good: pl.DataFrame
) -> Heard:
    """Indexes over the frames; `refused`, `good`: counts_of, of some nodes each."""
    own = others.without(frames)
    spoke = pl.concat(
        [texts(own[t].select("node")) for t in ("tickets", "segments", "windows", "events", "ends")]
    )
    by_run: dict[int, list[tuple[str, str, float]]] = {}
    for key, i, node, at in keys.filter(~others.is_key()).select("run", "i", "node", "ticket_at").iter_rows():
        by_run.setdefault(i, []).append((key, node, at))
    off = frames["events"].filter(pl.col("name") == OFF)["node"]
    return Heard(
        frozenset(spoke["node"].drop_nulls().to_list()),
        frozenset(off.drop_nulls().to_list()),
        by_run,
        frozenset(frames["seals"]["run"].drop_nulls().to_list()),
        _counts(refused, keys),
        _counts(pl.concat([refused, good]), keys),
        others.told(frames, keys, good, is_alone=spoke.is_empty()),
        frozenset(texts(own["segments"].select("run"))["run"].drop_nulls().to_list()),
    )


def _counts(windows: pl.DataFrame, keys: pl.DataFrame) -> dict[int, int]:
    held = windows.join(keys.select("run", "i"), on="run").group_by("i").agg(pl.col("len").sum())
    return {int(i): int(n) for i, n in held.iter_rows()}


def of_run(i: int, run: Run, heard: Heard, until_at: float, slack_s: float) -> Hearing:
    """One run's hearing."""
    keys = heard.keys.get(i, [])
    with_ticket = {node for _, node, _ in keys}
    silent = tuple(n for n in run.nodes if n not in with_ticket)
    ended = run.end_at is not None and run.end_at + max(slack_s, 60.0) < until_at
    return Hearing(
        tuple(key for key, _, _ in keys),
        silent,
        tuple(n for n in silent if n not in heard.nodes),
        tuple(n for n in run.nodes if n in heard.off),
        tuple(key for key, _, _ in keys if key not in heard.sealed) if ended else (),
        heard.refused.get(i, 0),
        heard.windows.get(i, 0),
        imported=heard.others.by_run.get(i, ""),
        others_alone=heard.others.is_alone,
        n_streams=sum(key in heard.streams for key, _, _ in keys),
        read_nodes=tuple(n for n in run.nodes if n in heard.others.nodes),
    )


def covered_of(good: pl.DataFrame) -> pl.DataFrame:
    """(node, n_gpus, ms, last) of the judgeable windows."""
    return good.group_by("node").agg(
        pl.col("gpu").n_unique().alias("n_gpus"),
        pl.col("covered_ms").sum().alias("ms"),
        pl.col("end_at").max().alias("last"),
    )


def coverage(
    frames: dict[str, pl.DataFrame],
    told: tuple[pl.DataFrame, pl.DataFrame],
    runs: list[Run],
    maintenance: tuple[Upkeep, tuple[float, float]],
    nodes: frozenset[str] | None = None,
) -> tuple[NodeCoverage, ...]:
    """One line per node that ran a job or was heard; of these `nodes` alone, if any are named. `told`:
    covered_of and counts_of the judgeable windows, each node in one row of the first. `maintenance`: the
    windows, and the audited one. A node that was in maintenance whenever it had a run is not called silent.
    """
    upkeep, window = maintenance
    spans: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        for node in run.nodes:
            spans.setdefault(node, []).append((run.from_at, run.until_at))
    covered, good = told
    found = {row["node"]: row for row in covered.iter_rows(named=True)}
    own = others.without(frames)
    spoke = set(
        pl.concat([own[t].select("node") for t in ("tickets", "segments", "events")])["node"].drop_nulls()
    )
    by_others = others.by_node(frames, good)
    every = sorted(n for n in set(found) | spoke | set(spans) if nodes is None or n in nodes)
    said = remarks(frames)
    return tuple(
        replace(
            _coverage(
                node,
                found.get(node),
                upkeep.note(node)
                if all(upkeep.covers(node, *span) for span in spans.get(node, [window]))
                else "heard, but without windows"
                if node in spoke
                else "nothing was heard",
                "; ".join(filter(None, (others.remark(by_others.get(node, "")), said.get(node, "")))),
            ),
            maintenance_s=round(float(upkeep.overlap_s(node, *window)), 3),
        )
        for node in every
    )


def _coverage(node: str, row: dict[str, object] | None, silent: str, said: str) -> NodeCoverage:
    """`silent`: what is said of it where no window came."""
    if row is None:
        return NodeCoverage(node, 0, 0, None, f"{silent}; {said}" if said else silent)
    return NodeCoverage(node, int(str(row["n_gpus"])), int(str(row["ms"])), float(str(row["last"])), said)
