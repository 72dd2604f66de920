"""`slurm-guard report` of several nights, of a part, and what is logged of it."""

import csv
import io
import json
import os
import re
import stat
import sys
from datetime import date
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from slurm_guard import document
from slurm_guard.cli import nights, rendered, report
from slurm_guard.clock import SystemClock
from slurm_guard.errors import EXIT_FAILURE, EXIT_FINDINGS, EXIT_NOTHING_TO_AUDIT, EXIT_USAGE, GuardError
from slurm_guard.model import Verdict
from slurm_guard.report.nights import parse_since
from tests.unit.report import builders

TODAY = date(2026, 9, 24)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command on a day after the nights."""
    monkeypatch.setattr(nights, "_today", lambda _: TODAY)
    app = typer.Typer()
    report.add(app)
    app.command("other")(lambda: None)  # with one command alone typer takes no command's name
    return app


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three nights, one of them empty, and one day without."""
    folder = tmp_path / "reports"
    for day, night in (
        ("2026-09-20", builders.night()),
        ("2026-09-21", builders.empty_night()),
        ("2026-09-23", builders.night()),
    ):
        (folder / day).mkdir(parents=True)
        (folder / day / "audit.json").write_text(document.to_json(night))
    config = tmp_path / "guard.toml"
    config.write_text(f'[report]\npath = "{folder}"\n')
    return config


def _run(
    app: typer.Typer, archive: Path, *args: object, env: dict[str, str] | None = None
) -> tuple[int, str, str]:
    words = ["report", "--config", str(archive), *map(str, args)]
    result = CliRunner().invoke(app, words, env=env or {"COLUMNS": "112"})
    if isinstance(result.exception, GuardError):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def _views(archive: Path) -> list[dict[str, object]]:
    path = archive.parent / "reports" / "views.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_part_says_above_everything_that_it_is_one(app: typer.Typer, archive: Path) -> None:
    code, shown, noted = _run(app, archive, "--account", "nlp-7", "--user", "mvance,nobody")

    assert code == 0
    said = "Account nlp-7, user mvance or nobody alone: 1 of the 13 runs of this night. All sums are its own."
    assert shown.splitlines()[2] == said
    assert "Where 64.0 GPU-h went" in shown
    assert "48500" not in shown
    assert "no run of nobody stands here" in noted


@pytest.mark.parametrize("form", ["html", "json", "csv", "eml"])
def test_every_format_holds_the_part_alone(app: typer.Typer, archive: Path, form: str) -> None:
    _, shown, _ = _run(app, archive, "--verdict", "review", "--format", form)

    assert "48207" in shown
    assert "48112" not in shown
    if form in ("html", "eml"):
        assert "Verdict review alone: 1 of the 13" in shown.replace("=\n", "")


def test_several_nights_are_one_table_with_sums(app: typer.Typer, archive: Path) -> None:
    code, shown, _ = _run(app, archive, "--since", "1w")

    assert code == 0
    assert "3 nights, 2026-09-20 to 2026-09-23." in shown
    assert "No document of 2026-09-22." in shown
    assert "26 runs: 2 alerts, 2 to review, 16 clear, 2 not auditable, 2 explained, 2 parked." in shown
    (whole,) = [line for line in shown.splitlines() if line.startswith("all nights")]
    assert whole.split()[2] == "26"
    assert "…" not in whole
    judged = [j.unexplained for j in builders.night().judgements if j.verdict is not Verdict.NOT_AUDITABLE]
    bounds = [
        2 * sum(part) / 3.6e6 for part in zip(*((b.lo_gpu_ms, b.hi_gpu_ms) for b in judged), strict=True)
    ]
    assert whole.split()[4] == f"{bounds[0]:.1f}–{bounds[1]:.1f}"
    narrow = _run(app, archive, "--since", "1w", env={"COLUMNS": "60"})[1].splitlines()
    (whole,) = [line for line in narrow if line.startswith("all nights")]
    assert whole.split()[4] == f"{bounds[0]:.1f}–{bounds[1]:.1f}"
    assert "Not in 60 columns: not aud., explained, parked; --format csv" in narrow
    assert shown.count("48112 llama-ft") == 2
    assert shown.index("2026-09-23 ALERT") < shown.index("2026-09-20 ALERT") < shown.index("REVIEW")


def test_several_nights_are_one_page_with_sums_trend_and_runs(
    app: typer.Typer, archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "nights.html"

    code, shown, _ = _run(app, archive, "--since", "1w", "--format", "html", "-o", out)

    page = out.read_text()
    text = " ".join(re.sub(r"<[^>]*>", " ", page.partition("</style>")[2]).split())
    assert (code, shown) == (0, "")
    assert "3 nights, 2026-09-20 to 2026-09-23." in text
    assert "No document of 2026-09-22." in text
    assert "26 runs: 2 alerts, 2 to review, 16 clear, 2 not auditable, 2 explained, 2 parked." in text
    table = _run(app, archive, "--since", "1w")[1]
    for line in table[table.index("Where ") : table.index("Runs; ")].splitlines()[1:-1]:
        account, amount, *_ = line.split()
        assert amount == "0" or f"{account} {amount} " in text
    assert text.count("48112 llama-ft") == 2
    assert "slurm-guard report --night 2026-09-23 --format html -o 2026-09-23.html" in text
    assert page.count("<svg") > 3
    assert "<script" not in page
    assert "href" not in page.replace('href="#top"', "").replace('href="#', "")


def test_a_page_of_a_part_says_so_and_of_one_night_has_no_trend(app: typer.Typer, archive: Path) -> None:
    _, page, _ = _run(app, archive, "--since", "2026-09-23", "--verdict", "alert", "--format", "html")

    assert "1 night, 2026-09-23 to 2026-09-23; verdict alert alone: 1 of the 13 runs." in page
    assert "Allocated, GPU-h a night" not in page
    assert "48500" not in page


def test_sums_of_several_nights_are_those_of_what_was_asked_for(app: typer.Typer, archive: Path) -> None:
    _, shown, _ = _run(app, archive, "--since", "2026-09-20", "--verdict", "alert", "--format", "json")

    data = json.loads(shown)
    kept = [j for night in data["nights"] for j in night["audit"]["judgements"]]
    assert [night["night"] for night in data["nights"]] == ["2026-09-20", "2026-09-21", "2026-09-23"]
    assert len(kept) == data["n_runs"] == 2
    assert sum(data["ledger_gpu_ms"].values()) == sum(sum(j["ledger_gpu_ms"].values()) for j in kept)
    assert data["narrowed"] == "verdict alert"


def test_the_csv_of_several_nights_names_the_night_of_each_run(app: typer.Typer, archive: Path) -> None:
    _, shown, _ = _run(app, archive, "--since", "3d", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(shown)))
    assert {row["night"] for row in rows} == {"2026-09-23"}
    assert len(rows) == 13


def test_a_damaged_night_is_named_and_passed_over(app: typer.Typer, archive: Path, tmp_path: Path) -> None:
    (archive.parent / "reports" / "2026-09-20" / "audit.json").write_text('{"kind": "slurm-guard audit"')
    newer = json.loads(document.to_json(builders.night())) | {"format": 99}
    (archive.parent / "reports" / "2026-09-21" / "audit.json").write_text(json.dumps(newer))
    out = tmp_path / "table"

    code, shown, said = _run(app, archive, "--since", "1w", "-o", out)

    assert (code, shown) == (EXIT_FAILURE, "")
    assert "2026-09-20 was passed over: document-syntax" in out.read_text().replace("\n", " ")
    assert "2026-09-21 was passed over: document-newer" in said
    assert "13 runs: 1 alert" in out.read_text()


def test_findings_of_any_night_change_the_exit_code_when_asked(app: typer.Typer, archive: Path) -> None:
    assert _run(app, archive, "--since", "1w", "--exit-code")[0] == EXIT_FINDINGS
    assert _run(app, archive, "--since", "1w", "--verdict", "clear", "--exit-code")[0] == 0


def test_empty_nights_are_one_honest_line(app: typer.Typer, archive: Path) -> None:
    for day in ("2026-09-20", "2026-09-23"):
        path = archive.parent / "reports" / day / "audit.json"
        path.write_text(document.to_json(builders.empty_night()))

    code, shown, _ = _run(app, archive, "--since", "1w")

    assert code == 0
    assert shown.splitlines()[-1] == "No run held a GPU in these nights, so there is nothing to judge."


@pytest.mark.parametrize(
    ("args", "slug", "code"),
    [
        (("--since", "soon"), "since-syntax", EXIT_USAGE),
        (("--since", "9999w"), "since-range", EXIT_USAGE),
        (("--since", "2026-09-25"), "since-range", EXIT_USAGE),
        (("--since", "1d", "--night", "2026-09-20"), "since-alone", EXIT_USAGE),
        (("--since", "1d", "--format", "eml"), "since-format", EXIT_USAGE),
        (("--since", "2026-09-24"), "document-missing", EXIT_NOTHING_TO_AUDIT),
        (("--since", "1w", "--user", "mvanse"), "narrow-nothing", EXIT_NOTHING_TO_AUDIT),
        (("--user", "mvanse"), "narrow-nothing", EXIT_NOTHING_TO_AUDIT),
        (("--account", "nlq"), "narrow-nothing", EXIT_NOTHING_TO_AUDIT),
        (("--job", "1"), "job-unknown", EXIT_NOTHING_TO_AUDIT),
        (("--since", "1w", "--job", "1"), "narrow-nothing", EXIT_NOTHING_TO_AUDIT),
        (("--verdict", "guilty"), "verdict-unknown", EXIT_USAGE),
    ],
)
def test_what_cannot_be_shown_is_said(
    app: typer.Typer, archive: Path, args: tuple[str, ...], slug: str, code: int
) -> None:
    with pytest.raises(GuardError, match=slug) as caught:
        _run(app, archive, *args)

    assert caught.value.exit_code == code
    assert caught.value.hint


def test_a_beginning_is_a_date_or_so_many_days_or_weeks() -> None:
    assert parse_since("3d", TODAY) == date(2026, 9, 21)
    assert parse_since("2w", TODAY) == date(2026, 9, 10)
    assert parse_since("2026-02-28", TODAY) == date(2026, 2, 28)


def test_one_run_in_full_has_small_bars_and_plain_ones_where_a_terminal_has_no_blocks(
    app: typer.Typer, archive: Path
) -> None:
    _, shown, _ = _run(app, archive, "--job", "48112")
    plain = CliRunner(charset="ascii").invoke(app, ["report", "--config", str(archive), "--job", "48112"])

    (work,) = [line for line in shown.splitlines() if line.startswith("GPU work  ")]
    assert "█" in work
    assert work.endswith("█ 7.76 GPUs")
    assert plain.exit_code == 0, plain.exception
    (work,) = [line for line in plain.stdout.splitlines() if line.startswith("GPU work  ")]
    assert "#" in work
    assert plain.stdout.isascii()
    assert "?" not in plain.stdout


def test_a_view_is_logged_with_who_and_whose(
    app: typer.Typer, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "r.okoye")
    umask = os.umask(0)
    try:
        _run(app, archive, "--user", "mvance", "--format", "json")
        _run(app, archive, "--since", "1w", "--verdict", "alert")
    finally:
        os.umask(umask)

    one, several = _views(archive)
    assert (one["nights"], one["narrowed"], one["as"], one["users"]) == (
        "2026-09-23", "user mvance", "json", ["mvance"],
    )  # fmt: skip
    assert (several["nights"], several["n_runs"]) == ("2026-09-17 to 2026-09-24", 2)
    if os.getuid() == 0:
        assert one["by"] == "r.okoye"
    path = archive.parent / "reports" / "views.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_was_not_shown_is_not_logged_and_lines_are_only_added(app: typer.Typer, archive: Path) -> None:
    with pytest.raises(GuardError):
        _run(app, archive, "--job", "1")
    assert not (archive.parent / "reports" / "views.jsonl").exists()
    _run(app, archive)
    first = (archive.parent / "reports" / "views.jsonl").read_bytes()

    _run(app, archive)

    assert (archive.parent / "reports" / "views.jsonl").read_bytes().startswith(first)
    assert len(_views(archive)) == 2


def test_a_log_that_cannot_be_written_is_said_and_stops_nothing(
    app: typer.Typer, archive: Path, tmp_path: Path
) -> None:
    log = archive.parent / "reports" / "views.jsonl"
    target = tmp_path / "elsewhere"
    target.write_text("as it was")
    for kind in ("link", "folder", "pipe"):
        if kind == "link":
            log.symlink_to(target)
        elif kind == "folder":
            log.mkdir()
        else:
            os.mkfifo(log)
        code, shown, said = _run(app, archive)
        assert code == 0
        assert "GPU-hours of" in shown
        assert "this view could not be logged" in said
        log.rmdir() if log.is_dir() and not log.is_symlink() else log.unlink()
    assert target.read_text() == "as it was"


def test_a_document_from_elsewhere_is_no_view_of_the_archive(
    app: typer.Typer, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.json"
    path.write_text(document.to_json(builders.night()))

    _run(app, archive, "--audit", path)
    assert not (archive.parent / "reports" / "views.jsonl").exists()

    monkeypatch.chdir(archive.parent / "reports" / "2026-09-20")
    _run(app, archive, "--audit", "audit.json")
    (view,) = _views(archive)
    assert view["nights"] == "2026-09-20"


def test_a_closed_output_is_said(app: typer.Typer, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    with pytest.raises(GuardError, match="output-unwritable"):
        rendered.put_out(b"", None)
    assert rendered.style_of(True).color is False
    assert rendered.encoding_of(True) == "utf-8"


@pytest.mark.parametrize("form", ["text", "html", "json", "csv", "eml"])
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o640), (0, 0o640), (0o077, 0o600)])
def test_a_file_of_named_people_is_closed_to_others(
    app: typer.Typer, archive: Path, tmp_path: Path, form: str, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        _run(app, archive, "--format", form, "-o", tmp_path / "out")
        if form != "eml":
            _run(app, archive, "--since", "1w", "--format", form, "-o", tmp_path / "several")
    finally:
        os.umask(before)

    written = [path for name in ("out", "several") if (path := tmp_path / name).exists()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in written] == [mode] * (1 if form == "eml" else 2)


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_a_file_that_was_there_keeps_its_mode(
    app: typer.Typer, archive: Path, tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "page.html"
    path.write_text("yesterday's")
    path.chmod(mode)

    _run(app, archive, "--format", "html", "-o", path)

    assert path.read_text().startswith("<!doctype html>")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_the_mode_of_somebody_elses_file_is_not_kept(app: typer.Typer, archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.touch()
    path.chmod(0o666)
    os.chown(path, 12_345, 12_346)

    _run(app, archive, "--format", "html", "-o", path)

    about = path.stat()
    assert (about.st_uid, stat.S_IMODE(about.st_mode)) == (0, 0o640)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_roots_first_view_leaves_the_log_to_the_owner_of_the_reports(app: typer.Typer, archive: Path) -> None:
    os.chown(archive.parent / "reports", 12_345, 12_346)

    _run(app, archive)

    about = (archive.parent / "reports" / "views.jsonl").stat()
    assert (about.st_uid, about.st_gid) == (12_345, 12_346)


@pytest.mark.parametrize(("hours", "late"), [(35, False), (37, True)])
def test_a_latest_night_that_is_not_last_night_is_said(
    app: typer.Typer, archive: Path, monkeypatch: pytest.MonkeyPatch, hours: int, late: bool
) -> None:
    monkeypatch.setattr(SystemClock, "now_at", lambda _: builders.night().until_at + hours * 3600)

    _, _, latest = _run(app, archive)
    _, _, named = _run(app, archive, "--night", "2026-09-20")

    assert ("the latest document's night ended 1.5 days ago" in latest) == late
    assert named == ""
