"""The manual pages are what the commands say, and groff and man have nothing to say against them."""

import os
import shutil
import subprocess

import pytest

from slurm_guard.cli.app import COMMANDS
from tools import genman

PAGES = sorted(genman.FOLDER.glob("*.1"))


def test_the_pages_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "37")  # nothing of the terminal gets into a page

    assert genman.stale_pages() == [], "run python -m tools.genman"


def test_every_command_has_a_page() -> None:
    assert {path.name for path in PAGES} == {"slurm-guard.1", *(f"slurm-guard-{name}.1" for name in COMMANDS)}


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_warns_of_nothing() -> None:
    for path in PAGES:
        done = subprocess.run(
            ["groff", "-man", "-ww", "-z", "-Tutf8", str(path)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), path.name


@pytest.mark.skipif(shutil.which("man") is None, reason="man-db is not installed")
def test_man_shows_them_without_a_warning() -> None:
    for path in PAGES:
        done = subprocess.run(
            ["man", "--warnings", "-P", "cat", "-l", str(path)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
        )
        assert (done.returncode, done.stderr) == (0, ""), path.name
        assert "SYNOPSIS" in done.stdout


def test_no_word_is_taken_for_a_request() -> None:
    assert genman._text(".SH it") == "\\&.SH it"
    assert genman._text("'quoted' \\ -x") == "\\(aqquoted\\(aq \\e \\-x"
