"""Tickets and marks as files: edited intents, copies that are missing or torn, folders that are tidied."""

import os
from pathlib import Path

import pytest

from slurm_guard import wire
from tests.unit.sampler.fakes import Node
from tests.unit.sampler.jobs import alive_runs, begin_job, put_mark, put_ticket

# -- the intent


@pytest.mark.parametrize(
    ("before", "after", "how"),
    [("a" * 64, "b" * 64, "changed"), (None, "b" * 64, "added"), ("a" * 64, None, "gone")],
)
def test_an_intent_that_was_edited_during_the_job_is_told_once(
    tmp_path: Path, before: str | None, after: str | None, how: str
) -> None:
    node = Node(tmp_path, n_gpus=1)
    texts = {hash_: None if hash_ is None else "c" + hash_ for hash_ in (before, after)}
    run = put_ticket(node, intent_sha256=before, comment=texts[before])
    node.turn(10)
    put_mark(node, run, intent_sha256=after, comment=texts[after])
    node.clock.sleep(0.5)
    put_mark(node, run, intent_sha256=after, comment=texts[after])
    node.turn(10)

    assert [(e["run"], e["detail"]["how"]) for e in node.events("intent-edited")] == [(run, how)]


@pytest.mark.parametrize("intent", [None, "a" * 64])
def test_an_intent_that_stands_as_it_was_is_no_event(tmp_path: Path, intent: str | None) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node, intent_sha256=intent)
    node.turn(10)
    put_mark(node, run, intent_sha256=intent)
    node.turn(10)

    assert node.seal(run)["ended_by"] == "epilog"
    assert node.events("intent-edited") == []


def test_the_mark_of_a_release_without_hashes_is_compared_by_its_texts(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=2)
    same = put_ticket(node, 1, comment="guard:task=x", intent_sha256="a" * 64)
    edited = put_ticket(node, 2, gpus=[1], comment="guard:task=x", intent_sha256="a" * 64)
    node.turn(10)
    put_mark(node, same, 1, comment="guard:task=x")
    put_mark(node, edited, 2, comment="guard:task=y")
    node.turn(10)

    assert [event["run"] for event in node.events("intent-edited")] == [edited]


# -- folders


@pytest.mark.parametrize("lost", ["run", "spool"])
def test_a_ticket_and_a_mark_that_reached_only_one_folder_are_followed(tmp_path: Path, lost: str) -> None:
    node = Node(tmp_path, n_gpus=1)
    folder = Path(getattr(node.folders, lost))
    node.turn(30)
    run = put_ticket(node)
    next(folder.glob("tickets/*")).unlink()
    node.turn(61)
    put_mark(node, run)
    next(folder.glob("ends/*")).unlink()
    node.turn(10)

    assert sum(w["covered_ms"] for w in node.records("window", run)) == 61_000
    assert node.seal(run)["ended_by"] == "epilog"


def test_a_half_readable_copy_does_not_hide_the_whole_one(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = put_ticket(node)
    next(Path(node.folders.run).glob("tickets/*")).write_bytes(b'{"k":"tick')
    node.turn(10)

    assert alive_runs(node) == [run]
    assert node.events("file-refused") == []


@pytest.mark.slow
def test_after_a_day_of_short_jobs_and_a_restart_the_run_folder_is_empty(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, segment_s=600.0)
    for job_id in range(1, 301):
        run = put_ticket(node, job_id)
        node.loop.tick()
        node.clock.sleep(1)
        put_mark(node, run, job_id)
        node.loop.tick()
        node.clock.sleep(3)
        node.loop.tick()
        if job_id == 150:
            node.loop.stop("SIGTERM")
            node.sampler()
    living = put_ticket(node, 999)
    begin_job(node, 999)
    for _ in range(12):
        node.clock.sleep(600)
        node.loop.tick()

    assert [p.name for p in Path(node.folders.run).glob("tickets/*")] == [f"{wire.stem(living)}.json"]
    assert list(Path(node.folders.run).glob("ends/*")) == []
    assert len(list(Path(node.folders.spool).glob("tickets/*"))) == 301
    assert alive_runs(node) == [living]


def test_a_late_epilog_still_finds_its_ticket_for_an_hour(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=1, segment_s=60.0)
    run = put_ticket(node)
    node.turn(5)
    put_mark(node, run)
    for _ in range(50):
        node.clock.sleep(60)
        node.loop.tick()

    assert len(list(Path(node.folders.run).glob("tickets/*"))) == 1


def test_the_spools_folders_are_listed_only_when_they_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path, n_gpus=1)
    for root in (node.folders.run, node.folders.spool):
        for kind in ("tickets", "ends"):
            os.utime(Path(root) / kind, (1, 1))
    node.turn(3)
    listed: list[str] = []
    real = os.listdir

    def listdir(path: str = ".") -> list[str]:
        listed.append(str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    node.turn(3)
    assert [path for path in listed if path.endswith(("tickets", "ends"))] == []

    run = put_ticket(node)
    node.turn(2)

    assert alive_runs(node) == [run]
