"""Manual pages from the command line itself: packaging/man/*.1, one a command, and one of the whole.

`--check` says whether they are true. Options and words are asked of the commands; typer carries a click of
its own, which generators for click do not know.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from slurm_guard import __version__
from slurm_guard.cli import app as cli

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "packaging" / "man"
NAME = "slurm-guard"
_CODES = (
    ("0", "done"),
    ("1", "failure"),
    ("2", "usage: an option, a path or the configuration is wrong"),
    ("3", "nothing to audit or to show"),
    ("10", "done, and something asks for a look (doctor; else only with --exit-code)"),
)
_FILES = (
    ("/etc/slurm-guard/guard.toml", "the configuration of both halves"),
    ("/var/lib/slurm-guard/lake", "what was collected, as Parquet"),
    ("/var/lib/slurm-guard/reports", "one folder a night with its audit document"),
    ("/var/lib/slurm-guard/own", "what each user may read of his own runs, where the site keeps it"),
    ("/usr/share/doc/slurm-guard-node", "with the packages: the pages that messages name (docs/…)"),
)


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    cli._register()
    root: Any = typer.main.get_command(cli.app)
    found = {f"{NAME}.1": _page(NAME, root, _commands(root))}
    for name, command in root.commands.items():
        if command.hidden:
            continue
        parts = [line for sub in _subcommands(name, command) for line in sub]
        parts += _hook_settings() if name == "install" else []
        found[f"{NAME}-{name}.1"] = _page(f"{NAME}-{name}", command, parts)
    return found


def _page(title: str, command: Any, middle: list[str]) -> str:
    words = _paragraphs(command)
    typed = title.replace("-", " ").replace("slurm guard", NAME)
    short = words[0].rstrip(".") if title == NAME else words[0].split(": ")[0].rstrip(".")
    out = [
        f'.TH {_text(title.upper())} 1 "" "{NAME} {__version__}" "User Commands"',
        ".SH NAME",
        f"{_text(title)} \\- {_text(short)}",
        ".SH SYNOPSIS",
        *_synopsis(typed, command),
        ".SH DESCRIPTION",
        *_flow(words),
        *_options(command, ".SH OPTIONS"),
        *middle,
        ".SH EXIT STATUS",
        *_terms(_CODES, ".B "),
        ".SH FILES",
        *_terms(_FILES, ".I "),
        ".SH SEE ALSO",
        ".BR slurm\\-guard (1)," if title != NAME else ".BR sacct (1),",
        ".BR man (1)" if title == NAME else ".BR sacct (1)",
    ]
    return "\n".join(out) + "\n"


def _context(command: Any) -> Any:
    return command.make_context(command.name or NAME, [], resilient_parsing=True)


def _paragraphs(command: Any) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", (command.help or "").strip())]


def _synopsis(typed: str, command: Any) -> list[str]:
    pieces = " ".join(command.collect_usage_pieces(_context(command)))
    return [f".B {_text(typed)}", _text(pieces.replace("[OPTIONS]", "[OPTION]..."))]


def _commands(root: Any) -> list[str]:
    out = [".SH COMMANDS"]
    for name, command in root.commands.items():
        if command.hidden:
            continue
        out += [".TP", f".BR {_text(f'{NAME}-{name}')} (1)", _text(_paragraphs(command)[0])]
    return out


def _subcommands(name: str, command: Any) -> Iterator[list[str]]:
    for sub, inner in getattr(command, "commands", {}).items():
        yield [
            f".SH {_text(f'{name} {sub}'.upper())}",
            *_synopsis(f"{NAME} {name} {sub}", inner),
            ".PP",
            *_flow(_paragraphs(inner)),
            *_options(inner, ".PP"),
        ]


def _hook_settings() -> list[str]:
    """What stands in prolog/README.md, which lies beside no hook that is installed."""
    text = (
        (ROOT / "prolog/README.md").read_text("utf-8").partition("\n## Settings\n")[2].partition("\n## ")[0]
    )
    paragraphs = [part.replace("`", "") for part in text.strip().split("\n\n")]
    out = [".SH HOOK SETTINGS"]
    for number, words in enumerate(paragraphs):
        if not words.startswith("|"):
            out += [".PP"] * (number > 0) + [_text(" ".join(words.split()))]
            continue
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in words.splitlines()[2:]]
        out += _terms(
            tuple((name, f"{meaning} [default: {default}]") for name, default, meaning in rows), ".B "
        )
    return out


def _flow(paragraphs: list[str]) -> list[str]:
    out: list[str] = []
    for k, words in enumerate(paragraphs):
        out += [".PP"] * (k > 0) + [_text(words)]
    return out


def _options(command: Any, head: str) -> list[str]:
    context = _context(command)
    records = [part.get_help_record(context) for part in command.params if not getattr(part, "hidden", False)]
    records += [("--help", "show a summary and exit")]
    out = [head]
    for record in records:
        if record is not None:
            name = re.sub(r"<list\[(\w+)\]>", r"<\1> ...", record[0])
            out += [".TP", f".B {_text(name)}", _text(" ".join(record[1].split()) or "see above")]
    return out


def _terms(terms: tuple[tuple[str, str], ...], face: str) -> list[str]:
    return [line for term, words in terms for line in (".TP", f"{face}{_text(term)}", _text(words))]


def _text(words: str) -> str:
    """As groff shows it: hyphens that can be copied, no line that it takes for a request."""
    shown = words.replace("\\", "\\e").replace("-", "\\-").replace("–", "\\(en").replace("…", "\\&...")
    shown = shown.replace("~", "\\(ti").replace("^", "\\(ha").replace("`", "\\(ga").replace("'", "\\(aq")
    shown = shown.replace("≥", "\\(>=")
    return f"\\&{shown}" if shown.startswith(".") else shown


def main(arguments: list[str]) -> int:
    """Write every page and take away others; with --check only compare (exit 1 when one is stale)."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    stale = stale_pages()
    if "--check" in arguments:
        for name in stale:
            print(f"packaging/man/{name} is stale: run python -m tools.genman")
        return 1 if stale else 0
    true = pages()
    for name in stale:
        if name in true:
            (FOLDER / name).write_text(true[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
    return 0


def stale_pages() -> list[str]:
    """Names of pages that are not what the commands say, are missing, or are of a command that is gone."""
    true = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.1")}
    return sorted(name for name in true.keys() | there.keys() if true.get(name) != there.get(name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
