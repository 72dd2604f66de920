"""A raised format: what an earlier one wrote is read by way of its steps, and a later one is refused.

There is only format 1: the steps here are of a format 0 that never was, and of numbers that are not yet.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slurm_guard import document, jsonsteps
from slurm_guard.errors import GuardError
from slurm_guard.lake import schema, steps
from slurm_guard.lake.frames import read_frames
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.scan import scan
from slurm_guard.lake.show import Asked, show_rows
from slurm_guard.lake.steps import Change, Older
from slurm_guard.memory.nights import read_nights
from tests.formats.lake1 import DOCUMENT, FROM_AT, UNTIL_AT, Site, copy


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A copy of the committed lake."""
    return copy(tmp_path / "site")


def _to_0(rows: pl.DataFrame) -> pl.DataFrame:
    """Format 0 had power in watts, the windows in `samples`, and no word on unlisted holders."""
    watts = (pl.col("power_mw") / 1000.0).alias("power_w")
    return rows.with_columns(watts).drop("power_mw", "n_held")


def _from_0(rows: pl.LazyFrame) -> pl.LazyFrame:
    power = (pl.col("power_w") * 1000.0).round().cast(pl.Int64).alias("power_mw")
    return rows.with_columns(power, pl.lit(0, pl.Int64).alias("n_held"))


def _older() -> Older:
    windows = {
        name: kind for name, kind in schema.TABLES["windows"].items() if name not in ("power_mw", "n_held")
    }
    others = {name: columns for name, columns in schema.TABLES.items() if name not in ("windows", "held")}
    tables = {**others, "samples": {**windows, "power_w": pl.Float64}}
    return Older(tables, {"windows": Change("samples", _from_0)})


def _turn_back(lake: Path, keep: Callable[[Path], bool] = lambda path: False) -> None:
    """The lake as format 0 had it, but for files that are to stay as they are."""
    for path in sorted((lake / "v1").rglob("*.parquet")):
        table = path.parts[-3]
        if keep(path):
            continue
        to = lake / "v0" / ("samples" if table == "windows" else table) / path.parts[-2] / path.name
        to.parent.mkdir(parents=True, exist_ok=True)
        if table == "windows":
            _to_0(pl.read_parquet(path, hive_partitioning=False)).write_parquet(to)
        elif table != "held":
            shutil.copy(path, to)
        path.unlink()


@pytest.fixture
def of_0(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """All of the lake is of format 0, and there is a step from it."""
    monkeypatch.setitem(steps.OLDER, 0, _older())
    _turn_back(site.lake)
    shutil.rmtree(site.lake / "v1")
    return site


def test_a_lake_of_an_earlier_format_is_audited_to_the_same_document(of_0: Site) -> None:
    of_0.audit()

    assert (of_0.night / "audit.json").read_text("utf-8") == DOCUMENT.read_text("utf-8")
    assert not (of_0.lake / "v1").exists()  # reading writes nothing


def test_so_is_one_that_the_raise_found_in_the_middle_of_the_night(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(steps.OLDER, 0, _older())
    names = sorted({path.name for path in (site.lake / "v1").rglob("*.parquet")})
    _turn_back(site.lake, lambda path: path.name in names[::2])
    site.audit()

    assert {path.name for path in (site.lake / "v0").rglob("*.parquet")} == {*names[1::2]}
    assert (site.night / "audit.json").read_text("utf-8") == DOCUMENT.read_text("utf-8")


def test_rows_of_an_earlier_format_are_shown_as_those_of_today(of_0: Site) -> None:
    shown = show_rows(of_0.lake, Asked("windows", ("power_mw", "n_held"), job=4727, limit=5))

    assert (shown.n_all > 5, shown.unread) == (True, [])
    assert all(isinstance(power, int) and power > 50_000 and held == 0 for power, held in shown.rows)
    assert show_rows(of_0.lake, Asked("held")).rows == []  # a table that there was not
    assert "windows" in of_0.run("lake", "tables")


def test_collecting_after_the_raise_takes_nothing_twice(of_0: Site) -> None:
    manifest = of_0.lake / "v0" / "manifest"
    before, _ = read_frames(of_0.lake, "", FROM_AT, UNTIL_AT)

    for path in (None, manifest):
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)
            shutil.rmtree(of_0.lake / "v1" / "manifest")
        of_0.run("collect")

    after, _ = read_frames(of_0.lake, "", FROM_AT, UNTIL_AT)
    assert [name for name in before if name != "held" and not after[name].equals(before[name])] == []
    new = {path.parts[-3] for path in (of_0.lake / "v1").rglob("*.parquet")}
    assert new == {"held"}  # the one table that format 0 could not hold


def test_a_file_that_was_taken_before_the_raise_and_has_changed_is_still_noticed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect([site.home / "spool"], site.lake)
    monkeypatch.setitem(steps.OLDER, 0, _older())
    _turn_back(site.lake)
    (site.lake / "v1" / "manifest").rename(site.lake / "v0" / "manifest")
    shutil.rmtree(site.lake / "v1")
    ticket = next((site.home / "spool" / "gpu11" / "tickets").iterdir())
    ticket.write_text(ticket.read_text("utf-8").replace('"restart_count":0', '"restart_count":1'), "utf-8")

    report = collect([site.home / "spool"], site.lake)

    assert [(refused.path, refused.slug) for refused in report.refused] == [(str(ticket), "changed")]


def test_what_was_forgotten_before_the_raise_does_not_come_back(of_0: Site) -> None:
    of_0.run("forget", "--user", "2002", "--name", "bela", "--apply")
    of_0.run("collect")

    frames, _ = read_frames(of_0.lake, "demo", FROM_AT, UNTIL_AT)
    assert frames["tickets"]["user"].drop_nulls().sort().to_list() == ["amara", "chen"]
    assert frames["flows"].height == frames["flows"].filter(~pl.col("run").str.contains("/4728/")).height


def test_a_file_that_the_step_cannot_lift_is_a_skip_and_the_others_are_read(of_0: Site) -> None:
    bad = next((of_0.lake / "v0" / "samples").rglob("*.parquet"))
    pl.DataFrame({"cluster": ["demo"], "power_w": ["much"]}).write_parquet(bad)

    _, skips = read_frames(of_0.lake, "demo", FROM_AT, UNTIL_AT)

    assert [(skip.subject, skip.reason) for skip in skips if skip.reason == "lake-file-unreadable"] == [
        (str(bad.relative_to(of_0.lake / "v0")), "lake-file-unreadable")
    ]


def test_steps_are_taken_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Format 1 had `a`, 2 had `b` = a + 1 in a table of another name, 3 has `c` = 10 b."""
    monkeypatch.setattr(steps, "FORMAT", 3)
    monkeypatch.setitem(schema.TABLES, "new", {"c": pl.Int64})
    first = Change("old", lambda rows: rows.select((pl.col("a") + 1).alias("b")))
    second = Change("mid", lambda rows: rows.select((pl.col("b") * 10).alias("c")))
    monkeypatch.setitem(steps.OLDER, 1, Older({"old": {"a": pl.Int64}}, {"mid": first}))
    monkeypatch.setitem(steps.OLDER, 2, Older({"mid": {"b": pl.Int64}}, {"new": second}))
    paths = []
    for number, table, column in ((1, "old", "a"), (2, "mid", "b"), (3, "new", "c")):
        path = tmp_path / f"v{number}" / table / "date=2026-01-01" / "x.parquet"
        path.parent.mkdir(parents=True)
        pl.DataFrame({column: [number]}).write_parquet(path)
        paths.append(path)

    assert scan("new", paths).collect()["c"].to_list() == [20, 20, 3]
    assert [home.folder for home in steps.homes(tmp_path, "new")] == [path.parents[1] for path in paths]


@pytest.mark.parametrize(("number", "slug"), [(2, "lake-newer"), (0, "lake-older")])
@pytest.mark.parametrize(
    "words",
    [
        ("collect",),
        ("audit", "--since", FROM_AT, "--until", UNTIL_AT, "--sacct-file", "sacct.txt"),
        ("lake", "show", "ends"),
        ("lake", "tables"),
        ("forget", "--user", "2002", "--name", "bela", "--apply"),
    ],
    ids=lambda words: words[0],
)
def test_half_a_lake_is_not_taken_for_a_whole_one(
    site: Site, words: tuple[Any, ...], number: int, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site.home)
    (site.lake / f"v{number}" / "windows").mkdir(parents=True)
    was = sorted(path for path in site.lake.rglob("*") if path.name != ".lock")

    with pytest.raises(GuardError) as caught:
        site.run(*words)

    assert caught.value.slug == slug
    assert f"format {number}" in caught.value.sentence
    assert sorted(path for path in site.lake.rglob("*") if path.name != ".lock") == was


def test_a_later_history_is_a_skip_of_the_audit(site: Site) -> None:
    (site.lake / "history" / "v2" / "costs").mkdir(parents=True)

    done = site.audit()

    assert [skip["reason"] for skip in done["skips"]] == ["history-file-unreadable"]


# -- JSON


def _with(number: int, body: dict[str, Any]) -> str:
    return json.dumps({**body, "format": number})


def test_a_document_of_an_earlier_format_is_read_by_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    today = json.loads(DOCUMENT.read_text("utf-8"))
    old = {**today, "runs": today["judgements"], "site_name": "x"}
    del old["judgements"]

    def step(body: dict[str, Any]) -> dict[str, Any]:
        runs = body.pop("runs")
        return {**body, "judgements": runs}

    monkeypatch.setitem(jsonsteps.DOCUMENT, 0, step)

    assert document.from_json(_with(0, old)) == document.from_json(DOCUMENT.read_text("utf-8"))


@pytest.mark.parametrize("number", [0, -1])
def test_a_document_to_which_no_step_leads_is_refused(number: int) -> None:
    with pytest.raises(GuardError, match="document-older: the text has format"):
        document.from_json(_with(number, json.loads(DOCUMENT.read_text("utf-8"))))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (2, "document-newer: the text has format"),
        *((bad, "document-shape") for bad in ("1", None, 1.5, True)),
    ],
)
def test_a_document_of_a_later_format_or_of_none_is_refused(number: Any, said: str) -> None:
    with pytest.raises(GuardError, match=said):
        document.from_json(_with(number, json.loads(DOCUMENT.read_text("utf-8"))))


def test_steps_of_json_are_taken_in_order_and_a_missing_one_is_no_way() -> None:
    steps_ = {1: lambda body: {**body, "n": body["n"] + 1}, 2: lambda body: {**body, "n": body["n"] * 10}}

    assert jsonsteps.lift({"n": 1}, (1, 3), steps_) == {"n": 20}
    assert jsonsteps.lift({"n": 1}, (3, 3), steps_) == {"n": 1}
    assert jsonsteps.lift({"n": 1}, (0, 3), steps_) is None


def test_an_index_of_an_earlier_format_is_read_by_its_step(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = json.loads((site.night / "history.json").read_text("utf-8"))
    old = {**index, "seen": index["cells"]}
    del old["cells"]
    (site.night / "history.json").write_text(_with(0, old))
    before = read_nights(site.home / "reports", "demo", UNTIL_AT + 1, 60)

    monkeypatch.setitem(jsonsteps.NIGHT, 0, lambda body: {**body, "cells": body["seen"]})

    assert (before[0], before[1][0].detail) == ((), "format 0 is read no more")
    found, skips = read_nights(site.home / "reports", "demo", UNTIL_AT + 1, 60)
    assert (len(found[0].cells), skips) == (len(index["cells"]), ())
