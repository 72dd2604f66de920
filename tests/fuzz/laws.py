"""What holds for every reader and every file, hurt or not: the fuzz targets' properties."""

import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from slurm_guard.progress.csvlog import CsvReader
from slurm_guard.progress.protocol import Claim, Found, Reader
from slurm_guard.progress.text import TextReader
from slurm_guard.progress.values import AT_MAX, AT_MIN, LOSS_LIMIT, STEP_LIMIT, TOOK_LIMIT_S
from tests.fuzz.edits import Piece, joined
from tests.fuzz.oracles import Oracle

STARVED = 30.0  # wall time over processor time on the busiest machine. Judgement
DEADLINE_S = 20.0  # of processor time: a file of at most 6 MB: what is not read by then hangs
CPU_S, CPU_S_PER_MB = 0.5, 1.5  # of one reading; measured below 0.1 s/MB, the rest is for a busy machine
PIECEWISE_B = 40_000  # longer files are fed once only
LOOKED_AT = 150  # claims of each end that the oracle is asked about: it is slow
PHASES = frozenset(("train", "eval", "checkpoint", "init", "end", "unread"))


class Target(NamedTuple):
    """One reader under test. `keeps`: what an edit leaves alone: whole lines, or what stands before it."""

    name: str
    reader: Callable[[], Reader]
    keeps: str  # "lines", "before" or "nothing"
    oracle: Oracle | None
    also: Callable[[bytes, bytes, Found], None] | None = None  # (file before its edits, after, found)


class Hang(Exception):
    """The reader did not come back."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises Hang where it stands; also inside a regular expression, which asks for signals now and then.

    Of processor time; of wall time, STARVED times as much: a campaign in the background gets little of a busy
    machine, and a reader that waits for something uses none.
    """

    def raise_it(number: int, frame: FrameType | None) -> None:
        raise Hang(f"no answer after {seconds} s")

    clocks = ((signal.SIGPROF, signal.ITIMER_PROF, 1.0), (signal.SIGALRM, signal.ITIMER_REAL, STARVED))
    before = [signal.signal(number, raise_it) for number, _, _ in clocks]
    for _, timer, factor in clocks:
        signal.setitimer(timer, factor * seconds)
    try:
        yield
    finally:
        for (number, timer, _), old in zip(clocks, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, old)


def drive(reader: Reader, data: bytes, size: int) -> Found:
    """The file in pieces of `size`, as the driver feeds it."""
    at = 0
    while at < len(data):
        piece = data[at : at + size]
        wanted = reader.feed(piece, at)
        assert wanted >= at + len(piece), "the reader wants bytes again"
        at = max(at + len(piece), wanted)
    return reader.finish()


class Held(NamedTuple):
    """What was found in a file, and the processor time that it took."""

    found: Found
    took_s: float


def hold(target: Target, pieces: Sequence[Piece], size: int, origin: bytes | None = None) -> Held:
    """Every law, for one file. `origin`: the valid file that it was. Raises AssertionError or Hang."""
    data = joined(pieces)
    begin_s = time.process_time()
    with deadline(DEADLINE_S):
        found = drive(target.reader(), data, 1 << 20)
    took_s = time.process_time() - begin_s
    assert took_s < CPU_S + CPU_S_PER_MB * len(data) / 1e6, f"slow: {took_s:.2f} s for {len(data)} bytes"
    in_range(found, len(data))
    if len(data) <= PIECEWISE_B:
        again = drive(target.reader(), data, size)
        assert again._replace(read_b=0) == found._replace(read_b=0), (
            "the size of the pieces changes the points"
        )
    raw = unsettled(target, data)
    if target.oracle is not None:
        said = claims_of(raw)
        for claim in (*said[:LOOKED_AT], *said[-LOOKED_AT:]):
            assert target.oracle(data, claim) is not False, f"invented: {claim}"
    if target.keeps == "lines":
        lines_are_read(target, pieces, raw)
    elif target.keeps == "before":
        beginning_is_read(target, pieces, raw)
    if target.also is not None and origin is not None:
        target.also(origin, data, found)
    return Held(found, took_s)


def unsettled(target: Target, data: bytes) -> Found:
    """What was read line by line, before the whole file is judged."""
    reader = target.reader()
    if isinstance(reader, TextReader):
        for source in reader._sources:
            source.settle = lambda claims: claims  # type: ignore[method-assign]
    if isinstance(reader, (TextReader, CsvReader)):
        reader._judge = lambda claims: claims
    with deadline(DEADLINE_S):
        return drive(reader, data, 1 << 20)


def claims_of(found: Found) -> list[Claim]:
    """Everything that was found, in the file's order."""
    claims = [claim for series in found.series for claim in series.claims]
    return sorted((*claims, *found.phases), key=lambda claim: claim.offset)


def in_range(found: Found, size: int) -> None:
    """No number outside what the record can hold; problems are `slug: words`."""
    for claim in claims_of(found):
        for count in (claim.step, claim.samples, claim.tokens, claim.total):
            assert count is None or (type(count) is int and 0 <= count < STEP_LIMIT), claim
        assert claim.at is None or (type(claim.at) is float and AT_MIN <= claim.at < AT_MAX), claim
        assert claim.loss is None or (math.isfinite(claim.loss) and abs(claim.loss) < LOSS_LIMIT), claim
        assert claim.epoch is None or (math.isfinite(claim.epoch) and claim.epoch >= 0), claim
        assert claim.took_s is None or 0 <= claim.took_s < TOOK_LIMIT_S, claim
        assert 0 < claim.offset <= size, claim
        assert claim.phase in PHASES, claim
    for series in found.series:
        assert series.claims, "a series of nothing"
        offsets = [claim.offset for claim in series.claims]
        assert offsets == sorted(offsets), "claims out of the file's order"
    assert all(": " in problem and "\n" not in problem for problem in found.problems), found.problems


def lines_are_read(target: Target, pieces: Sequence[Piece], raw: Found) -> None:
    """A whole record that begins on a line of its own says the same wherever it stands."""
    if any(problem.startswith(("many-", "data-rows", "unfit-rows")) for problem in raw.problems):
        return  # a limit was met, and is told
    there = Counter(claims_of(raw))
    alone: dict[bytes, list[Claim]] = {}
    at, after_break = 0, True
    for piece in pieces:
        if piece.whole and after_break and piece.data.endswith(b"\n"):
            if piece.data not in alone:
                alone[piece.data] = claims_of(unsettled(target, piece.data))
            for claim in alone[piece.data]:
                moved = claim._replace(offset=claim.offset + at)
                assert there[moved], f"not read: {moved}"
        at += len(piece.data)
        after_break = piece.data.endswith(b"\n") if piece.data else after_break


def open_row(early: list[Claim], found: list[Claim]) -> bool:
    """Whether all that differs is the last of at least two evaluation marks in a row that were the last thing
    read: of a row the first and the last are kept, and which is the last, what follows tells."""
    row = [claim.phase == "eval" and claim.clock() is None and claim.epoch is None for claim in early[-2:]]
    return len(row) == 2 and all(row) and early[:-1] == found


def beginning_is_read(target: Target, pieces: Sequence[Piece], raw: Found) -> None:
    """What stands before the first edit is read as if the file ended there."""
    if any(
        problem.startswith(("many-", "data-rows", "unfit-rows", "open-quote")) for problem in raw.problems
    ):
        return
    begin = 0
    for piece in pieces:
        if not piece.whole:
            break
        begin += len(piece.data)
    data = joined(pieces)
    begin = data.rfind(b"\n", 0, begin) + 1
    early = [claim for claim in claims_of(unsettled(target, data[:begin])) if claim.offset <= begin]
    found = [claim for claim in claims_of(raw) if claim.offset <= begin]
    if {claim.key for claim in early} == {"step"} and {claim.key for claim in found} == {"epoch"}:
        # a counter that stands still from the first row to the last is no clock: the whole table tells
        early, found = (
            [claim._replace(key="", step=None, epoch=None) for claim in of] for of in (early, found)
        )
    assert early == found or open_row(early, found), "the beginning changed"
