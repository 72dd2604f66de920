"""A part that is measured by groups of its nodes: whatever they are, all that is left has the same bytes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from slurm_guard.audit.facts import split
from slurm_guard.audit.night import measure
from slurm_guard.cli.audit import load_facts
from slurm_guard.cli.simulate import simulate
from slurm_guard.config import Config
from slurm_guard.engine.plan import Part, slices_of
from slurm_guard.errors import GuardError
from slurm_guard.lake.frames import read_wide
from slurm_guard.model import Run
from tests.shapes import SHAPES, facts_of
from tests.unit.engine.nights import NODE_H, WHOLE_H, Night, audited, outcome, scatter, several, write_lake

NODE, PAIR = 0.0, 4.0  # GPU-hours of a slice, by part_gpu_h: each node by itself; some together


def _one_part(runs: Sequence[Run], nodes: Iterable[str], *_: object) -> list[Part]:
    """Of the whole night."""
    every = frozenset({*nodes, *(node for run in runs for node in run.nodes)})
    places = tuple(range(len(runs)))
    return [Part(places, places, every, every)]


@pytest.fixture
def one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut is the part, and nothing else."""
    monkeypatch.setattr("slurm_guard.engine.run.cut", _one_part)


def _sliced(monkeypatch: pytest.MonkeyPatch, by: float) -> None:
    monkeypatch.setattr("slurm_guard.engine.run._SLICE", by)


@pytest.mark.usefixtures("one_part")
def test_shapes_in_slices_of_a_node_are_as_in_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    facts, lake = several(sorted(SHAPES)[1::2]), tmp_path / "lake"
    write_lake(dict(facts.frames), lake)
    read = _reads(monkeypatch)
    whole = outcome(facts, lake, WHOLE_H)
    assert not read

    _sliced(monkeypatch, NODE)
    slices = outcome(facts, lake, 1.0)

    assert len(read) > 2 * 20  # twice: for what the other tables have to know, and to measure
    assert slices[0] == whole[0]
    assert slices[1] == whole[1]
    assert slices[2].equals(whole[2])


def _reads(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[str]]:
    """The nodes of each slice that is read."""
    read: list[frozenset[str]] = []
    was = read_wide

    def seen(*given: object) -> object:
        read.append(given[-1].nodes)  # type: ignore[attr-defined]
        return was(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("slurm_guard.engine.parts.read_wide", seen)
    return read


@pytest.mark.usefixtures("one_part")
@pytest.mark.parametrize("by", [NODE, PAIR])
def test_runs_over_several_slices_are_as_in_one(
    by: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a run on many nodes each slice has some, with other runs beside it there. Four hours of a day."""
    simulate(tmp_path / "wide", gpus=128, jobs=200, seed="slices", planted=0.3)
    lake, files = tmp_path / "wide" / "lake", (tmp_path / "wide" / "sacct.txt", None)
    facts = load_facts((1_760_440_000.0, 1_760_454_400.0), Config(), files, lake)
    scattered = scatter(facts, lake, tmp_path / "scattered")
    assert max(len(run.nodes) for run in split(scattered.runs)[0]) > 4

    for given, where in ((facts, lake), (scattered, tmp_path / "scattered")):
        whole = outcome(given, where, WHOLE_H)
        _sliced(monkeypatch, by)
        sliced = outcome(given, where, 16.0)
        assert sliced[:2] == whole[:2]
        assert sliced[2].equals(whole[2])


def test_slices_are_of_neighbours_and_hold_what_was_asked_for() -> None:
    run = split(facts_of("honest").runs)[0][0]
    nodes = tuple(f"n{k}" for k in range(12))
    one = replace(run, nodes=nodes, n_gpus=12, from_at=0.0, until_at=3600.0)
    two = replace(one, nodes=nodes[:2], n_gpus=4)

    found = slices_of(nodes, (one, two), 3.0)

    assert [sorted(some) for some in found] == [
        ["n0"],
        ["n1"],
        ["n2", "n3", "n4"],
        ["n5", "n6", "n7"],
        ["n10", "n8", "n9"],
        ["n11"],
    ]
    assert slices_of(nodes, (one, two), 1e9) == (frozenset(nodes),)
    assert slices_of((), (one, two), NODE_H) == (frozenset(),)


@pytest.mark.usefixtures("one_part")
def test_what_lies_on_disk_meanwhile_is_gone_afterwards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    facts, lake = several(("honest", "co-tenant")), tmp_path / "lake"
    write_lake(dict(facts.frames), lake)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    _sliced(monkeypatch, NODE)
    lay: list[str] = []
    was = measure

    def seen(*given: object, **more: object) -> object:
        done = was(*given, **more)  # type: ignore[arg-type]
        lay.extend(path.name for path in (tmp_path / "scratch").rglob("*-uses"))
        return done

    monkeypatch.setattr("slurm_guard.engine.parts.measure", seen)

    outcome(facts, lake, 0.1)

    assert len(lay) >= 2
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.usefixtures("one_part")
@pytest.mark.parametrize(
    ("hurt", "says"),
    [("pl.DataFrame.write_ipc", "No space left"), ("pl.read_ipc", "not as it was written")],
)
def test_a_disk_that_fails_meanwhile_publishes_nothing_and_says_so(
    hurt: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    facts, lake = several(("honest", "co-tenant")), tmp_path / "lake"
    write_lake(dict(facts.frames), lake)
    _sliced(monkeypatch, NODE)

    def fails(*_: object, **__: object) -> None:
        if "read" in hurt:
            raise pl.exceptions.ComputeError("out-of-spec: InvalidFooter")
        raise OSError("No space left on device (os error 28)")  # as Polars says it: without a number

    monkeypatch.setattr(f"slurm_guard.engine.shelf.{hurt}", fails)

    with pytest.raises(GuardError, match=says) as refused:
        outcome(facts, lake, 0.1)

    assert refused.value.slug == "scratch-unwritable"


def test_what_a_killed_process_left_goes_with_the_next_audit(night: Night) -> None:
    facts, lake, whole = night
    audited(facts, lake)
    (parts,) = (lake / "parts").iterdir()
    left = parts / ".scratch-0123456789abcdef"
    left.mkdir(0o700)
    (left / "0-uses").write_bytes(b"half")

    assert audited(facts, lake) == whole

    assert not left.exists()
    assert any(path.name.startswith("measure-") for path in parts.iterdir())
