"""What a job declares at submit time: `#GUARD key=value` lines of its script, folded into comment or extra.

packaging/lua/slurm_guard_intent.lua does the same inside slurmctld; tests/contract/test_lua.py holds both to
one table of inputs.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slurm_guard.intent import KEYS, check_claims, find_claims, json_at, pairs_in, parse_intent, read_json

MAX_FIELD = 1024  # bytes; Slurm refuses a longer comment or extra
MAX_HEAD = 65_536  # bytes of a script that are looked at: judgement, a long head of #SBATCH lines is 4 KB
MAX_LINES = 1000
MAX_LINE = 1024  # bytes
WORD = "#GUARD"
ORDER = ("kind", "target", "budget", "egress", "progress")  # in which they are written
_BLANKS = " \t\n\r\f\v"
_PLAIN = re.compile(r"[^;\s]+", re.ASCII)  # what can stand in guard:k=v;k=v


@dataclass(frozen=True, slots=True)
class Folded:
    """The two texts as the cluster would record them, and what could not be understood or folded."""

    comment: str | None
    extra: str | None
    problems: tuple[str, ...]


def read_lines(script: bytes) -> tuple[dict[str, str], list[str]]:
    """(claims, problems) of the `#GUARD` lines above the first command, where sbatch looks for its own."""
    claims: dict[str, str] = {}
    problems: list[str] = []
    word = WORD.encode()
    for number, line in enumerate(_head(script), 1):
        if line.strip() and not line.lstrip().startswith(b"#"):
            break
        if line.startswith(word) and line[len(word) : len(word) + 1] in (b" ", b"\t"):
            _read_line(f"line {number}", line[len(word) :], claims, problems)
    return claims, problems


def _head(script: bytes) -> list[bytes]:
    """Its first lines; one that the limit cuts off is none."""
    lines = script[:MAX_HEAD].split(b"\n")
    if len(script) > MAX_HEAD:
        lines.pop()
    return lines[:MAX_LINES]


def _read_line(where: str, raw: bytes, claims: dict[str, str], problems: list[str]) -> None:
    key, equals, value = raw.decode("utf-8", "replace").partition("=")
    key, value = key.strip(_BLANKS), _unquote(value.strip(_BLANKS))
    if len(raw) > MAX_LINE:
        problems.append(f"{where}: longer than {MAX_LINE} bytes")
    elif not equals:
        problems.append(f"{where}: must be {WORD} key=value")
    elif key not in KEYS:
        problems.append(f"{where}: no claim is called {key[:40]!a}")
    else:
        said: list[str] = []
        check_claims({KEYS[key]: value}, None, said)
        problems += [f"{where}: {problem}" for problem in said]
        if not said:
            claims[KEYS[key]] = value


def _unquote(value: str) -> str:
    """Without the quotes around the whole, as sbatch reads its own lines."""
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value


def fold(comment: str | None, extra: str | None, script: bytes | None, field: str = "comment") -> Folded:
    """The texts with the script's claims in `field`. What stands in either text already holds, key by key."""
    claims, problems = read_lines(script or b"")
    texts = {"comment": comment, "extra": extra}
    stated: dict[str, Any] = {}
    for name, text in texts.items():
        stated |= find_claims(name, text, [])
    missing = {key: claims[key] for key in ORDER if key in claims and key not in stated}
    if missing:
        added = add_claims(texts[field], missing)
        if added is None:
            names = ", ".join(missing)
            problems.append(f"{field}: the script's {names} could not be added to what stands there")
        else:
            texts[field] = added
    problems += parse_intent(texts["comment"], texts["extra"]).problems
    return Folded(texts["comment"], texts["extra"], tuple(problems))


def add_claims(text: str | None, claims: Mapping[str, str]) -> str | None:
    """The text with more claims, nothing of it taken away; null where that cannot be done."""
    text = text or ""
    added = _insert(text, claims)
    if added is None or len(added.encode("utf-8", "surrogateescape")) > MAX_FIELD:
        return None
    before: list[str] = []
    after: list[str] = []
    expected = {**find_claims("", text, before), **claims}
    back = find_claims("", added, after)
    return added if back == expected and before == after else None


def _insert(text: str, claims: Mapping[str, str]) -> str | None:
    at = json_at(text)
    if at is not None:
        return _into_object(text, at, _members(claims))
    plain = all(_PLAIN.fullmatch(value) for value in claims.values())
    pairs = ";".join(f"{key}={value}" for key, value in claims.items())
    match = pairs_in(text)
    if match is not None:
        glue = "" if match[1].endswith(";") else ";"
        return text[: match.end()] + glue + pairs + text[match.end() :] if plain else None
    if _is_object(text):
        return _into_object(text, text.index("{"), f'"guard":{{{_members(claims)}}}')
    new = f"guard:{pairs}" if plain else f"guard={{{_members(claims)}}}"
    return f"{text} {new}" if text.strip(_BLANKS) else new


def _into_object(text: str, at: int, members: str) -> str:
    """Before the first member of the object that begins there."""
    rest = text[at + 1 :]
    return text[: at + 1] + members + ("" if rest.lstrip(_BLANKS).startswith("}") else ",") + rest


def _members(claims: Mapping[str, str]) -> str:
    return ",".join(f'"{key}":{json.dumps(value, ensure_ascii=False)}' for key, value in claims.items())


def _is_object(text: str) -> bool:
    """Whether the whole text is one JSON object: what a program of the site may read."""
    at = len(text) - len(text.lstrip(_BLANKS))
    try:
        return text.startswith("{", at) and not text[read_json(text, at)[1] :].strip(_BLANKS)
    except (ValueError, RecursionError):
        return False
