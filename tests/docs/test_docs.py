"""The docs are under test: generated pages, error slugs, commands, links."""

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from slurm_guard.cli import app
from slurm_guard.report.letterbox import Status
from slurm_guard.report.ownerwords import BY_CLASS
from slurm_guard.sampler.events import HARD
from slurm_guard.sampler.journald import ERROR, INFO, SEVERITY, WARNING
from tools import gendocs

ROOT = Path(__file__).parents[2]
SLUG = re.compile(r"GuardError\(\s*f?\"([a-z][a-z0-9-]+)\"")
LINK = re.compile(r"\]\(([^)#\s]+?)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", sorted(gendocs.PAGES))
def test_a_generated_page_is_true(page: str) -> None:
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == gendocs.PAGES[page]()


def test_every_error_slug_is_explained() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    raised = {
        slug for path in (ROOT / "slurm_guard").rglob("*.py") for slug in SLUG.findall(path.read_text())
    }

    assert sorted(slug for slug in raised if f"| `{slug}` |" not in page) == []
    assert raised, "the pattern finds no slug any more"


def test_no_page_explains_a_slug_that_nothing_raises() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text() for path in (ROOT / "slurm_guard").rglob("*.py"))

    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.MULTILINE)

    assert [slug for slug in listed if f'"{slug}"' not in code] == []


@pytest.mark.parametrize(("word", "severity"), [("error", ERROR), ("warning", WARNING), ("info", INFO)])
def test_the_severities_are_those_of_the_code(word: str, severity: int) -> None:
    page = (ROOT / "docs" / "node.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {word} \| (.*) \|$", page, re.MULTILINE)
    kinds = {name for name, known in SEVERITY.items() if known == severity}

    listed = set(re.findall(r"`([a-z][a-z-]+)`", row)) - {"sampler-stopped"}  # by its reason

    assert listed == {name for name in kinds if not name.endswith("-truncated")}


def test_the_alert_wakes_for_every_hard_fact() -> None:
    page = (ROOT / "docs" / "node.md").read_text(encoding="utf-8")
    (names,) = re.findall(r'events_total\{name=~"([a-z|-]+)"\}', page)

    assert set(names.split("|")) == HARD


def test_every_make_target_in_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:`|\$ )make ([a-z]+)", (ROOT / "README.md").read_text())):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_command_in_the_docs_answers_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process: that the program starts is tests/unit/cli/test_app.py's."""
    text = "\n".join(p.read_text() for p in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    commands = sorted(set(re.findall(r"`slurm-guard ([a-z]+)", text)))
    assert commands
    monkeypatch.setattr(app, "app", typer.Typer())
    app._register()

    for command in commands:
        done = CliRunner().invoke(app.app, [command, "--help"])
        assert done.exit_code == 0, f"slurm-guard {command}: {done.output}"
        assert "Usage:" in done.output


def test_every_relative_link_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "tests" / "rig").glob("*.md")]
    lost = [
        f"{page.relative_to(ROOT)} -> {link}"
        for page in pages
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in link and not link.startswith("mailto:") and not (page.parent / link).exists()
    ]

    assert lost == []


def _made_on_a_node() -> set[str]:
    """The folders and files that the shims' settings and the units name, and what these make."""
    shim = (ROOT / "prolog" / "slurm-guard-prolog").read_text()
    settings = dict(re.findall(r"^([A-Z_]+)=(/[\w./-]*)$", shim.partition("\n# ---\n")[0], re.MULTILINE))
    assert settings.keys() >= {"LIB", "RUN_DIR", "SPOOL_DIR", "CLIENT_DIR", "CONFIG", "DISABLED"}
    made = {path for name, path in settings.items() if "slurm-guard" in path}
    units = (ROOT / "packaging" / "systemd").iterdir()
    for text in [path.read_text() for path in units if "audit" not in path.name]:  # those are the head's
        made |= set(re.findall(r"Install as (/[\w./-]+\w)", text))
        made |= set(re.findall(r"^[dgu]\s+(\S+)", text, re.MULTILINE))
    return made - {"/var/lib/slurm-guard"}  # the head node's lake lies there too


def test_what_is_put_on_a_node_can_be_taken_off_again() -> None:
    page = (ROOT / "prolog" / "README.md").read_text(encoding="utf-8")
    section = page.partition("## Taking it off")[2]
    commands = "\n".join(re.findall(r"```console\n(.*?)```", section, re.DOTALL))
    removed = re.findall(r"[\w./-]+", commands)

    made = _made_on_a_node()

    assert len(made) >= 10
    left = {name for name in made if not any(name == r or name.startswith(f"{r}/") for r in removed)}
    assert left == set()
    assert [name for name in ("Prolog=", "Epilog=", "TaskProlog=") if f"`{name}`" not in section] == []
    assert "/var/lib/slurm-guard" not in removed  # no command takes the evidence of earlier nights


def test_each_class_that_owners_are_told_of_in_words_is_named() -> None:
    page = (ROOT / "docs" / "mail.md").read_text(encoding="utf-8")

    assert [name for name in BY_CLASS if f"`{name}`" not in page] == []


@pytest.mark.parametrize("status", list(Status))
def test_each_state_of_a_letter_is_explained(status: Status) -> None:
    page = (ROOT / "docs" / "mail.md").read_text(encoding="utf-8")

    assert status is Status.SENDING or f"| `{status.value}` |" in page
