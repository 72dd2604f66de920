"""The committed lake of format 1 is what it says, and is read as on its first day."""

import json
import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from slurm_guard import document, siteword
from slurm_guard.lake import compact as compacting
from slurm_guard.lake.frames import read_frames
from slurm_guard.lake.history import SHAPES, Reach, read_before
from slurm_guard.lake.schema import TABLES
from slurm_guard.lake.show import Asked, show_rows
from slurm_guard.memory.nights import read_nights
from slurm_guard.memory.words import read_book
from slurm_guard.report.narrow import parse_narrow
from slurm_guard.report.nights import Nights, read_parts
from tests.formats.lake1 import DOCUMENT, FIXTURE, FROM_AT, NIGHT, UNTIL_AT, Site, copy, differences
from tools import genshapes

OF_TABLES = [name for name in genshapes.read("lake-1") if ": " in name]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Made anew for each test."""
    return copy(tmp_path / "site")


def _lines(path: Path) -> list[str]:
    table = path.parts[-3]
    return [f"{table}.{name}: {kind}, may be missing" for name, kind in pl.read_parquet_schema(path).items()]


def test_every_column_of_every_file_is_one_of_format_1() -> None:
    for root, name in (("lake/v1", "lake-1"), ("lake/history/v1", "history-1")):
        files = sorted((FIXTURE / root).rglob("*.parquet"))

        assert files
        assert [
            (path.name, line) for path in files for line in _lines(path) if line not in genshapes.read(name)
        ] == []


def test_every_table_of_format_1_has_rows_and_every_column_a_value() -> None:
    told: set[str] = set()
    for path in (FIXTURE / "lake" / "v1").rglob("*.parquet"):
        frame = pl.read_parquet(path, hive_partitioning=False)
        told |= {
            f"{path.parts[-3]}.{name}" for name in frame.columns if frame[name].null_count() < frame.height
        }

    assert {line.partition(":")[0] for line in OF_TABLES} - told == {"gpus.run"}  # a board is no run's


def test_every_file_that_has_a_number_has_1() -> None:
    files = [*FIXTURE.rglob("*.json"), *FIXTURE.rglob("*.jsonl")]
    first = {
        path: json.loads(path.read_text("utf-8").splitlines()[0]) for path in files if path.suffix == ".jsonl"
    }
    whole = {path: json.loads(path.read_text("utf-8")) for path in files if path.suffix == ".json"}

    assert {type(body.get("format")) for body in (first | whole).values()} == {int}
    assert {body["format"] for body in (first | whole).values()} == {1}
    assert {path.parts[len(FIXTURE.parts)] for path in files} == {"spool", "lake", "reports"}


def test_today_s_audit_of_it_is_the_document_that_was_written_then(site: Site) -> None:
    was = (site.night / "audit.json").read_text("utf-8")
    (site.night / "audit.json").unlink()

    now = site.audit()

    known = [line for line in (FIXTURE / "differs.txt").read_text("utf-8").splitlines() if line[:1] != "#"]
    reasons = dict(line.split(": ", 1) for line in known)
    found = differences(json.loads(was), now) - {"version"}
    assert found == set(reasons), "say why in differs.txt; before 0.1.0 is out, makelake makes the lake anew"
    assert all(reasons.values())
    if not reasons and now["version"] == json.loads(was)["version"]:
        assert (site.night / "audit.json").read_text("utf-8") == was


def test_put_together_it_is_audited_to_the_same_document(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.audit()
    was = (site.night / "audit.json").read_text("utf-8")
    monkeypatch.setattr(compacting, "LEAST_FILES", 2)
    done = compacting.compact(site.lake, (date.min, date.max))

    site.audit()

    assert done.n_before > 2 * done.n_after > 0
    assert (site.night / "audit.json").read_text("utf-8") == was


def test_what_is_left_for_later_nights_is_what_was_left_then(site: Site) -> None:
    was = (site.night / "history.json").read_text("utf-8")
    shutil.rmtree(site.lake / "history")
    (site.night / "history.json").unlink()

    site.audit()

    reach = Reach(90.0, 1000)
    later_at = UNTIL_AT + 3600
    for table in SHAPES:
        then = read_before(FIXTURE / "lake" / "history", table, "demo", later_at, reach)
        now = read_before(site.lake / "history", table, "demo", later_at, reach)
        assert (now[0].sha256, now[1]) == (then[0].sha256, ())
    assert (site.night / "history.json").read_text("utf-8") == was


def test_what_was_left_then_is_read_by_later_nights(site: Site) -> None:
    found, skips = read_nights(site.home / "reports", "demo", UNTIL_AT + 1, 60)
    book = read_book(site.home / "reports" / "site-words.jsonl")

    assert ([night.cluster for night in found], skips) == (["demo"], ())
    assert [one.verdict.value for one in found[0].asked] == ["ALERT"]
    assert book.bad == ()
    assert [type(entry) for entry in book.entries] == [siteword.Exemption, siteword.Disposition]
    costs, unread = read_before(site.lake / "history", "costs", "demo", UNTIL_AT + 1, Reach(90.0, 1000))
    assert (costs.frame.height > 0, unread) == (True, ())


def test_the_document_is_read_and_written_as_it_is() -> None:
    text = DOCUMENT.read_text("utf-8")

    assert document.to_json(document.from_json(text)) == text


def test_its_spool_collected_anew_gives_the_same_rows(site: Site) -> None:
    was, _ = read_frames(site.lake, "", FROM_AT, UNTIL_AT)
    names = {path.relative_to(site.lake) for path in (site.lake / "v1").rglob("*.parquet")}
    shutil.rmtree(site.lake)

    said = site.run("collect")

    assert "0 in quarantine" in said
    assert {path.relative_to(site.lake) for path in (site.lake / "v1").rglob("*.parquet")} == names
    now, skips = read_frames(site.lake, "", FROM_AT, UNTIL_AT)
    assert {table for table in TABLES if not now[table].equals(was[table])} == set()
    assert {skip.reason for skip in skips} <= {"segment-missing", "segment-given-up", "segment-changed"}


def test_collecting_into_it_adds_nothing(site: Site) -> None:
    said = site.run("collect")

    assert said.startswith("0 files new (0 rows), 23 known, 0 in quarantine")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """For tests that only read."""
    return copy(tmp_path_factory.mktemp("kept"))


@pytest.mark.parametrize("form", ["text", "html", "json", "csv", "eml"])
def test_the_report_reads_it(kept: Site, form: str) -> None:
    shown = kept.run("report", "--format", form)

    assert "agent" in shown


def test_one_job_several_nights_and_the_sites_words_are_shown(kept: Site) -> None:
    night = document.from_json(DOCUMENT.read_text("utf-8"))
    several = read_parts([NIGHT], Nights(NIGHT, parse_narrow()), lambda day: night)

    assert len(list(several)) == 1
    assert "extra-context" in kept.run("report", "--job", "4728")
    assert "a course" in kept.run("explain", "--list")
    assert "was right" in kept.run("disposition", "--list")


def test_lake_show_reads_every_table(kept: Site) -> None:
    for table in {line.partition(".")[0] for line in OF_TABLES}:
        asked = [] if table not in ("logs", "points") else [("read", "0"), ("read", "1")]
        shown = [show_rows(kept.lake, Asked(table, where=(one,))) for one in asked]
        shown = shown or [show_rows(kept.lake, Asked(table))]

        files = (FIXTURE / "lake" / "v1" / table).rglob("*.parquet")
        n_rows = sum(pl.read_parquet(path, hive_partitioning=False).height for path in files)
        assert (table, sum(one.n_all for one in shown)) == (table, n_rows)
        assert [one.unread for one in shown if one.unread] == []
    assert json.loads(kept.run("lake", "show", "ends", "--format", "json"))["n_rows"] == 4
    assert NIGHT in kept.run("lake", "tables", "ends")


def test_a_dry_run_of_the_mail_reads_it(site: Site) -> None:
    with site.settings.open("a") as text:
        text.write('[mail]\nto = ["ops@example.org"]\n')

    assert "dry run" in site.run("mail")


def test_forgetting_a_user_leaves_nothing_of_him_in_it(site: Site) -> None:
    site.run("forget", "--user", "2002", "--name", "bela", "--apply")

    left = [
        str(path.relative_to(site.lake))
        for path in site.lake.rglob("*.parquet")
        if not path.is_relative_to(site.lake / "v1" / "points")
        for text in [pl.read_parquet(path, hive_partitioning=False).write_ndjson()]
        if "bela" in text or '"uid":2002' in text
    ]
    assert left == []
