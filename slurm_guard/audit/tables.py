"""The night's frames with the joins that everything else needs."""

from dataclasses import dataclass

import polars as pl

from slurm_guard.audit import bind, gather, neighbours, sharedlogs, work
from slurm_guard.audit.facts import runs_frame
from slurm_guard.audit.glean import Given, Gleaned, glean, together
from slurm_guard.audit.holds import LogHold
from slurm_guard.audit.settled import Missed
from slurm_guard.audit.slices import Frames, Kept, Sources, in_memory, of_nodes
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
    """The frames with the joins that everything else needs. In `kept` names of nodes, GPUs and run keys are
    coded (codes.py), of each slice by itself; everywhere else they are texts."""

    frames: Frames  # without the rows for each window, but for what is in `gleaned.windows`
    runs: pl.DataFrame
    keys: pl.DataFrame  # of the runs that are measured
    gleaned: Gleaned
    kept: Kept
    told: set[int]  # runs of which a ticket names the GPUs, wherever they are
    logs: pl.DataFrame
    points: pl.DataFrame  # those of each run's last reading that are not another run's, too


def tables_of(
    runs: list[Run], frames: Frames, part: Part | None, sources: Sources | None, missed: Missed
) -> Tables:
    """Of `frames`, which are emptied of what is not needed any more. `sources`: the rows for each window,
    where they are not in `frames`; there `windows` have their run keys at least."""
    table = runs_frame(runs)
    keys = bind.bind(table, frames)
    own = keys if part is None else keys.filter(pl.col("i").is_in(list(part.own)))
    told, placed = _known(runs, keys, frames, part)
    given = Given(keys, own, table, frames["events"], None if part is None else part.norms, told, placed)
    sources = in_memory(frames) if sources is None else sources
    processes = frames.pop("processes")
    kept = Kept(len(sources.slices), sources.shelf)
    found: list[Gleaned] = []
    for k, source in enumerate(sources.slices):
        rows = {**source.read(), "processes": of_nodes(processes, source)}
        found.append(glean(k, rows, given, kept, missed))
    gleaned = together(found)
    frames = {**frames, "windows": gleaned.windows}
    logs, points = _logs(frames, (own, keys, table), kept, is_part=part is not None)
    return Tables(frames, table, own, gleaned, kept, told, logs, points)


def _known(
    runs: list[Run], keys: pl.DataFrame, frames: Frames, part: Part | None
) -> tuple[set[int], set[int] | None]:
    """Runs of which a ticket names the GPUs, and those that hold a board, wherever they are; null: all that
    do are in these frames."""
    if part is None:
        return bind.with_gpus_told(keys, frames), None
    told, placed = part.norms.told, part.norms.placed
    return {i for i, run in enumerate(runs) if run.id in told}, {
        i for i, run in enumerate(runs) if run.id in placed
    }


def _logs(
    frames: Frames, known: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame], kept: Kept, *, is_part: bool
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Logs and their points. `known`: keys of the runs that are measured, of all, and the runs."""
    own, keys, table = known
    logs, points = gather.latest(frames["logs"]), gather.latest(frames["points"])
    if is_part:  # whose files have others in them are of one part (engine/ties.py)
        logs, points = (
            rows.join(own, on="run", how="semi", maintain_order="left") for rows in (logs, points)
        )
    foreign = neighbours.foreign_logs(logs, frames["files"], keys, table)
    logs = neighbours.without(logs, foreign)
    points = points.join(foreign, on=["run", "file"], how="anti", maintain_order="left")
    points, logs = sharedlogs.settle(points, logs, (own, table), kept.each("uses"))
    return logs, points


Ties = tuple[pl.DataFrame, dict[int, list[LogHold]], set[tuple[str, int, int]]]


def ties_of(tables: Tables) -> Ties:
    """What processes are, which logs the runs' processes hold, and who speaks with whom."""
    frames = tables.frames
    held = gather.holds_of(tables.logs, frames["files"], tables.keys, tables.points)
    return tables.gleaned.people, held, gather.partners(frames["flows"])
