"""A batch script as sbatch and the site's job_submit.lua would read it, for `slurm-guard declare --check`."""

import re
from dataclasses import dataclass
from pathlib import Path

from slurm_guard.cli.claimwords import nearest, nearest_key, problems_of, useless_places
from slurm_guard.cli.sbatchline import split_words
from slurm_guard.declaration import MAX_HEAD, ORDER, WORD, Folded, fold, read_lines
from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.intent import KEYS, Intent, parse_intent

_NEAR = re.compile(rf"[ \t]*#[# \t]*{WORD[1:]}[ \t:=-]*([A-Za-z_]+)[ \t]*[=:](.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Script:
    """What it declares. `warnings`: lines that nobody would read, and what was probably meant by others."""

    folded: Folded
    claims: tuple[str, ...]
    warnings: tuple[str, ...]
    n_lines: int  # claims that stand in #GUARD lines


def read_script(path: Path, field: str) -> Script:
    """Raises GuardError script-unreadable."""
    try:
        if not path.is_file():
            raise GuardError("script-unreadable", f"{path} is no file", "name a batch script", EXIT_USAGE)
        with path.open("rb") as file:
            script = file.read(MAX_HEAD + 1)
    except OSError as error:
        raise GuardError("script-unreadable", f"{path}: {error.strerror}", "", EXIT_USAGE) from None
    head, tail = _split(script.decode("utf-8", "replace").split("\n"))
    options = _options(head)
    folded = fold(options.get("comment"), options.get("extra"), script, field)
    claims, _ = read_lines(script)
    late = [f"line {n}: below the first command, where nobody reads it" for n in _late(head, tail)]
    intent = parse_intent(folded.comment, folded.extra)
    warnings = (*late, *_near_lines(head, tail), *_meant(head), *useless_places(intent.egress))
    return Script(folded, tuple(_claims(intent)), warnings, len(claims))


def _split(lines: list[str]) -> tuple[list[str], list[str]]:
    """Lines above the first command, and the others."""
    for k, line in enumerate(lines):
        if line.strip() and not line.lstrip().startswith("#"):
            return lines[:k], lines[k:]
    return lines, []


def _late(head: list[str], tail: list[str]) -> list[int]:
    return [len(head) + k for k, line in enumerate(tail, 1) if line.startswith((f"{WORD} ", f"{WORD}\t"))]


def _near_lines(head: list[str], tail: list[str]) -> list[str]:
    """Comments that nearly are lines of ours: `# GUARD kind=x`, `#GUARD:kind=x`, `#guard kind=x`."""
    found = []
    for number, line in enumerate((*head, *tail), 1):
        match = None if line.startswith((f"{WORD} ", f"{WORD}\t")) else _NEAR.match(line)
        name = match and (match[1].lower() if match[1].lower() in KEYS else nearest_key(match[1]))
        if match and name:
            meant = f"{WORD} {name}={match[2].strip()}"[:200]
            place = " above the first command" if number > len(head) else ""
            shown = meant if meant.isprintable() else ascii(meant)
            found.append(f"line {number}: nobody reads it; did you mean {shown}{place}?")
    return found


def _options(head: list[str]) -> dict[str, str]:
    """--comment and --extra of #SBATCH lines; the last holds."""
    found: dict[str, str] = {}
    for line in head:
        words = split_words(line.removeprefix("#SBATCH")) if line.startswith("#SBATCH") else []
        for k, word in enumerate(words):
            name, equals, value = word.partition("=")
            if name in ("--comment", "--extra"):
                found[name[2:]] = value if equals else " ".join(words[k + 1 : k + 2])
    return found


def _meant(head: list[str]) -> list[str]:
    """What was probably meant by the lines that are not understood."""
    out = []
    for number, line in enumerate(head, 1):
        if not line.startswith((f"{WORD} ", f"{WORD}\t")):
            continue
        key, _, value = (part.strip() for part in line[len(WORD) :].partition("="))
        claims, _ = read_lines(line.encode("utf-8", "replace"))
        name = key if key in ORDER else nearest_key(key)
        if not claims and name in ORDER:
            near = value if not problems_of(name, value) else nearest(name, value)
            out += [f"line {number}: did you mean {WORD} {name}={near}?"] if near else []
    return out


def _claims(intent: Intent) -> list[str]:
    lines = [f"kind: {intent.kind}"] if intent.kind else []
    if intent.target:
        lines.append(f"target: {intent.target[1]:,.10g} {intent.target[0]}")
    if intent.budget_gpu_h is not None:
        lines.append(f"budget: {intent.budget_gpu_h:,.10g} GPU-hours")
    if intent.egress is not None:
        lines.append("egress: " + (", ".join(intent.egress) or "none: the job speaks to nobody outside"))
    return lines + ([f"progress: {intent.progress}"] if intent.progress else [])
