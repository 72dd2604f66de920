"""Progress lines by the site's own patterns: `progress.patterns` of the configuration, which root owns."""

import re
from collections.abc import Callable, Sequence

from slurm_guard.configpatterns import compile_pattern, split_pattern
from slurm_guard.progress.protocol import Anchored, Claim, LineSource
from slurm_guard.progress.values import find_ctime, parse_stamp, to_count, to_loss

# A fixed beginning without alternatives or flags is looked for before the pattern is tried.
_FIXED = re.compile(r"\^?((?:[A-Za-z0-9 _:=#,/@%<>~&;'\"!-]|\\[.|()\[\]+*?])+)(.?)", re.DOTALL)
# The next part of a pattern: a group's begin or end, a digit and how often, or a character that is itself.
_PART = re.compile(
    r"\(\?P<\w+>|\)(?![?*+{])|(\\d)(\+|\{[1-9]\d?(?:,\d{1,2})?\})?(?![?*+{])|"
    r"\\?((?<=\\)[.|()\[\]+*?\\{}^$-]|(?<!\\)[A-Za-z0-9 _:=#,/@%<>~&;'\"!-])(?![?*+{])"
)
_DIGIT = rb"(?:[0-9]|[\x80-\xff]{2,4})"  # other scripts' digits are digits to Python


class PatternLines(Anchored):
    """One pattern. A line that matches without a usable counter is a problem."""

    def __init__(self, name: str, pattern: re.Pattern[str]) -> None:
        self.name = name
        fixed = fixed_part(pattern.pattern)
        self.needles: tuple[bytes, ...] = (fixed,)
        self.head = head_of(pattern.pattern) if fixed and pattern.pattern.startswith("^") else b""
        self._search = pattern.search

    def read(self, text: str, offset: int) -> Claim | None:
        match = self._search(text)
        if match is None:
            return None
        said = match.groupdict()
        counts = {name: to_count(said.get(name)) for name in ("step", "samples", "tokens")}
        key = next((name for name, count in counts.items() if count is not None), None)
        if key is None:
            raise ValueError("no counter")
        stamp = (said.get("time") or "").strip()
        at, naive = parse_stamp(stamp) if stamp else (None, False)
        if at is None and stamp:
            at, naive = find_ctime(stamp)
        return Claim(
            offset,
            key,
            counts["step"],
            counts["samples"],
            counts["tokens"],
            to_count(said.get("total")),
            to_loss(said.get("loss")),
            at=at,
            naive=naive,
        )

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims


def fixed_part(regex: str) -> bytes:
    """What every matching line contains, as far as the beginning tells; empty: nothing is sure."""
    match = _FIXED.match(regex)
    if match is None or "|" in regex.replace("\\|", "") or "(?" in regex.replace("(?P<", ""):
        return b""
    fixed = re.sub(r"\\(.)", r"\1", match[1])
    return (fixed[:-1] if match[2] in ("?", "*", "{") else fixed).encode()


def head_of(regex: str) -> bytes:
    """What every line that matches begins with, as an expression of bytes: as far as the pattern's parts are
    characters, digits and groups around them. `fixed_part` has seen that it has no alternatives."""
    out, at = [], 1
    if re.search(r"\)[?*{]", regex) is not None:
        regex = regex.partition("(")[0]  # a group that may be left out
    while (match := _PART.match(regex, at)) is not None:
        out.append((_DIGIT + (match[2] or "").encode()) if match[1] else re.escape((match[3] or "").encode()))
        at = match.end()
    return b"".join(out)


def makers_of(texts: Sequence[str], taken: frozenset[str]) -> list[Callable[[], LineSource]]:
    """What makes a line source of each. A name that one of ours has gets `site` before it."""
    makers: list[Callable[[], LineSource]] = []
    for text in texts:
        parts = split_pattern(text)
        if parts is None:
            continue  # the configuration has refused it before
        name = parts[0] if parts[0] not in taken else f"site{parts[0]}"[:12]
        try:
            pattern = compile_pattern(parts[1])
        except (re.error, OverflowError, RecursionError):
            continue
        makers.append(lambda name=name, pattern=pattern: PatternLines(name, pattern))  # type: ignore[misc]
    return makers
