"""A night in parts: whatever they are, the document and all that is left for later have the same bytes."""

import errno
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard.audit.facts import Facts, split
from slurm_guard.audit.run import audit_and_remember
from slurm_guard.cli.audit import load_facts
from slurm_guard.cli.simulate import simulate
from slurm_guard.config import Config
from slurm_guard.document import to_json
from slurm_guard.engine.plan import cut
from slurm_guard.engine.ties import shared_files
from slurm_guard.errors import GuardError
from slurm_guard.lake.view import look
from tests.shapes import SHAPES, facts_of
from tests.unit.engine.nights import NODE_H, WHOLE_H, outcome, scatter, several, write_lake


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Facts, Path]:
    """Every other shape, at once: three audits of all of them took a minute."""
    facts = several(sorted(SHAPES)[::2])
    lake = tmp_path_factory.mktemp("parts") / "lake"
    write_lake(dict(facts.frames), lake)
    return facts, lake


def test_shapes_in_parts_of_a_node_are_as_in_one(night: tuple[Facts, Path]) -> None:
    facts, lake = night
    whole = outcome(facts, lake, WHOLE_H)

    parts = outcome(facts, lake, NODE_H)

    assert whole[0] == to_json(audit_and_remember(facts)[0])
    runs = split(facts.runs)[0]
    ties = shared_files(look(lake, facts.from_at, facts.until_at), facts.cluster, runs)
    parts_of = cut(runs, (), ties, NODE_H)
    assert len(parts_of) > 20
    assert any(len(part.own) > 2 for part in parts_of)
    assert parts[0] == whole[0]
    assert parts[1] == whole[1]
    assert parts[2].equals(whole[2])


def test_runs_over_several_parts_are_as_in_one(tmp_path: Path) -> None:
    """Of a run on many nodes each part has some, with other runs beside it there. Four hours of a day."""
    simulate(tmp_path / "wide", gpus=128, jobs=200, seed="parts", planted=0.3)
    lake, files = tmp_path / "wide" / "lake", (tmp_path / "wide" / "sacct.txt", None)
    facts = load_facts((1_760_440_000.0, 1_760_454_400.0), Config(), files, lake)
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

    monkeypatch.setattr("slurm_guard.engine.folder.os.fsync", full)

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
    monkeypatch.setattr("slurm_guard.engine.local._make", _shot)

    with pytest.raises(GuardError) as refused:
        outcome(replace(facts, runs=facts.runs[:6]), lake, NODE_H, processes=2)

    assert refused.value.slug == "audit-worker-lost"
    assert list(tmp_path.iterdir()) == []
