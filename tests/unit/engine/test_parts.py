"""A night in parts: whatever they are, the document and all that is left for later have the same bytes."""

import errno
import os
import signal
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from slurm_guard.audit.facts import Facts, split
from slurm_guard.audit.run import audit_and_remember
from slurm_guard.cli.audit import load_facts
from slurm_guard.cli.simulate import simulate
from slurm_guard.config import Config
from slurm_guard.document import to_json
from slurm_guard.engine.plan import cut
from slurm_guard.engine.run import audit_lake
from slurm_guard.engine.ties import shared_files
from slurm_guard.errors import GuardError
from slurm_guard.lake.frames import read_frames
from slurm_guard.lake.schema import PARTITION, TABLES
from slurm_guard.model import Run
from tests.shapes import SHAPES, facts_of

WHOLE_H, NODE_H = 1e9, 1e-9  # GPU-hours: all at once; a part for each node that has runs
AT = 1_780_000_000.0  # of what has no time of its own
KEYS = ("run", "window_run")


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


def outcome(facts: Facts, lake: Path, part_gpu_h: float, processes: int = 1) -> tuple[str, str, pl.DataFrame]:
    """The document, what is left for later audits, and the ledger by GPU and minute in a fixed order."""
    left: list[object] = []
    ledger: list[pl.DataFrame] = []
    done, costs = audit_lake(
        replace(facts, frames={}),
        lake,
        (part_gpu_h, processes),
        (left.append, left.append),
        lambda rows: ledger.append(rows.collect()),
        lambda *_: None,
    )
    table = pl.concat(ledger)
    return to_json(done), repr((left, costs)), table.sort(table.columns, nulls_last=True)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Facts, Path]:
    """All shapes at once."""
    facts = several(sorted(SHAPES))
    lake = tmp_path_factory.mktemp("parts") / "lake"
    write_lake(dict(facts.frames), lake)
    return facts, lake


def test_all_shapes_in_parts_of_a_node_are_as_in_one(night: tuple[Facts, Path]) -> None:
    facts, lake = night
    whole = outcome(facts, lake, WHOLE_H)

    parts = outcome(facts, lake, NODE_H)

    assert whole[0] == to_json(audit_and_remember(facts)[0])
    runs = split(facts.runs)[0]
    ties = shared_files(lake, facts.cluster, facts.from_at, facts.until_at, runs)
    parts_of = cut(runs, (), ties, NODE_H)
    assert len(parts_of) > 20
    assert any(len(part.own) > 2 for part in parts_of)
    assert parts[0] == whole[0]
    assert parts[1] == whole[1]
    assert parts[2].equals(whole[2])


def test_runs_over_several_parts_are_as_in_one(tmp_path: Path) -> None:
    """Of a run on many nodes each part has some, with other runs beside it there."""
    simulate(tmp_path / "wide", gpus=128, jobs=200, seed="parts", planted=0.3)
    lake, files = tmp_path / "wide" / "lake", (tmp_path / "wide" / "sacct.txt", None)
    facts = load_facts((1_760_400_000.0, 1_760_486_400.0), Config(), files, lake)
    scattered = scatter(facts, lake, tmp_path / "scattered")
    runs = split(scattered.runs)[0]
    places = {i: k for k, part in enumerate(cut(runs, (), (), NODE_H)) for i in part.own}
    assert any(len({places[i] for i in part.near}) > 1 for part in cut(runs, (), (), NODE_H))

    for given, where in ((facts, lake), (scattered, tmp_path / "scattered")):
        assert outcome(given, where, NODE_H)[:2] == outcome(given, where, WHOLE_H)[:2]


def test_a_part_goes_on_over_the_nodes_that_its_runs_reach_and_no_further() -> None:
    """They are read for these runs anyway, and are not read again for the next part."""
    run = split(facts_of("honest").runs)[0][0]
    nodes = [("n1", "n2", "n3"), ("n2",), ("n3", "n4"), ("n4",), ("n5",)]
    runs = [replace(run, id=str(k), nodes=mine) for k, mine in enumerate(nodes)]

    parts = cut(runs, (), (), NODE_H)

    assert [part.own for part in parts] == [(0, 1, 2), (3,), (4,)]
    assert [sorted(part.nodes) for part in parts] == [["n1", "n2", "n3"], ["n4"], ["n5"]]
    assert [sorted(part.reach) for part in parts] == [["n1", "n2", "n3", "n4"], ["n4"], ["n5"]]
    assert [part.near for part in parts] == [(0, 1, 2, 3), (2, 3), (4,)]


def test_processes_make_no_difference(night: tuple[Facts, Path]) -> None:
    facts, lake = night
    few = replace(facts, runs=facts.runs[:12])

    assert outcome(few, lake, 1.0, processes=2)[:2] == outcome(few, lake, WHOLE_H)[:2]


def test_a_full_disk_publishes_nothing_and_names_the_folder(
    night: tuple[Facts, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, lake = night

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("slurm_guard.engine.parts.write_whole", full)

    with pytest.raises(GuardError, match="No space left") as refused:
        outcome(replace(facts, runs=facts.runs[:6]), lake, NODE_H)

    assert refused.value.slug == "scratch-unwritable"


def _shot(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_publishes_nothing_and_leaves_no_files(
    night: tuple[Facts, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    facts, lake = night
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("slurm_guard.engine.run._survey", _shot)

    with pytest.raises(GuardError) as refused:
        outcome(replace(facts, runs=facts.runs[:6]), lake, NODE_H, processes=2)

    assert refused.value.slug == "audit-worker-lost"
    assert list(tmp_path.iterdir()) == []
