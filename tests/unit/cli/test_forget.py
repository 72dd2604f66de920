"""`slurm-guard forget`: nothing of the user is left, and the sums are what they were."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from slurm_guard.cli import app as cli
from slurm_guard.cli.audit import audit
from slurm_guard.document import from_json
from slurm_guard.engine.kept import work_of
from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.lake.forget import SUMS
from slurm_guard.report.forget import NOBODY, Who, redact_audit
from slurm_guard.report.viewlog import view_line
from slurm_guard.siteword import Speaker
from tests.shapes import SHAPES
from tests.unit.cli.test_audit import SINCE, UNTIL, _lake, _sacct
from tests.unit.report.builders import night

cli._register()
WORLD = SHAPES["tunnel-and-work"]
LETTER = "To: ann@example.org\nSubject: x\nContent-Type: text/plain; charset=utf-8\n\nYour runs.\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A night of ann's (uid 1000), audited, with pages, views, letters and her own documents."""
    reports = tmp_path / "reports"
    reports.mkdir()
    path = tmp_path / "guard.toml"
    path.write_text(f'[lake]\npath = "{tmp_path}/lake"\n[report]\npath = "{reports}"\n', "utf-8")
    audit(SINCE, UNTIL, _sacct(tmp_path), _lake(tmp_path, WORLD), config=path, remember=True)
    (folder,) = (p for p in reports.iterdir() if p.is_dir())
    (folder / "report.html").write_text("<p>ann</p>", "utf-8")
    asked = ("report", "n", "user ann", "text")
    views = [view_line(1.0, Speaker("ops", 5, None), asked, (2, {"ann", "bob"}))]
    views += [view_line(2.0, Speaker("ann", 1000, 1000), ("report", "n", "", "text"), (1, {"bob"}))]
    (reports / "views.jsonl").write_text("\n".join(views) + "\n", "utf-8")
    for name, days in (("old", 30), ("young", 1)):
        for letter, text in (("mine", LETTER), ("other", LETTER.replace("ann@", "bob@"))):
            box = reports / "outbox" / name
            box.mkdir(parents=True, exist_ok=True)
            (box / f"{letter}.eml").write_text(text, "utf-8")
            (box / f"{letter}.json").write_text("{}", "utf-8")
            for file in box.iterdir():
                os.utime(file, (file.stat().st_atime - days * 86_400,) * 2)
    (tmp_path / "own" / "1000").mkdir(parents=True)
    (tmp_path / "own" / "1000" / f"{folder.name}.json").write_text("{}", "utf-8")
    return path


@pytest.mark.parametrize("what", ["file", "day", "table", "format", "history"])
@pytest.mark.parametrize("words", [(), ("--apply",)])
def test_a_link_in_the_lake_is_named_and_not_followed(
    site: Path, tmp_path: Path, what: str, words: tuple[str, ...]
) -> None:
    lake = tmp_path / "lake"
    day = next((lake / "v1" / "processes").iterdir())
    past = next((lake / "history").rglob("*.parquet"))
    place = {
        "file": next(day.iterdir()),
        "day": day,
        "table": day.parent,
        "format": lake / "v1",
        "history": past,
    }
    link, away = place[what], tmp_path / f"away{place[what].suffix}"
    link.rename(away)
    link.symlink_to(away)
    before = _content(away) if away.is_dir() else {"": away.read_bytes()}

    done = CliRunner().invoke(
        cli.app, ["forget", "--user", "1000", "--name", "ann", "--config", str(site), *words]
    )

    assert done.exit_code == 1
    assert f"{link}: a link, which was not followed" in done.stderr
    assert link.is_symlink()
    assert (_content(away) if away.is_dir() else {"": away.read_bytes()}) == before
    assert not words or not (tmp_path / "own" / "1000").exists()  # the rest is done


def test_a_folder_that_cannot_be_listed_is_named(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = next((tmp_path / "lake" / "v1" / "flows").iterdir())
    scandir = os.scandir

    def closed(path: Any) -> Any:
        if Path(path) == day:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)

    done = CliRunner().invoke(cli.app, ["forget", "--user", "1000", "--name", "ann", "--config", str(site)])

    assert done.exit_code == 1
    assert f"{day}: cannot be listed: Permission denied" in done.stderr


def test_kept_parts_of_nights_go_and_one_in_use_is_said(site: Path, tmp_path: Path) -> None:
    night = ("lake", "c", 0.0, 1.0)
    place = tmp_path / "lake" / "parts"
    with work_of(place, 2, night) as work:
        work.night.put("judge-x", "of ann, too")
        argv = ["forget", "--user", "1000", "--name", "ann", "--config", str(site), "--apply"]
        busy = CliRunner().invoke(cli.app, argv)
        left = list(place.rglob("judge-x"))

    said = _forget(site, "--apply")

    assert busy.exit_code == 1
    assert "an audit is using it" in busy.output
    assert left
    assert "kept of nights in parts is gone" in said
    assert list(place.iterdir()) == []


def _forget(site: Path, *words: str) -> str:
    argv = ["forget", "--user", "1000", "--name", "ann", "--config", str(site), *words]
    done = CliRunner().invoke(cli.app, argv, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def _content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _tables(lake: Path) -> dict[str, pl.DataFrame]:
    return {
        p.parts[-3]: pl.read_parquet(p, hive_partitioning=False) for p in (lake / "v1").rglob("*.parquet")
    }


def test_a_dry_run_says_everything_and_changes_nothing(site: Path) -> None:
    before = _content(site.parent)

    said = _forget(site)

    assert _content(site.parent) == before
    for words in (
        "uid 1000, ann:", "1 runs on nodes", "rows of tickets", "rows of processes", "rows of history",
        "1 nights, 1 pages", "own documents: 1", "letters: 1; 1 younger than 15 days stay", "views: 2 lines",
        "nothing was changed",
    ):  # fmt: skip
        assert words in said, said


def test_what_he_did_is_gone_and_what_his_gpus_did_stays(site: Path) -> None:
    before = _tables(site.parent / "lake")
    _forget(site, "--apply")
    after = _tables(site.parent / "lake")

    for table in SUMS:
        if table in before:
            assert after[table].equals(before[table]), table
    for table in set(before) - set(SUMS) - {"tickets", "ends"}:
        assert not after[table].get_column("run").is_in(before["tickets"]["run"].to_list()).any(), table
    ticket = after["tickets"].row(0, named=True)
    assert (ticket["uid"], ticket["user"], ticket["comment"], ticket["work_dir"]) == (None,) * 4
    assert ticket["gpus"] == before["tickets"].row(0, named=True)["gpus"]
    assert list((site.parent / "lake" / "history").rglob("*.parquet"))
    for path in (site.parent / "lake" / "history").rglob("*.parquet"):
        assert 1000 not in pl.read_parquet(path, hive_partitioning=False)["uid"].to_list()


def _without_hooks(lake: Path) -> None:
    """As if neither hook had run on the node."""
    for table in ("tickets", "ends"):
        for path in (lake / "v1" / table).rglob("*.parquet"):
            path.unlink()


def test_a_run_of_which_no_hook_told_is_his_whose_processes_it_had(site: Path) -> None:
    lake = site.parent / "lake"
    key = _tables(lake)["tickets"]["run"][0]
    _without_hooks(lake)
    before = _tables(lake)

    assert "1 runs on nodes" in _forget(site, "--apply")

    after = _tables(lake)
    assert any(key in before[table]["run"].to_list() for table in set(before) - set(SUMS) - {"processes"})
    for table in set(after) - set(SUMS):
        assert key not in after[table]["run"].to_list(), table


def test_a_run_of_which_no_hook_told_and_that_two_used_is_named_and_left(site: Path) -> None:
    lake = site.parent / "lake"
    _without_hooks(lake)
    path = next((lake / "v1" / "processes").rglob("*.parquet"))
    frame = pl.read_parquet(path, hive_partitioning=False)
    other = frame.filter(pl.col("uid") == 1000).with_columns(pl.lit(2000, pl.Int64).alias("uid"))
    pl.concat([frame, other.cast(frame.schema)]).write_parquet(path)
    before = _tables(lake)

    assert "of 1 runs neither hook said whose they were" in _forget(site, "--apply")

    after = _tables(lake)
    assert 1000 not in after["processes"]["uid"].to_list()
    assert 2000 in after["processes"]["uid"].to_list()
    assert all(after[table].equals(before[table]) for table in set(before) - {"processes", "flows"})


def test_the_nights_document_has_the_same_sums_and_no_word_of_him(site: Path) -> None:
    (path,) = (site.parent / "reports").glob("*/audit.json")
    before = from_json(path.read_text())
    _forget(site, "--apply")
    text = path.read_text()
    after = from_json(text)

    assert (after.sums, after.trend) == (before.sums, before.trend)
    assert [(j.verdict, j.ledger_gpu_ms, j.unexplained) for j in after.judgements] == [
        (j.verdict, j.ledger_gpu_ms, j.unexplained) for j in before.judgements
    ]
    assert '"ann"' not in text
    assert "/home/ann" not in text.replace(json.dumps(before.settings), "")
    assert not (path.parent / "report.html").exists()
    assert '"ann"' not in (path.parent / "history.json").read_text()
    shown = CliRunner().invoke(
        cli.app, ["report", "--config", str(site), "--format", "html"], catch_exceptions=False
    )
    assert shown.exit_code == 0
    assert NOBODY in shown.stdout


def test_letters_views_and_own_documents_go(site: Path) -> None:
    _forget(site, "--apply")
    reports = site.parent / "reports"

    left = sorted(p.relative_to(reports / "outbox").as_posix() for p in (reports / "outbox").rglob("*.eml"))
    assert left == ["old/other.eml", "young/mine.eml", "young/other.eml"]
    assert not (reports / "outbox" / "old" / "mine.json").exists()
    views = [json.loads(line) for line in (reports / "views.jsonl").read_text().splitlines()]
    assert views[0]["users"] == [NOBODY, "bob"]
    assert views[0]["narrowed"] == f"user {NOBODY}"
    assert (views[1]["by"], views[1]["uid"], views[1]["login_uid"], views[1]["users"]) == (
        NOBODY, None, None, ["bob"],
    )  # fmt: skip
    assert not (site.parent / "own" / "1000").exists()


def test_twice_is_as_once_and_the_night_can_be_audited_again(site: Path, tmp_path: Path) -> None:
    _forget(site, "--apply")
    once = _content(site.parent)
    said = _forget(site, "--apply")

    assert _content(site.parent) == once
    assert "lake: 0 runs on nodes; nothing" in said
    audit(
        SINCE,
        UNTIL,
        _sacct(tmp_path),
        tmp_path / "lake",
        tmp_path / "again.json",
        config=site,
        remember=False,
    )
    assert len(from_json((tmp_path / "again.json").read_text()).judgements) == 1


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_done(site: Path) -> None:
    bad = site.parent / "lake" / "v1" / "flows" / "date=2026-05-28" / "bad.parquet"
    bad.write_bytes(b"no parquet")

    argv = ["forget", "--user", "1000", "--name", "ann", "--config", str(site), "--apply"]
    done = CliRunner().invoke(cli.app, argv, catch_exceptions=False)

    assert done.exit_code == 1
    assert "bad.parquet" in done.stderr
    assert bad.read_bytes() == b"no parquet"
    assert not (site.parent / "own" / "1000").exists()


@pytest.mark.parametrize(("user", "slug"), [("nobody-of-that-name", "user-unknown"), ("0", "user-system")])
def test_who_is_nobody_is_said(site: Path, user: str, slug: str) -> None:
    with pytest.raises(GuardError) as caught:
        CliRunner().invoke(cli.app, ["forget", "--user", user, "--config", str(site)], catch_exceptions=False)

    assert caught.value.slug == slug


def test_another_runs_sentences_name_him_no_more_and_words_of_the_program_stay() -> None:
    whole = night()
    someone = next(j.run for j in whole.judgements if j.findings)
    done = redact_audit(whole, Who(someone.uid or -1, someone.user))

    assert all(j.run.user != someone.user for j in done.judgements)
    assert [j.verdict for j in done.judgements] == [j.verdict for j in whole.judgements]
    assert redact_audit(whole, Who(987_654, "progress")).judgements[0].ledger_gpu_ms == (
        whole.judgements[0].ledger_gpu_ms
    )
    assert redact_audit(whole, Who(987_654, "")) is whole


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("place", ["lake", "lake/history", "reports"])
def test_root_rewrites_nothing_that_is_another_users(site: Path, place: str) -> None:
    os.chown(site.parent / place, 65534, 65534)
    before = _content(site.parent)

    with pytest.raises(GuardError) as caught:
        _forget(site, "--apply")

    assert (caught.value.slug, caught.value.exit_code) == ("as-root", EXIT_USAGE)
    assert f"{site.parent / place} belongs to" in caught.value.sentence
    assert "slurm-guard forget " in caught.value.hint
    assert _content(site.parent) == before
    assert "nothing was changed" in _forget(site)  # a dry run is anybody's who may read
