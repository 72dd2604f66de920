"""What the pages tell people to type exists, and each page is in the site's navigation."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from slurm_guard.cli import app as cli
from slurm_guard.config import all_keys
from tools import sitepages

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
KEYS: dict[str, set[str]] = {}
for _table, _, _key in (key.partition(".") for key in all_keys()):
    KEYS.setdefault(_table, set()).add(_key)

CALL = re.compile(r'(?<!")slurm-guard (?=[a-z]|--)([^`#\n|>&;)]*)')
KEY = re.compile(r"`(?:\[(?P<a>[a-z]+)\] |(?P<b>[a-z]+)\.)(?P<key>[a-z_]+)(?= =|`)")
FILES = {"json", "jsonl", "csv", "md", "eml", "html", "conf", "toml", "db", "lua", "log", "txt", "py"}


def _code(text: str) -> str:
    """Blocks of code and words in backticks: what somebody might type."""
    blocks = re.findall(r"^```(?:console|sh|bash)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *(words.replace("\n", " ") for words in re.findall(r"`([^`]+)`", plain))])


def _options(command: Any) -> set[str]:
    return {option for each in command.params for option in [*each.opts, *each.secondary_opts]} | {"--help"}


def _wrong(call: str, root: Any) -> str | None:
    """Why this command line is none, or None."""
    words, command = call.split(), root
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in command.commands:
            if command is not root:
                break  # progress takes words of its own
            return f"no command {name!r}"
        command = command.commands[name]
    known = _options(command) | (
        {"--version", "--install-completion", "--show-completion"} if command is root else set()
    )
    used = [word.split("=")[0] for word in words if re.fullmatch(r"--[a-z-]+(=.*)?|-[a-z]", word)]
    unknown = [option for option in used if option not in known]
    return f"no option {', '.join(unknown)}" if unknown else None


@pytest.fixture(scope="module")
def root() -> Any:
    cli._register()
    return typer.main.get_command(cli.app)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_of_a_page_is_one(page: Path, root: Any) -> None:
    text = _code(page.read_text(encoding="utf-8"))

    wrong = [f"slurm-guard {call}: {why}" for call in CALL.findall(text) if (why := _wrong(call, root))]

    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_key_of_a_page_is_one(page: Path) -> None:
    found = [
        (match["a"] or match["b"], match["key"]) for match in KEY.finditer(page.read_text(encoding="utf-8"))
    ]

    assert [(name, key) for name, key in found if name in KEYS and key not in KEYS[name] | FILES] == []


def test_a_command_or_key_that_is_none_is_found(root: Any) -> None:
    assert _wrong("reprot --job 1", root)
    assert _wrong("report --jobs 1", root)
    assert _wrong("report --job 1 --format html -o x", root) is None
    assert [m["key"] for m in KEY.finditer("`[audit] observe_only = true`, `audit.slack_s`")] == [
        "observe_only",
        "slack_s",
    ]


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = re.findall(r": ([\w-]+\.md)$", nav, re.MULTILINE)

    pages = {path.name for path in (ROOT / "docs").glob("*.md")} | set(sitepages.BESIDE.values())

    assert sorted(listed) == sorted(pages)


def test_links_of_a_page_beside_docs_find_their_page() -> None:
    said = sitepages.rewritten(
        "README.md", "[a](docs/node.md#x) ![b](docs/img/report.png) [c](https://x.org) [d](tests/rig)"
    )

    assert said == "[a](node.md#x) ![b](img/report.png) [c](https://x.org) d"
    assert sitepages.rewritten("docs/node.md", "[a](../README.md#on)") == "[a](index.md#on)"
