"""`slurm-guard lake` as it is typed: what comes out, for whom, and what is logged."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from slurm_guard import wire
from slurm_guard.cli import lake as command
from slurm_guard.cli.laketext import Page, render
from slurm_guard.errors import EXIT_FAILURE, EXIT_USAGE, GuardError
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.show import Asked, Shown
from slurm_guard.report.safe import display_width
from slurm_guard.report.words import load_zone
from tests.spools import AT, RUN, make, put, segment, single
from tests.unit.report import hostile


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A configuration, a lake with job 42, and a reports' folder."""
    spool = tmp_path / "spool"
    told = make(wire.Ticket, run=RUN, at=AT, user="mvance", uid=2001, comment="\x1b[31m=cmd()")
    put(spool, "tickets", f"{wire.stem(RUN)}.json", single(told))
    windows = [make(wire.Window, start_at=AT + 60 * k, end_at=AT + 60 * k + 60, power_mw=k) for k in range(3)]
    put(spool, "sealed", *segment(windows))
    assert collect([spool], tmp_path / "lake").refused == ()
    (tmp_path / "reports").mkdir()
    text = f'[lake]\npath = "{tmp_path}/lake"\n[report]\npath = "{tmp_path}/reports"\n'
    (tmp_path / "guard.toml").write_text(text)
    return tmp_path


def _run(home: Path, *args: object, **env: str) -> tuple[int, str, str]:
    app = typer.Typer()
    command.add(app)
    app.callback()(lambda: None)
    words = ["lake", *map(str, args), "--config", str(home / "guard.toml")]
    result = CliRunner().invoke(app, words, env=env)
    if isinstance(result.exception, GuardError):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def _views(home: Path) -> list[dict[str, Any]]:
    path = home / "reports" / "views.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_rows_are_a_table_with_times_of_the_sites_zone(home: Path) -> None:
    code, shown, _ = _run(home, "show", "windows", "--job", 42, "--columns", "start_at,power_mw")

    assert code == 0
    assert shown.splitlines() == [
        "windows of job 42: 3 rows; times in UTC",
        "start_at             power_mw",
        "2026-05-28 20:26:40         0",
        "2026-05-28 20:27:40         1",
        "2026-05-28 20:28:40         2",
    ]


def test_how_many_more_there_are_is_said(home: Path) -> None:
    _, shown, _ = _run(home, "show", "windows", "--limit", 1)
    code, table, said = _run(home, "show", "windows", "--limit", 1, "--format", "csv")

    assert shown.splitlines()[-1] == "1 of 3 rows; 2 more with a larger --limit"
    assert (code, len(table.splitlines())) == (0, 2)
    assert said == "slurm-guard: 1 of 3 rows; 2 more with a larger --limit\n"


@pytest.mark.parametrize("columns", ["40", "30", "200"])
def test_no_line_is_wider_than_the_terminal(home: Path, columns: str) -> None:
    for args in (("show", "windows"), ("show", "tickets", "--columns", "all"), ("tables",)):
        _, shown, _ = _run(home, *args, COLUMNS=columns)

        assert max(map(display_width, shown.splitlines())) <= int(columns)


def test_data_are_raw_and_whole(home: Path) -> None:
    _, text, _ = _run(home, "show", "windows", "--format", "json", "--limit", 1)
    _, table, _ = _run(home, "show", "tickets", "--format", "csv")

    found = json.loads(text)
    assert (found["kind"], found["format"], found["table"]) == ("slurm-guard lake rows", 1, "windows")
    assert (found["n_rows"], found["n_shown"]) == (3, 1)
    assert found["rows"][0]["start_at"] == AT
    assert found["rows"][0]["energy_mj"] is None
    (row,) = csv.DictReader(io.StringIO(table))
    assert (row["at"], row["uid"], row["gpus"]) == (str(AT), "2001", "")
    assert row["comment"] == "\\x1b[31m=cmd()"


def test_a_runs_id_of_a_report_is_told_from_a_key(home: Path) -> None:
    with pytest.raises(GuardError, match="run-key") as caught:
        _run(home, "show", "windows", "--run", "alpha/42/1780000000")

    assert caught.value.hint.endswith("--job 42 --from 1780000000")
    assert "3 rows" in _run(home, "show", "windows", "--run", RUN)[1]


def test_nothing_found_is_one_honest_line(home: Path) -> None:
    assert _run(home, "show", "windows", "--job", 4)[:2] == (0, "no row of windows of job 4\n")


def test_a_night_is_a_day_of_the_sites_zone(home: Path) -> None:
    with (home / "guard.toml").open("a") as config:
        config.write('timezone = "Pacific/Auckland"\n')

    said = _run(home, "show", "windows", "--night", "2026-05-29")[1]
    assert "3 rows; times in NZST" in " ".join(said.split())  # lines are as wide as the terminal
    assert "no row" in _run(home, "show", "windows", "--night", "2026-05-28")[1]


@pytest.mark.parametrize(
    ("args", "slug"),
    [
        (("show", "window"), "table-unknown"),
        (("tables", "window"), "table-unknown"),
        (("show", "windows", "--columns", "gpux"), "column-unknown"),
        (("show", "windows", "--columns", ","), "narrow-empty"),
        (("show", "windows", "--where", "pid"), "where-syntax"),
        (("show", "windows", "--where", "n=many"), "where-value"),
        (("show", "windows", "--run", "alpha/42/1780000000"), "run-key"),
        (("show", "windows", "--run", "42"), "run-key"),
        (("show", "windows", "--night", "2026-05-28", "--from", "1"), "night-or-time"),
        (("show", "windows", "--night", "May"), "night-syntax"),
        (("show", "windows", "--from", "soon"), "time-syntax"),
        (("show", "windows", "--from", "2", "--to", "1"), "time-order"),
        (("show", "windows", "--lake", "/nowhere"), "lake-missing"),
    ],
)
def test_what_cannot_be_asked_is_said(home: Path, args: tuple[str, ...], slug: str) -> None:
    with pytest.raises(GuardError, match=slug) as caught:
        _run(home, *args)

    assert caught.value.exit_code == EXIT_USAGE
    assert caught.value.hint
    assert _views(home) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter everything")
@pytest.mark.parametrize("closed", ["", "v1", "v1/windows"])
def test_whom_the_lake_is_not_open_to_is_told_where_his_own_runs_are(home: Path, closed: str) -> None:
    folder = home / "lake" / closed
    folder.chmod(0)
    try:
        with pytest.raises(GuardError, match="lake-closed") as caught:
            _run(home, "show", "windows")
    finally:
        folder.chmod(0o700)

    assert "slurm-guard report --job" in caught.value.hint


def test_a_closed_lake_is_told_from_a_missing_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    shut = str(home / "lake")
    monkeypatch.setattr(
        "os.access", lambda path, mode: real(path, mode) and (str(path) != shut or mode == os.F_OK)
    )

    with pytest.raises(GuardError, match=r"lake-closed: the lake .* is not open to you"):
        _run(home, "show", "windows")


def test_who_looked_at_whose_runs_is_logged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "r.okoye")
    _run(home, "show", "windows", "--job", 42, "--limit", 1)
    _run(home, "tables")

    (view,) = _views(home)
    assert (view["command"], view["narrowed"], view["as"]) == ("lake show windows", "job 42", "text")
    assert (view["n_runs"], view["users"]) == (1, ["mvance"])


def test_another_lake_than_the_sites_is_nobodys_business(home: Path) -> None:
    (home / "lake").rename(home / "copy")

    code, shown, _ = _run(home, "show", "windows", "--lake", home / "copy")

    assert (code, "3 rows" in shown, _views(home)) == (0, True, [])


def test_a_bad_file_is_named_and_the_command_fails(home: Path) -> None:
    (next((home / "lake" / "v1" / "windows").iterdir()) / "0.parquet").write_bytes(b"none")

    code, shown, said = _run(home, "show", "windows")

    assert (code, "3 rows" in shown) == (EXIT_FAILURE, True)
    assert "0.parquet was passed over: " in said


def test_tables_and_their_columns_are_listed(home: Path) -> None:
    _, shown, _ = _run(home, "tables")
    _, columns, _ = _run(home, "tables", "tickets")

    assert "windows    2026-05-28  " in shown
    assert "held       nothing  " in shown
    assert "  gpus                 list of whole numbers\n" in columns


@pytest.mark.parametrize("nasty", hostile.STRINGS, ids=lambda s: ascii(s[:24]))
@pytest.mark.parametrize("width", ["60", "5000"])
def test_what_a_job_wrote_comes_out_harmless(nasty: str, width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    text = nasty.encode("utf-8", "replace").decode()  # the lake has no lone surrogates
    shown = Shown(("at", "comment", "gpus"), [(1.0e300, text, [text, None])], 2)
    page = Page(Asked("tickets", run=nasty, where=(("comment", nasty),)), shown, load_zone("UTC"))

    made = {form: render(page, form).decode() for form in ("text", "csv", "json")}

    for form, output in made.items():
        assert [c for c in hostile.RAW if c in output] == [], form
    assert all(line.isprintable() for line in made["text"].split("\n"))
    (row,) = csv.DictReader(io.StringIO(made["csv"]))
    assert not row["comment"].lstrip().startswith(("=", "+", "-", "@"))
    assert json.loads(made["json"])["rows"][0]["comment"] == text
