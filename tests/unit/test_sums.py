"""Sums by group and by night: they agree with the runs and with each other."""

import json
from dataclasses import fields, replace
from pathlib import Path

from slurm_guard import document, sums
from slurm_guard.audit.past import night_of
from slurm_guard.memory.nights import NAME, read_nights, to_text
from slurm_guard.model import Verdict
from tests.unit.report import builders

DAY = 86_400.0


def test_the_sums_of_each_kind_add_up_to_the_clusters() -> None:
    night = builders.night()

    found = sums.groups(night.judgements, "aurora")

    whole = found[0]
    assert (whole.kind, whole.n_runs) == ("cluster", len(night.judgements))
    for kind in ("account", "partition", "section"):
        merged = sums.merge("cluster", "aurora", [g for g in found if g.kind == kind])
        assert merged == whole, kind


def test_the_largest_group_comes_first_and_names_decide_among_equals() -> None:
    a, b = (replace(builders.clear(1), run=builders.run(1, account=name)) for name in "ab")

    found = [g.name for g in sums.groups((b, a, builders.alert()), "c") if g.kind == "account"]

    assert found == ["a", "b", "nlp-7"]


def test_a_nights_parts_add_up_to_its_allocation() -> None:
    night = builders.night()

    row = sums.of_night(night.judgements, (0.0, DAY))

    parts = ("explained", "idle", "unobserved", "unmatched", "unexplained")
    assert sum(getattr(row, f"{part}_gpu_ms") for part in parts) == row.allocated_gpu_ms
    counts = (row.n_alert, row.n_review, row.n_note, row.n_clear, row.n_not_auditable, row.n_explained)
    assert sum(counts) == row.n_runs == len(night.judgements)
    assert (row.n_alert, row.n_explained) == (1, 1)


def test_work_of_a_run_that_could_not_be_audited_is_not_unexplained() -> None:
    row = sums.of_night((builders.not_auditable(),), (0.0, DAY))

    assert row.unmatched_gpu_ms > 0
    assert (row.unexplained_gpu_ms, row.unexplained_lo_gpu_ms) == (0, 0)


def test_parked_and_explained_runs_have_sections_of_their_own() -> None:
    alert = replace(builders.parked(), verdict=Verdict.ALERT)

    assert sums.section_of(builders.parked()) == "parked"
    assert sums.section_of(builders.explained()) == "explained"
    assert sums.section_of(alert) == "ALERT"


def test_a_trend_is_bounded_and_ends_with_this_night() -> None:
    tonight = sums.of_night(builders.night().judgements, (0.0, DAY))
    before = [replace(tonight, from_at=-DAY * k) for k in range(50, 0, -1)]

    found = sums.trend([None, *before], tonight)

    assert len(found) == sums.NIGHTS
    assert found[-1] is tonight
    assert found[0].from_at == -DAY * (sums.NIGHTS - 1)


def test_a_night_leaves_its_row_in_its_index_for_later_ones(tmp_path: Path) -> None:
    night = builders.night()
    folder = tmp_path / "2026-09-22"
    folder.mkdir()

    (folder / NAME).write_text(to_text(night_of(night)))

    (read,), skips = read_nights(tmp_path, "aurora", night.until_at, 9)
    assert skips == ()
    assert read.sums == sums.of_night(night.judgements, (night.from_at, night.until_at))


def test_an_index_of_an_earlier_release_is_read_and_has_no_row(tmp_path: Path) -> None:
    night = builders.night()
    body = json.loads(to_text(night_of(night)))
    del body["sums"]
    folder = tmp_path / "2026-09-22"
    folder.mkdir()
    (folder / NAME).write_text(json.dumps(body))

    (read,), _ = read_nights(tmp_path, "aurora", night.until_at, 9)

    assert read.sums is None


def test_a_document_carries_its_sums_and_trend_and_one_without_them_is_read() -> None:
    night = builders.night()

    text = document.to_json(night)

    assert document.from_json(text) == night
    body = json.loads(text)
    del body["sums"], body["trend"]
    old = document.from_json(json.dumps(body))
    assert (old.sums, old.trend) == ((), ())
    assert {part.name for part in fields(old)} >= {"sums", "trend"}
