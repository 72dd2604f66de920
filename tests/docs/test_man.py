"""The manual pages are what the commands say, and groff and man have nothing to say against them."""

import ast
import os
import re
import shutil
import subprocess

import pytest

from slurm_guard.cli.app import COMMANDS
from tools import genman

PAGES = sorted(genman.FOLDER.glob("*.1"))
HAS_WORDS = (ast.Module, ast.ClassDef, ast.FunctionDef)


def test_the_pages_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "37")  # nothing of the terminal gets into a page

    assert genman.stale_pages() == [], "run python -m tools.genman"


def test_every_command_has_a_page() -> None:
    names = {"imports": "import"}  # which no module of Python can be called
    commands = {names.get(name, name) for name in COMMANDS}
    assert {path.name for path in PAGES} == {"slurm-guard.1", *(f"slurm-guard-{name}.1" for name in commands)}


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


def test_install_tells_every_setting_of_the_hooks() -> None:
    page = (genman.FOLDER / "slurm-guard-install.1").read_text("utf-8")
    section = page.partition(".SH HOOK SETTINGS")[2].partition(".SH ")[0]

    named = set(re.findall(r"^\.B ([A-Z_]+)$", section, re.MULTILINE))
    shims = [path for folder in ("prolog", "epilog") for path in (genman.ROOT / folder).glob("slurm-guard-*")]
    tops = [path.read_text("utf-8").partition("\n# ---\n")[0] for path in shims]
    wanted = {name for top in tops for name in re.findall(r"^([A-Z_]+)=", top, re.MULTILINE)}
    assert len(wanted) >= 12
    assert wanted - named == set()
    assert "install \\-d \\-o root \\-g slurm\\-guard \\-m 2750" in section


def test_what_a_message_names_is_a_page_or_a_manual_page() -> None:
    """docs/*.md come with the packages; a README beside the source does not."""
    pages = {path.name.removesuffix(".1") for path in PAGES}
    for path in sorted((genman.ROOT / "slurm_guard").rglob("*.py")):
        text = path.read_text("utf-8")
        for name in re.findall(r"docs/([a-z-]+\.md)", text):
            assert (genman.ROOT / "docs" / name).exists(), f"{path} names {name}"
        for name in re.findall(r"`man ([a-z-]+)`", text):
            assert name in pages, f"{path} names {name}"
        strings = [n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)]
        docs = {
            ast.get_docstring(n, clean=False) for n in ast.walk(ast.parse(text)) if isinstance(n, HAS_WORDS)
        }
        said = [one for one in strings if isinstance(one, str) and one not in docs and "README.md" in one]
        assert said == [], f"{path}: {said}"
