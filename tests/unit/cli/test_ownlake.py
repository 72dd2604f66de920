"""Root leaves nothing in reports, history or outbox of the user that audits: he could not replace it."""

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slurm_guard.cli import app as cli
from slurm_guard.errors import EXIT_USAGE, GuardError
from tests.shapes import SHAPES
from tests.unit.cli.test_audit import SINCE, UNTIL, _lake, _sacct
from tests.unit.cli.test_mail import _site

NOBODY = 65534
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away"),
]
cli._register()


def _run(*words: object) -> int:
    return CliRunner().invoke(cli.app, list(map(str, words)), catch_exceptions=False).exit_code


def _refused(command: str, *words: object) -> None:
    with pytest.raises(GuardError) as caught:
        _run(command, *words)
    name = pwd.getpwuid(NOBODY).pw_name
    assert (caught.value.slug, caught.value.exit_code) == ("as-root", EXIT_USAGE)
    assert f"belongs to {name}" in caught.value.sentence
    assert caught.value.hint.startswith(f"runuser -u {name} -- slurm-guard {command} ")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.fixture
def night(tmp_path: Path) -> Callable[..., tuple[object, ...]]:
    """Words of an audit whose lake is root's, with reports at the path."""
    lake, sacct = _lake(tmp_path, SHAPES["honest"]), _sacct(tmp_path)

    def words(reports: Path, *more: object) -> tuple[object, ...]:
        config = tmp_path / "guard.toml"
        config.write_text(f'[report]\npath = "{reports}"\n')
        times = ("--since", SINCE, "--until", UNTIL)
        return ("--config", config, "--lake", lake, "--sacct-file", sacct, *times, *more)

    return words


def test_root_does_not_audit_into_reports_of_another_user(
    tmp_path: Path, night: Callable[..., tuple[object, ...]]
) -> None:
    (tmp_path / "reports").mkdir()
    os.chown(tmp_path / "reports", NOBODY, NOBODY)

    _refused("audit", *night(tmp_path / "reports"))
    _refused("audit", *night(tmp_path / "reports/2026/not-there"))

    assert _files(tmp_path / "reports") == []


def test_nor_does_it_leave_what_was_learnt_in_a_history_of_another_user(
    tmp_path: Path, night: Callable[..., tuple[object, ...]]
) -> None:
    (tmp_path / "history").mkdir()
    os.chown(tmp_path / "history", NOBODY, NOBODY)
    history = ("--history", tmp_path / "history")

    _refused("audit", *night(tmp_path / "reports", *history))
    _refused("audit", *night(tmp_path / "reports", *history, "-o", tmp_path / "a.json", "--remember"))

    assert _files(tmp_path / "history") == []
    assert not (tmp_path / "reports").exists()


def test_a_trial_of_roots_own_is_nobodys_loss(
    tmp_path: Path, night: Callable[..., tuple[object, ...]]
) -> None:
    (tmp_path / "reports").mkdir()
    os.chown(tmp_path / "reports", NOBODY, NOBODY)

    assert _run("audit", *night(tmp_path / "reports", "-o", tmp_path / "a.json")) == 0
    assert _files(tmp_path / "reports") == []
    assert (tmp_path / "a.json").exists()


def test_root_does_not_write_letters_into_reports_of_another_user(tmp_path: Path) -> None:
    config = _site(tmp_path, 25)
    os.chown(tmp_path / "reports", NOBODY, NOBODY)
    before = _files(tmp_path / "reports")

    _refused("mail", "--config", config)
    _refused("mail", "--config", config, "--send")

    assert _files(tmp_path / "reports") == before
    assert _run("mail", "--config", config, "--list") == 0


def test_an_outbox_of_another_user_counts_where_it_is_named(tmp_path: Path) -> None:
    config = _site(tmp_path, 25)
    (tmp_path / "box").mkdir()
    os.chown(tmp_path / "box", NOBODY, NOBODY)

    _refused("mail", "--config", config, "--outbox", tmp_path / "box")
    assert _run("mail", "--config", config) == 0
