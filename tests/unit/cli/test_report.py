"""`slurm-guard report` and `slurm-guard mail` as they are typed."""

import json
import os
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from slurm_guard import document
from slurm_guard.cli import mail, report
from slurm_guard.errors import GuardError
from tests.unit.report import builders


@pytest.fixture
def app() -> typer.Typer:
    """The two commands alone."""
    app = typer.Typer()
    report.add(app)
    mail.add(app)
    return app


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A report folder with two nights and a configuration that names it."""
    folder = tmp_path / "reports"
    for day, night in (("2026-09-21", builders.empty_night()), ("2026-09-22", builders.night())):
        (folder / day).mkdir(parents=True)
        (folder / day / "audit.json").write_text(document.to_json(night))
    config = tmp_path / "guard.toml"
    config.write_text(
        f'[report]\npath = "{folder}"\nsite = "Aurora"\ntimezone = "UTC"\n[mail]\nto = ["ops@example.org"]\n'
    )
    return config


def _run(app: typer.Typer, *args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if isinstance(result.exception, GuardError):
        raise result.exception
    return result.exit_code, result.stdout


def test_without_options_the_latest_night_is_shown_as_text(app: typer.Typer, archive: Path) -> None:
    code, shown = _run(app, "report", "--config", archive)

    assert code == 0
    assert "GPU-hours of Aurora, 2026-09-22" in shown
    assert "\x1b" not in shown


def test_a_night_is_named_by_its_date(app: typer.Typer, archive: Path) -> None:
    _, shown = _run(app, "report", "--config", archive, "--night", "2026-09-21")

    assert "nothing to judge" in shown


@pytest.mark.parametrize("form", ["html", "text", "json", "csv", "eml"])
def test_every_format_goes_to_a_file_whole(
    app: typer.Typer, archive: Path, tmp_path: Path, form: str
) -> None:
    out = tmp_path / f"out.{form}"

    code, shown = _run(app, "report", "--config", archive, "--format", form, "-o", out)

    assert (code, shown) == (0, "")
    assert b"48112" in out.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_json_is_the_document_itself(app: typer.Typer, archive: Path) -> None:
    _, shown = _run(app, "report", "--config", archive, "--format", "json")

    assert shown == (archive.parent / "reports" / "2026-09-22" / "audit.json").read_text()


def test_one_job_is_shown_in_full_and_said_to_be_a_part(app: typer.Typer, archive: Path) -> None:
    _, shown = _run(app, "report", "--config", archive, "--job", "48500")

    assert "Job 48500 alone: 1 of the 13 runs" in shown
    assert "What could not be seen" in shown


def test_findings_change_the_exit_code_only_when_asked(app: typer.Typer, archive: Path) -> None:
    assert _run(app, "report", "--config", archive)[0] == 0
    assert _run(app, "report", "--config", archive, "--exit-code")[0] == 10
    assert _run(app, "report", "--config", archive, "--exit-code", "--night", "2026-09-21")[0] == 0


def test_a_newer_document_is_refused_with_a_sentence(app: typer.Typer, tmp_path: Path) -> None:
    data = json.loads(document.to_json(builders.night()))
    path = tmp_path / "audit.json"
    path.write_text(json.dumps({**data, "format": 99}))

    with pytest.raises(GuardError, match="document-newer") as caught:
        _run(app, "report", "--audit", path)

    assert "99" in caught.value.sentence


def test_what_is_missing_or_no_text_is_said(app: typer.Typer, archive: Path, tmp_path: Path) -> None:
    broken = tmp_path / "audit.json"
    broken.write_bytes(b"\xff\xfe\x00")

    for args, slug in (
        (("--audit", tmp_path / "none.json"), "document-missing"),
        (("--audit", broken), "document-unreadable"),
        (("--audit", tmp_path / "none.json", "--night", "2026-09-22"), "audit-or-night"),
        (("--audit", archive), "document-syntax"),
        (("--config", tmp_path), "config-unreadable"),
        (("--config", archive, "--night", "2026-01-01"), "document-missing"),
        (("--config", archive, "--night", "../../etc"), "night-syntax"),
        (("--config", archive, "--job", "7"), "job-unknown"),
        (("--config", archive, "-o", tmp_path / "no" / "such" / "folder"), "output-unwritable"),
    ):
        with pytest.raises(GuardError, match=slug):
            _run(app, "report", *args)


def test_what_is_no_document_is_named(app: typer.Typer, archive: Path) -> None:
    with pytest.raises(GuardError, match="document-syntax") as caught:
        _run(app, "report", "--audit", archive)

    assert str(archive) in caught.value.sentence


def test_output_goes_into_a_fifo_or_through_a_link_and_replaces_neither(
    app: typer.Typer, archive: Path, tmp_path: Path
) -> None:
    fifo, link, real = tmp_path / "fifo", tmp_path / "link", tmp_path / "real"
    os.mkfifo(fifo)
    link.symlink_to(real)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    for out in (fifo, link):
        _run(app, "report", "--config", archive, "--night", "2026-09-21", "-o", out)

    assert fifo.is_fifo()
    assert link.is_symlink()
    assert os.read(reader, 1 << 16) == real.read_bytes()
    os.close(reader)


def test_columns_of_the_environment_bound_the_text(
    app: typer.Typer, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")

    _, shown = _run(app, "report", "--config", archive)

    assert max(map(len, shown.splitlines())) <= 60


def test_mail_is_a_dry_run_unless_told(app: typer.Typer, archive: Path) -> None:
    code, shown = _run(app, "mail", "--config", archive)

    (letter,) = (archive.parent / "reports" / "outbox").rglob("*.eml")
    assert code == 0
    assert str(letter) in shown
    assert "ops@example.org: GPU-hours of Aurora, 2026-09-22: 1 alert, 1 to review, 1 explained, 13" in shown
    assert "dry run" in shown
    assert not list(letter.parent.glob("*.json"))


def test_the_outbox_is_never_taken_for_a_night(app: typer.Typer, archive: Path) -> None:
    _run(app, "mail", "--config", archive)

    _, shown = _run(app, "report", "--config", archive)

    assert "2026-09-22" in shown


def test_mail_without_a_reader_or_to_no_address_is_refused(app: typer.Typer, archive: Path) -> None:
    document_path = archive.parent / "reports" / "2026-09-22" / "audit.json"

    with pytest.raises(GuardError, match="mail-nobody"):
        _run(app, "mail", "--audit", document_path)
    for address in ("nobody", "a@b\r\nBcc: c@d", "a@b, c@d", "ü@example.org", "", "@", "a b@c"):
        with pytest.raises(GuardError, match="mail-address"):
            _run(app, "mail", "--config", archive, "--to", address)


def test_no_server_is_a_failure_with_a_sentence(app: typer.Typer, archive: Path) -> None:
    archive.write_text(archive.read_text() + 'host = "127.0.0.1"\nport = 1\ntimeout_s = 2.0\n')

    with pytest.raises(GuardError, match="mail-server") as caught:
        _run(app, "mail", "--config", archive, "--send")

    assert "1 of 1" in caught.value.sentence
