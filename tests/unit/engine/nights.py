"""Small nights of several parts, and what an audit of one gives."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import polars as pl

from slurm_guard.audit.facts import Facts
from slurm_guard.document import to_json
from slurm_guard.engine.run import Means, audit_lake
from slurm_guard.engine.tasks import Task
from slurm_guard.lake.frames import read_frames
from slurm_guard.lake.schema import PARTITION, TABLES
from slurm_guard.model import Run
from tests.shapes import facts_of

WHOLE_H, NODE_H = 1e9, 1e-9  # GPU-hours: all at once; a part for each node that has runs
AT = 1_780_000_000.0  # of what has no time of its own
KEYS = ("run", "window_run")
ONCE = Means(nights=0)  # nothing is kept
FEW = ("honest", "co-tenant", "leftover", "retrained", "no-data")
N_PARTS = 3  # of the five: some have files in common
Night = tuple[Facts, Path, tuple[str, str]]  # what accounting says, its lake, and what one look gives


def _named(frame: pl.DataFrame, k: int) -> pl.DataFrame:
    """Rows with nodes and GPUs of other names, which are their own on the whole cluster. Three shapes each
    have files in common."""
    tail = f"x{k}"
    columns = set(frame.columns)
    keys = [pl.col(key).str.replace(r"^(\w+/\d+/[^/]+)/", f"${{1}}{tail}/") for key in KEYS if key in columns]
    named = [pl.col(name) + tail for name in ("node", "gpu") if name in columns]
    has_names = frame.schema.get("gpus") == pl.List(pl.String)
    lists = [pl.col("gpus").list.eval(pl.element() + tail)] if has_names else []
    files = [pl.col("ino") + 1000 * (k // 3)] if "ino" in columns else []
    return frame.with_columns(*keys, *named, *lists, *files)


def several(names: Iterable[str]) -> Facts:
    """One night of several shapes, each on nodes of its own; users, jobs and files are the same on all."""
    runs: list[Run] = []
    frames: dict[str, list[pl.DataFrame]] = {name: [] for name in TABLES}
    base = facts_of("honest")
    from_at, until_at = base.from_at, base.until_at
    for k, name in enumerate(names):
        facts = facts_of(name)
        from_at, until_at = min(from_at, facts.from_at), max(until_at, facts.until_at)
        runs += [
            replace(run, id=f"{run.id}-{k}", nodes=tuple(f"{node}x{k}" for node in run.nodes))
            for run in facts.runs
        ]
        for table, frame in facts.frames.items():
            frames[table].append(_named(frame, k))
    made = {table: pl.concat(parts) for table, parts in frames.items()}
    return replace(base, runs=tuple(runs), frames=made, from_at=from_at, until_at=until_at)


def write_lake(frames: dict[str, pl.DataFrame], lake: Path) -> None:
    """A file for each node, table and day, as small as segments are."""
    for table, frame in frames.items():
        at = pl.coalesce(PARTITION[table], pl.lit(AT)).cast(pl.Int64)
        day = pl.from_epoch(at).dt.date().alias("day")
        for (node, date), rows in frame.group_by("node", day):
            folder = lake / "v1" / table / f"date={date}"
            folder.mkdir(parents=True, exist_ok=True)
            rows.drop("day", strict=False).write_parquet(folder / f"{node}.parquet", compression="zstd")


def scatter(facts: Facts, lake: Path, to: Path) -> Facts:
    """The same night on nodes of other names, so that those of one run are no neighbours."""
    frames, _ = read_frames(lake, facts.cluster, facts.from_at, facts.until_at)
    names = {node: f"n{node[:2:-1]}" for run in facts.runs for node in run.nodes}
    inside = [[f"/{name}/" for name in some] for some in (names, names.values())]
    write_lake({table: _renamed(frame, names, inside) for table, frame in frames.items()}, to)
    runs = (replace(run, nodes=tuple(names[node] for node in run.nodes)) for run in facts.runs)
    return replace(facts, runs=tuple(runs))


def _renamed(frame: pl.DataFrame, names: dict[str, str], inside: list[list[str]]) -> pl.DataFrame:
    keys = [pl.col(key).str.replace_many(*inside) for key in KEYS if key in frame.columns]
    return frame.with_columns(pl.col("node").replace(names), *keys)


def outcome(
    facts: Facts, lake: Path, part_gpu_h: float, processes: int = 1, means: Means = ONCE
) -> tuple[str, str, pl.DataFrame]:
    """The document, what is left for later audits, and the ledger by GPU and minute in a fixed order."""
    left: list[object] = []
    ledger: list[pl.DataFrame] = []
    done, costs, _ = audit_lake(
        replace(facts, frames={}),
        lake,
        replace(means, part_gpu_h=part_gpu_h, processes=processes),
        (left.append, left.append),
        lambda rows: ledger.append(rows.collect()),
        lambda *_: None,
    )
    table = pl.concat(ledger)
    return to_json(done), repr((left, costs)), table.sort(table.columns, nulls_last=True)


def audited(facts: Facts, lake: Path, means: Means = Means()) -> tuple[str, str]:  # noqa: B008 - frozen
    """In parts; the document and what is left for later audits."""
    return outcome(facts, lake, NODE_H, means=means)[:2]


def steps(tasks: list[Task]) -> dict[str, int]:
    """How many of each pass."""
    return {step: sum(task.step == step for task in tasks) for step in ("survey", "measure", "judge")}
