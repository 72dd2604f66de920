"""The site's own patterns for progress lines: what makes one wrong, and how a slow one is found out.

A pattern is applied to lines that the audited party writes. One that backtracks turns a single line of its
choice into minutes: so each is tried on lines made to hurt it, in a process that can be given up.
"""

import contextlib
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from unicodedata import lookup

COUNTERS = ("step", "samples", "tokens")
GROUPS = (*COUNTERS, "total", "loss", "time")
MAX_PATTERNS = 32
MAX_TEXT = 500
LINE = 4096  # characters of a line that the readers look at (progress/protocol.py)
SLOW_S = 0.003  # CPU seconds a line: 64 MiB of such lines are then read in 50 s of the 60 that a run has
CPU_S = 1  # of the trial of one pattern; a linear one needs 0.05 (measured)
WALL_S = 60.0  # a trial on a busy machine may take its time
_SHAPE = re.compile(r"([a-z]{2,12}): *(\S.*)", re.DOTALL)
_FILLERS = (
    " ",
    "0",
    "a",
    "A",
    ".",
    ",",
    "=",
    "1 ",
    ":",
    "-",
    "_",
    "\t",
    "/",
    "|",
    "(",
    "[",
    '"',
    "a ",
    "1.",
    "é",
)
_CLASS = re.compile(r"(?<!\\)\[(?!\^)(\]?(?:\\.|[^\]\\])*)\]", re.DOTALL)
# of a class: the begin of a range, an escaped sign that is itself, any other
_MEMBER = re.compile(r"([^\\])-[^\\]|\\([^A-Za-z0-9])|\\.()|(.)", re.DOTALL)
# What begins a group, and what stands for no character of its own.
_NO_WORDS = re.compile(
    r"(\\[^a-zA-Z])|\(\?(?:#[^)]*\)|P=\w+\)|P?<\w+>|<?[=!]|[:>]|[a-zA-Z-]+:?)|\\[a-zA-Z]|\{[\d,]*\}", re.ASCII
)
_ESCAPE = re.compile(
    r"\\(?:x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|N\{(?P<name>[^}]+)\}"
    r"|(?P<octal>0[0-7]{0,2}|[1-3][0-7]{2})|(?P<letter>.))",
    re.DOTALL,
)
_LETTERS = {"t": "\t", "f": "\f", "v": "\v", "a": "\a"}
_BLANKS = re.compile(r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\])|\s+|#[^\n]*", re.DOTALL)  # of a verbose one
_N_MEMBERS = 8  # of a pattern's classes that are tried
_N_JOINED = 8  # fillers that are also put between the pattern's words
_PROBE = """
import json, re, resource, sys, time, warnings
regex, lines, slow_s, cpu_s = json.load(sys.stdin)
resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
warnings.simplefilter("ignore")
search = re.compile(regex).search
for line in lines:
    took = []
    for _ in range(3):
        begin = time.process_time()
        search(line)
        took.append(time.process_time() - begin)
        if took[-1] < slow_s:
            break
    if min(took) >= slow_s:
        sys.exit(3)
"""


def split_pattern(text: str) -> tuple[str, str] | None:
    """(name, regular expression) of `name: expression`; null: it is none."""
    match = _SHAPE.fullmatch(text)
    return None if match is None or len(text) > MAX_TEXT else (match[1], match[2])


def compile_pattern(regex: str) -> re.Pattern[str]:
    """The compiled expression. Raises re.error, OverflowError, RecursionError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.compile(regex)


def wrong_patterns(texts: Sequence[str]) -> str:
    """What is wrong with the first wrong one; empty: nothing. Starts a process for each."""
    if len(texts) > MAX_PATTERNS:
        return f"has {len(texts)} patterns; at most {MAX_PATTERNS} are tried on each line"
    seen: set[str] = set()
    for text in texts:
        parts = split_pattern(text)
        if parts is None:
            return (
                f"holds {text[:80]!a}, which is no `name: expression` "
                f"with a name of 2 to 12 small letters and at most {MAX_TEXT} characters"
            )
        name, regex = parts
        wrong = "comes twice" if name in seen else wrong_pattern(regex)
        if wrong:
            return f"{name!r} {wrong}"
        seen.add(name)
    return ""


def wrong_pattern(regex: str) -> str:
    """What is wrong with one expression; empty: nothing."""
    try:
        groups = compile_pattern(regex).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        return f"does not compile: {error}"
    strange = next((group for group in groups if group not in GROUPS), None)
    if strange is not None:
        return f"has a group {strange!r}; known are {', '.join(GROUPS)}"
    if not any(group in groups for group in COUNTERS):
        return "has no counter: name a group step, samples or tokens, as in (?P<step>[0-9]+)"
    if is_slow(regex):
        return (
            f"is slow: a line of {LINE} characters can cost it more than {SLOW_S * 1000:g} ms; "
            "begin it with ^ or a fixed word, and put no repetition inside or beside another"
        )
    return ""


def is_slow(regex: str) -> bool:
    """Whether some line costs too much; also true where the trial itself did not end."""
    body = json.dumps([regex, list(hard_lines(regex)), SLOW_S, CPU_S])
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROBE],
            input=body.encode("ascii"), capture_output=True, check=False, timeout=WALL_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def hard_lines(regex: str) -> Iterator[str]:
    """Lines that begin to match again and again and never do: ways into the pattern's own repetitions, its
    words and common fillers."""
    from slurm_guard.patterntree import ways_in  # the parser on the node has no use for it

    with contextlib.suppress(re.error, OverflowError, RecursionError):
        for way in dict.fromkeys(ways_in(regex)):
            yield _fill(*way)
    regex = _plain(regex)
    bare = _NO_WORDS.sub(lambda match: match[1] or "\0", regex)
    bare = re.sub(r"\\(.)", r"\1", bare)
    words = [word[:40] for word in re.findall(r"[^\0()\[\]|?*+.^$\\]+", bare)][:8]
    members = _members(regex)
    for filler in (*_FILLERS, *members):
        yield _fill("", filler)
    for word in words:
        yield _fill("", word)
    for filler in (*_FILLERS[:_N_JOINED], *members):
        for n in range(1, len(words) + 1):
            begin = filler.join(words[:n])
            yield _fill(begin, filler)
            yield _fill("", begin + filler)
            yield _fill(begin, words[n - 1] + filler)


def _plain(regex: str) -> str:
    """The same expression with escaped characters as themselves; a verbose one without its blanks."""
    with contextlib.suppress(re.error, OverflowError, RecursionError):
        if compile_pattern(regex).flags & re.VERBOSE:
            regex = _BLANKS.sub(lambda match: match[1] or "", regex)
    return _ESCAPE.sub(_character, regex)


def _character(match: re.Match[str]) -> str:
    """What one escape stands for; itself, where that is no single character."""
    if (letter := match["letter"]) is not None:
        char = _LETTERS.get(letter, "")
    else:
        with contextlib.suppress(KeyError, ValueError, OverflowError):
            code = match["x"] or match["u"] or match["long"]
            name, octal = match["name"], match["octal"]
            char = lookup(name) if name else chr(int(code, 16) if code else int(octal, 8))
            return char if char.isalnum() else f"\\{char}"
        char = ""
    return char or match[0]


def _members(regex: str) -> list[str]:
    """A character of each class's ranges and single members: only they make `(?:[p-z]+)+` run."""
    found: list[str] = []
    for body in _CLASS.findall(regex):
        found.extend(match[1] or match[2] or match[4] for match in _MEMBER.finditer(body))
    return list(dict.fromkeys(char for char in found if char and char not in _FILLERS))[:_N_MEMBERS]


def _fill(begin: str, filler: str) -> str:
    """A line of full length that ends as no pattern expects."""
    return (begin + filler * LINE)[: LINE - 1] + "\1"
