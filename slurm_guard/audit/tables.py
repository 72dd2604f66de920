"""The night's frames with the joins that everything else needs."""

from dataclasses import dataclass

import polars as pl

from slurm_guard.audit import bind, gather, neighbours, owners, sharedlogs, work
from slurm_guard.audit import unlisted as holders
from slurm_guard.audit.codes import coded, texts
from slurm_guard.audit.facts import runs_frame
from slurm_guard.audit.holds import LogHold
from slurm_guard.model import Run


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a night: the places of the runs that are measured, among all that were on their nodes, and
    the nodes of which it speaks in the document. `norms`: of the whole night."""

    own: tuple[int, ...]
    nodes: frozenset[str]
    norms: work.Norms


@dataclass(frozen=True, slots=True)
class Tables:
    """The frames with the joins that everything else needs. Names of nodes, GPUs and run keys are coded
    (codes.py) in the frames of `codes` and in all that comes from them: good, refused, raw, uses, strange,
    people."""

    frames: dict[str, pl.DataFrame]
    runs: pl.DataFrame
    keys: pl.DataFrame
    own_keys: pl.DataFrame  # of the runs that are measured
    codes: pl.DataFrame  # the same keys, coded
    own_codes: pl.DataFrame
    good: pl.DataFrame
    refused: pl.DataFrame
    raw: pl.DataFrame  # cells before they are divided among processes
    uses: pl.DataFrame
    strange: pl.DataFrame  # windows in which somebody unlisted could have worked
    people: pl.DataFrame
    logs: pl.DataFrame
    points: pl.DataFrame  # those of each run's last reading that are not another run's, too


def tables_of(runs: list[Run], frames: dict[str, pl.DataFrame], part: Part | None) -> Tables:
    table = runs_frame(runs)
    keys = bind.bind(table, frames)
    own = _own(keys, part)
    frames, codes = coded(frames, keys)
    own_codes = _own(codes, part)
    good, refused = work.judgeable(frames["windows"])
    people = owners.process_facts(frames["processes"])
    uses = owners.uses(frames["shares"], people, codes).join(
        _rights(good), on=["node", "gpu", "start_at"], how="left", maintain_order="left"
    )
    cells = work.cells(good, own_codes, table, None if part is None else part.norms)
    logs, points = gather.latest(frames["logs"]), gather.latest(frames["points"])
    if part is not None:  # whose files have others in them are of one part (parts.py)
        logs, points = (
            rows.join(own, on="run", how="semi", maintain_order="left") for rows in (logs, points)
        )
    foreign = neighbours.foreign_logs(logs, frames["files"], keys, table)
    logs = neighbours.without(logs, foreign)
    points = points.join(foreign, on=["run", "file"], how="anti", maintain_order="left")
    points, logs = sharedlogs.settle(points, logs, (own, table), uses)
    strange = holders.strangers(frames["held"], people)
    known = (keys, own, codes, own_codes)
    return Tables(frames, table, *known, good, refused, cells, uses, strange, people, logs, points)


def _own(keys: pl.DataFrame, part: Part | None) -> pl.DataFrame:
    return keys if part is None else keys.filter(pl.col("i").is_in(list(part.own)))


def _rights(good: pl.DataFrame) -> pl.DataFrame:
    """Windows of GPUs that several runs hold by right, or of which it is in doubt who does; no others."""
    told = good.select(
        "node",
        "gpu",
        "start_at",
        pl.col("shared").fill_null(value=False).alias("window_shared"),
        (pl.col("map") == "contradicted").fill_null(value=False).alias("window_doubted"),
    ).filter(pl.col("window_shared") | pl.col("window_doubted"))
    return told.group_by("node", "gpu", "start_at").agg(pl.col("window_shared", "window_doubted").any())


Ties = tuple[pl.DataFrame, dict[int, list[LogHold]], set[tuple[str, int, int]]]


def ties_of(tables: Tables, frames: dict[str, pl.DataFrame]) -> Ties:
    """What processes are, which logs the runs' processes hold, and who speaks with whom."""
    held = gather.holds_of(tables.logs, frames["files"], tables.own_keys, tables.points)
    return tables.people, held, gather.partners(frames["flows"])


def of_nodes(rows: pl.DataFrame, nodes: frozenset[str] | None) -> pl.DataFrame:
    rows = texts(rows)
    return rows if nodes is None else rows.filter(pl.col("node").is_in(sorted(nodes)))


def known_of(
    runs: list[Run], tables: Tables, frames: dict[str, pl.DataFrame], part: Part | None
) -> tuple[set[int], set[int]]:
    """Runs of which a ticket names the GPUs, and those that hold a board, wherever they are."""
    if part is None:
        return bind.with_gpus_told(tables.keys, frames), set(tables.raw["i"].unique().to_list())
    told, placed = part.norms.told, part.norms.placed
    return {i for i, run in enumerate(runs) if run.id in told}, {
        i for i, run in enumerate(runs) if run.id in placed
    }
