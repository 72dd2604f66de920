"""The parser without rights: a child of user nobody that has only descriptors and a pipe to answer on.

What comes back is checked field by field: the parser has read hostile bytes, so its word is a claim, too.
"""

import json
import os
import re
import select
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from slurm_guard.progress import child
from slurm_guard.progress.mark import Mark
from slurm_guard.progress.protocol import UNREAD
from slurm_guard.progress.safetensors import ModelSize, Part, fits, read_model
from slurm_guard.progress.track import thin
from slurm_guard.progress.unit import Input, Told, read_unit
from slurm_guard.progress.values import AT_MAX, AT_MIN, LOSS_LIMIT, STEP_LIMIT, TOOK_LIMIT_S

MAX_POINTS = 20_000  # of one run
READ_SHARE = 0.8  # of the time left: then it answers with what it has (judgement)
ANSWER_S = 2.0  # … or so long before its end, if there is so much: tracks are made and sent (measured)
MAX_ANSWER_B = 24 << 20
MAX_PROBLEMS = 32
DIED = "parser-died: it met its memory or time limit, or a fault of ours"
_TRACK = re.compile(r"[a-z]{2,12}(/epoch)?:[A-Za-z0-9._~-]{1,120}")
_SOURCE = re.compile(r"[a-z]{2,12}")
_PHASES = frozenset(("train", "eval", "checkpoint", "init", "end", UNREAD))
_FLAGS = frozenset(("weak", "epoch", "step-back", "unplaced"))


class Answer(NamedTuple):
    """What one unit gave. `problem`: why the child did not finish; null: it did."""

    told: list[Told]
    marks: list[Mark]
    truncated: bool
    problem: str | None


def parse(inputs: list[Input], user: str, deadline_s: float, patterns: tuple[str, ...] = ()) -> Answer:
    """Read one unit in a child. Never raises for content; `deadline_s`: monotonic."""
    left_s = deadline_s - time.monotonic()
    until_s = deadline_s - max((1 - READ_SHARE) * left_s, min(ANSWER_S, left_s / 2))
    raw, problem = _asked(
        lambda: _answer_lines(*read_unit(inputs, patterns, until_s)),
        {one.fd for one in inputs},
        user,
        deadline_s,
    )
    return _checked(raw, {one.file for one in inputs}, problem)


def measure(parts: list[Part], left_b: int, user: str, deadline_s: float) -> ModelSize:
    """The size of the model in these files, in a child likewise, from at most `left_b` bytes of headers."""

    def answer() -> Iterator[str]:
        yield json.dumps(read_model(parts, left_b))

    raw, problem = _asked(answer, {part.fd for part in parts}, user, deadline_s)
    size = _size(raw)
    return ModelSize(None, None, 0, [problem or DIED]) if size is None else size


def _asked(
    work: Callable[[], Iterator[str]], fds: set[int], user: str, deadline_s: float
) -> tuple[bytes, str | None]:
    """(what `work` says in a child that has these descriptors alone, why it did not finish)."""
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        return b"", "timeout: no time was left to read it"
    reading, writing = os.pipe()
    cpu_s = max(1, round(left_s))
    helper = child.start(lambda: _work(work, user, writing, cpu_s), {writing, *fds})
    os.close(writing)
    try:
        return _collect(reading, deadline_s)
    finally:
        os.close(reading)
        helper.end()


def _work(work: Callable[[], Iterator[str]], user: str, out: int, cpu_s: int) -> None:
    """The child: lose all rights, read, answer."""
    uid, gid = child.parser_ids(user)
    child.become(uid, gid, [])
    child.limit(cpu_s)
    for piece in work():
        data = piece.encode("ascii")
        while data:
            data = data[os.write(out, data) :]


def _answer_lines(told: list[Told], marks: list[Mark]) -> Iterator[str]:
    """The answer in pieces of about 64 kB."""
    kept = thin(marks, MAX_POINTS)
    rows: list[str] = [json.dumps(["told", *one]) for one in told]
    for mark in kept:
        rows.append(json.dumps(["mark", *mark]))
        if len(rows) >= 400:
            yield "\n".join(rows) + "\n"
            rows = []
    late = any(problem.startswith("timeout:") for one in told for problem in one.problems)
    rows.append(json.dumps(["end", late or len(kept) < len(marks)]))
    yield "\n".join(rows) + "\n"


def _collect(fd: int, deadline_s: float) -> tuple[bytes, str | None]:
    """(bytes, why the child was given up)."""
    parts: list[bytes] = []
    size = 0
    while True:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not select.select([fd], [], [], left_s)[0]:
            return b"".join(parts), "timeout: the parser did not finish in time"
        data = os.read(fd, 1 << 16)
        if not data:
            return b"".join(parts), None
        parts.append(data)
        size += len(data)
        if size > MAX_ANSWER_B:
            return b"", "oversized: the parser said more than it may"


def _checked(raw: bytes, files: set[int], problem: str | None) -> Answer:
    """The answer, row by row; one row out of shape ends it."""
    told: list[Told] = []
    marks: list[Mark] = []
    for line in raw.split(b"\n"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break
        kind = row[0] if isinstance(row, list) and row else None
        if kind == "end":
            return Answer(told, marks, row[1:] == [True], problem)
        one = _told(row, files) if kind == "told" else None
        mark = _mark(row, files) if kind == "mark" else None
        if one is not None:
            told.append(one)
        elif mark is not None and len(marks) < MAX_POINTS:
            marks.append(mark)
        else:
            break
    return Answer(told, [], False, problem or DIED)


def _size(raw: bytes) -> ModelSize | None:
    """The answer of one who measured; null: it is none."""
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, list) or len(row) != 4:
        return None
    params, dense, read_b, problems = row
    known = fits(params, dense) or (params, dense) == (None, None)
    if not known or not _whole(read_b) or not isinstance(problems, list):
        return None
    words = [plain(text) for text in problems if isinstance(text, str)]
    return ModelSize(params, dense, read_b, words[:MAX_PROBLEMS])


def _told(row: list[Any], files: set[int]) -> Told | None:
    if len(row) != 8:
        return None
    _, file, source, track, n, read_b, problems, params = row
    right = (
        _among(file, files)
        and (source is None or (isinstance(source, str) and _SOURCE.fullmatch(source)))
        and isinstance(track, str)
        and (track == "" or _TRACK.fullmatch(track))
        and _whole(n)
        and _whole(read_b)
        and isinstance(problems, list)
        and (params is None or fits(params, None))
    )
    if not right:
        return None
    words = [plain(text) for text in problems if isinstance(text, str)]
    return Told(file, source, track, n, read_b, words[:MAX_PROBLEMS], params)


def _mark(row: list[Any], files: set[int]) -> Mark | None:
    if len(row) != 15:
        return None
    _, file, track, segment, at, naive, step, samples, tokens, total, loss, phase, offset, flags, took_s = row
    right = (
        _among(file, files)
        and isinstance(track, str)
        and _TRACK.fullmatch(track)
        and _whole(segment)
        and (at is None or (isinstance(at, float) and AT_MIN <= at < AT_MAX))
        and isinstance(naive, bool)
        and all(value is None or _whole(value) for value in (step, samples, tokens, total))
        and (loss is None or (isinstance(loss, float) and abs(loss) < LOSS_LIMIT))
        and (took_s is None or (isinstance(took_s, float) and 0 <= took_s < TOOK_LIMIT_S))
        and isinstance(phase, str)
        and phase in _PHASES
        and _whole(offset)
        and isinstance(flags, list)
        and _FLAGS.issuperset(flag for flag in flags if isinstance(flag, str))
    )
    if not right:
        return None
    words = tuple(flag for flag in flags if isinstance(flag, str))
    return Mark(
        file, track, segment, at, naive, step, samples, tokens, total, loss, phase, offset, words, took_s
    )  # fmt: skip


def _among(value: Any, files: set[int]) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in files


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < STEP_LIMIT


def plain(text: str, most: int = 200) -> str:
    """Words for a record: printable ASCII, cut."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:most])
