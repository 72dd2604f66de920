"""Targets around the readers: a file's whole way to points with brackets, and the parser's answer."""

import os
import time
from collections.abc import Callable

from hypothesis import given, seed
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase

from slurm_guard.progress.bracket import Frame, Sight, bracket, trail_of
from slurm_guard.progress.mark import Mark
from slurm_guard.progress.parser_child import MAX_POINTS, Answer, _answer_lines, _checked
from slurm_guard.progress.safetensors import MAX_PARAMS
from slurm_guard.progress.unit import Input, Told, read_unit
from slurm_guard.progress.values import AT_MAX, AT_MIN, STEP_LIMIT
from tests.fuzz import weights
from tests.fuzz.edits import Piece, Plan, apply, joined, plans
from tests.fuzz.formats import MAKERS, OTHERS, T0, Course
from tests.fuzz.laws import CPU_S, CPU_S_PER_MB, DEADLINE_S, deadline
from tests.fuzz.targets import TARGETS, Campaign, Tally, campaign, courses, options

PATHS = (
    ("/w/slurm-7.out", "stdout"), ("/w/runs/a/events.out.tfevents.1785568777.n1.42.0", "fd"),
    ("/w/x.wandb", "fd"), ("/w/out/checkpoint-500/trainer_state.json", "walk"),
    ("/w/mlruns/1/2/metrics/loss", "walk"),
    ("/w/progress.jsonl", "guard"), ("/w/metrics.csv", "walk"), ("/w/\udcff\n\x1b[31m" + "ä" * 90, "fd"),
    ("/w/config.json", "walk"), ("", "fd"),
)  # fmt: skip
_KINDS = [(name, nth) for name, makers in MAKERS.items() for nth in range(len(makers))]


def through(data: bytes, path: str, how: str, cap_b: int) -> tuple[list[Told], list[Mark]]:
    """A file of these bytes, read as the parser reads it, and its answer as the parent checks it."""
    fd = os.memfd_create("fuzz")
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        told, marks = read_unit([Input(0, fd, path, how, len(data), cap_b)], ())
    finally:
        os.close(fd)
    raw = "".join(_answer_lines(told, marks)).encode("ascii")
    answer = _checked(raw, {0}, None)
    assert answer.problem is None, "the parent refuses what its own parser says"
    assert len(answer.marks) == min(len(marks), MAX_POINTS)
    if len(marks) <= MAX_POINTS:
        assert answer.marks == marks
    assert answer.told, "a file without a row"
    assert sum(row.n for row in told) == len(marks)
    assert all(0 < mark.offset <= len(data) for mark in marks)
    return told, marks


def rising(marks: list[Mark]) -> None:
    """Inside a segment, what advances rises; segments count up."""
    last: dict[str, tuple[int, int]] = {}
    for mark in marks:
        if mark.phase != "train":
            continue
        count = next((n for n in (mark.step, mark.samples, mark.tokens) if n is not None), None)
        if count is None:
            continue
        segment, high = last.get(mark.track, (0, -1))
        assert mark.segment in (segment, segment + 1) if high >= 0 else mark.segment >= 0, mark
        assert count > high or mark.segment > segment, f"{mark} after {high}"
        last[mark.track] = (mark.segment, count)


def framed(marks: list[Mark], size: int, at: list[float], sizes: list[int]) -> None:
    """Brackets hold the times at which the file was seen, whatever the records claim."""
    frame = Frame(T0 - 60, T0 + 4_000, None)
    sights = [
        Sight(T0 + when, min(seen, size), 7, int((T0 + when) * 1e9))
        for when, seen in zip(at, sizes, strict=False)
    ]
    trail = trail_of(sights, size, T0 + 3_900, frame)
    points, dropped = bracket(marks, {0: trail}, frame)
    assert len(points) + sum(dropped.values()) == len(marks)
    mark_flags = {mark.offset: mark.flags for mark in marks}
    for point in points:
        assert point.segment >= 0
        if "unplaced" in mark_flags[point.offset or 0]:  # rows of a database stand where they like
            assert (point.obs_lo_at, point.obs_hi_at) == (None, None)
            continue
        assert point.obs_hi_at is not None
        assert point.obs_lo_at is None or point.obs_lo_at <= point.obs_hi_at
        assert point.obs_hi_at <= frame.read_at


def _whole(n: int, at: int, database: ExampleDatabase | None, tally: Tally) -> Callable[[], None]:
    @seed(at)
    @options(n, database)
    @given(
        kind=st.integers(0, len(_KINDS) - 1), course=courses, plan=plans,
        place=st.integers(0, len(PATHS) - 1), cap=st.sampled_from([1 << 20, 64 << 20, 2 << 20]),
        seen=st.lists(st.tuples(st.floats(0, 3_900), st.integers(0, 9_000)), max_size=6),
    )  # fmt: skip
    def run(
        kind: int, course: Course, plan: Plan, place: int, cap: int, seen: list[tuple[float, int]]
    ) -> None:
        name, nth = _KINDS[kind]
        pieces: list[Piece] = apply(MAKERS[name][nth](course), plan, OTHERS)
        data = tally.last = joined(pieces)
        begin_s = time.process_time()
        with deadline(DEADLINE_S):
            _, marks = through(data, *PATHS[place], cap)
        took_s = time.process_time() - begin_s
        assert took_s < 2 * (CPU_S + CPU_S_PER_MB * len(data) / 1e6), (
            f"slow: {took_s:.2f} s, {len(data)} bytes"
        )
        rising(marks)
        framed(marks, len(data), sorted(when for when, _ in seen), sorted(size for _, size in seen))
        tally.add(len(marks), took_s)

    return run


def _answer(n: int, at: int, database: ExampleDatabase | None, tally: Tally) -> Callable[[], None]:
    """The parser has read hostile bytes: whatever it says, the parent takes only what fits."""
    told = [Told(0, "text", "jsonl:a~123456", 2, 90, ["torn-tail: 1"], 124_439_808)]

    @seed(at)
    @options(n, database)
    @given(steps=st.lists(st.integers(0, STEP_LIMIT), max_size=8), plan=plans)
    def run(steps: list[int], plan: Plan) -> None:
        marks = [
            Mark(0, "jsonl:a~123456", 0, T0, False, step, None, None, None, 0.5, "train", 9, ("weak",), 0.5)
            for step in steps
        ]
        text = "".join(_answer_lines(told, marks)).encode("ascii").splitlines(keepends=True)
        data = tally.last = joined(apply(text, plan, OTHERS))
        begin_s = time.process_time()
        with deadline(DEADLINE_S):
            answer = _checked(data, {0}, None)
        fits(answer)
        tally.add(len(answer.marks), time.process_time() - begin_s)

    return run


def fits(answer: Answer) -> None:
    """Nothing out of range came through, and an answer that broke off gives no points."""
    assert answer.problem is None or answer.marks == []
    for row in answer.told:
        assert row.file == 0
        assert all(" " <= char <= "~" for problem in row.problems for char in problem)
        assert row.params is None or 1 <= row.params <= MAX_PARAMS
    for mark in answer.marks:
        assert mark.file == 0
        for count in (mark.step, mark.samples, mark.tokens, mark.total):
            assert count is None or 0 <= count < STEP_LIMIT
        assert mark.at is None or AT_MIN <= mark.at < AT_MAX


CAMPAIGNS: dict[str, Campaign] = {
    **{name: campaign(target) for name, target in TARGETS.items()},
    "whole": _whole,
    "answer": _answer,
    "safetensors": weights.campaign,
}
