"""Real logs under ../shared/data as jobs, with copies that are slowed, cut, spliced and diverted from."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from bench.detect import paired, realism, replay
from bench.detect.figures import clopper_pearson
from bench.detect.night import judge_night
from bench.detect.replay import RealLog
from bench.detect.state import ROOT
from bench.world.tables import Place, Tables, write_run
from slurm_guard.config import ProgressConfig
from slurm_guard.model import Judgement, Run
from slurm_guard.progress.show import read_paths

DATA = ROOT.parent / "shared" / "data"
_MOST_GPUS = 2  # a node's boards are alike: two are played, and one where the run is long
_LONG_S = 4 * 3600.0
_LONGEST_COPIED_S = 8 * 3600.0
_BOARDS = (("GB200", "B200"), ("B200", "B200"), ("H200", "H200"), ("H100", "H100"), ("MI300X", "MI300X"),
           ("A5000", "A10"))  # fmt: skip
_SILENT_S = 900.0  # the audit's default: silence with work for so long asks for a look
_FLAGGED = ("ALERT", "REVIEW")
_BELIEVED = ("observed", "consistent")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Copy:
    """What is made of a real run, and what the audit should say of it."""

    name: str
    make: Callable[[RealLog, RealLog, Random], "_Made | None"]  # (run, another run): null: not of this one
    said: str
    is_right: Callable[[Judgement], bool]
    goal: float | None = None


@dataclass(frozen=True, slots=True)
class _Made:
    log: RealLog
    extra: Callable[[float], float] | None = None
    load: Callable[[float], float] | None = None


def measure_real(seed: str) -> list[Row]:
    """Rows of all real material; one that says so where the data is not there."""
    if not DATA.is_dir():
        return [row("real logs, GPU channels synthesised", f"{DATA} is not there: not measured", [], None)]
    logs = list(_logs())
    rows: list[Row] = []
    parsed = [real for real in logs if real.is_parsed and lasting_s(real) <= _LONGEST_COPIED_S]
    for copy in _COPIES:
        judged = _judged(copy, parsed if copy.name != "as it is" else logs, seed)
        rows += _of_copy(copy, judged)
    return [*rows, *paired.rows(DATA / "paired" / "mlperf_power", seed), *realism.rows(logs, seed)]


def judged_as_it_is(logs: Sequence[RealLog], seed: str) -> list[tuple[RealLog, Judgement]]:
    """The judgements of these logs, replayed as they are."""
    return _judged(_COPIES[0], logs, seed)


def _logs() -> Iterator[RealLog]:
    """Every MLPerf result and AlgoPerf attempt, in order of path."""
    for path in sorted((DATA / "progress").glob("mlperf_v5.0/*/*/result_*.txt")):
        system = json.loads((path.parent / "system.json").read_text("utf-8"))
        yield from read(
            path, "mlperf", _board(system["accelerator_model_name"]), int(system["accelerators_per_node"])
        )
    for path in sorted((DATA / "progress").glob("mlperf_aborted/*.txt")):
        yield from read(path, "aborted", "B200" if "GB200" in path.name else "H100", 8)
    for path in sorted((DATA / "progress").glob("algoperf_*/*/*/events.out.tfevents.*")):
        yield from read(path, "algoperf", "V100", 8)


def read(path: Path, kind: str, board: str, n_gpus: int) -> Iterator[RealLog]:
    """The log's longest track; nothing for an event file without scalars."""
    found = read_paths([str(path)], ProgressConfig())
    logs = [log for log in found.logs if log.n > 0]
    if not logs:
        return
    log = max(logs, key=lambda one: one.n)
    ours = (p for p in found.points if (p.file, p.track) == (log.file, log.track) and p.at is not None)
    points = tuple(sorted(ours, key=lambda p: (p.at or 0.0, p.offset or 0)))
    times = [float(p.at) for p in points if p.at is not None]
    most = _MOST_GPUS if max(times) - min(times) < _LONG_S else 1
    yield RealLog(str(path.relative_to(DATA)), kind, board, min(n_gpus, most), log, points)


def lasting_s(real: RealLog) -> float:
    """How long the log goes on."""
    times = real.times()
    return max(times) - min(times)


def _board(model: str) -> str:
    return next((board for word, board in _BOARDS if word in model), "A100")


def _judged(copy: _Copy, logs: Sequence[RealLog], seed: str) -> list[tuple[RealLog, Judgement]]:
    """One night for each kind and board: what a night's boards teach of each other is of their own kind."""
    found: list[tuple[RealLog, Judgement]] = []
    for kind, board in sorted({(real.kind, real.board) for real in logs}):
        tables, runs, made_of = Tables(), [], []
        night = [real for real in logs if (real.kind, real.board) == (kind, board)]
        for k, real in enumerate(night):
            rng = Random(f"{seed}/real/{copy.name}/{real.name}")
            made = copy.make(real, logs[(logs.index(real) + 7) % len(logs)], rng)
            if made is None:
                continue
            runs.append(_write(tables, Place(f"n{k}", 100 + k), made, rng))
            made_of.append(real)
        judged = judge_night(tables.frames(), tuple(runs))
        found += [
            (real, judged[run.id][0]) for real, run in zip(made_of, runs, strict=True) if run.id in judged
        ]
    return found


def _write(tables: Tables, place: Place, made: _Made, rng: Random) -> Run:
    world = replay.world_of(made.log, rng, made.extra, made.load)
    world.live()
    run = write_run(tables, world, place)
    replay.write_log(tables, place, made.log, world)
    return run


def _of_copy(copy: _Copy, judged: list[tuple[RealLog, Judgement]]) -> list[Row]:
    table = f"real logs, GPU channels synthesised: {copy.name} (mixed)"
    if copy.name != "as it is":
        return [row(table, copy.said, [copy.is_right(j) for _, j in judged], copy.goal)]
    rows = [
        row(table, "ALERT", [j.verdict.value == "ALERT" for _, j in judged], 0.0, at_most=True),
        row(table, "REVIEW", [j.verdict.value == "REVIEW" for _, j in judged], None),
        row(
            table,
            "CLEAR, of those whose progress parses",
            [_is_clear(j) for r, j in judged if r.is_parsed],
            90.0,
        ),
    ]
    for kind in ("mlperf", "algoperf", "aborted"):
        of_kind = [_is_clear(j) for r, j in judged if r.kind == kind and r.is_parsed]
        rows.append(row(table, f"CLEAR, of those whose progress parses: {kind}", of_kind, None))
    unclear = Counter(
        f"{j.verdict.value}: {'/'.join(real.name.split('/')[1:3])}" for real, j in judged if not _is_clear(j)
    )
    rows += [row(table, f"{n} times {said}", [], None) for said, n in sorted(unclear.items())]
    return rows


def _is_clear(judgement: Judgement) -> bool:
    return judgement.verdict.value == "CLEAR"


def row(table: str, what: str, cases: list[bool], goal: float | None, *, at_most: bool = False) -> Row:
    """A share in percent with its exact interval; without cases a remark."""
    hits, n = sum(cases), len(cases)
    low, high = clopper_pearson(hits, n)
    value = 100 * hits / n if n else None
    met = None if goal is None or value is None else (value <= goal if at_most else value >= goal)
    return {
        "table": table, "what": what, "n": n, "hits": hits, "value": value, "unit": "%",
        "lo": 100 * low, "hi": 100 * high, "goal": goal, "met": met,
    }  # fmt: skip


# -- copies


def _as_it_is(real: RealLog, _: RealLog, __: Random) -> _Made:
    return _Made(real)


def _half_at(real: RealLog) -> float:
    marks = replay.counted(real.points)
    return marks[len(marks) // 2][0]


def _slowed(real: RealLog, _: RealLog, rng: Random) -> _Made:
    """From half the records on everything takes 1.3 times as long, and the GPUs wait for it."""
    half_at, factor = _half_at(real), 1.3
    course = replay.loads_of(real, rng)

    def load(at: float) -> float:
        return course(at) if at <= half_at else course(half_at + (at - half_at) / factor) / factor

    slow = replace(real, points=replay.stretched(real.points, half_at, factor))
    return _Made(slow, load=load)


def _diverted(real: RealLog, _: RealLog, rng: Random) -> _Made | None:
    """From half the records on a quarter of each GPU works on something else, inside the ranks."""
    half_at, share = _half_at(real), 0.25
    if len(replay.counted(real.points)) < 12:
        return None
    course = replay.loads_of(real, rng)

    def load(at: float) -> float:
        return course(at) if at <= half_at else (1 - share) * course(half_at + (at - half_at) * (1 - share))

    made = replace(real, points=replay.stretched(real.points, half_at, 1 / (1 - share)))
    last_at = replay.counted(made.points)[-1][0]

    def extra(at: float) -> float:
        return share * 0.95 if half_at < at < last_at else 0.0

    return _Made(made, extra, load)


def _cut(real: RealLog, _: RealLog, rng: Random) -> _Made | None:
    """The log ends after half of its records and the GPUs work on for more than the configured silence."""
    marks = replay.counted(real.points)
    half_at = _half_at(real)
    if marks[-1][0] - half_at < 1.2 * _SILENT_S:
        return None
    course, end_at = replay.loads_of(real, rng), replay.span(real)[1]
    kept = tuple(p for p in real.points if p.at is not None and p.at <= half_at)
    last = kept[-1]._replace(at=end_at - 15.0, step=None, samples=None, tokens=None, loss=None, phase="end")
    return _Made(replace(real, points=(*kept, last)), load=course)


def _ended(real: RealLog, _: RealLog, rng: Random) -> _Made | None:
    """The job ends after half of the records, log and all: a shorter run."""
    half_at = _half_at(real)
    kept = tuple(p for p in real.points if p.at is not None and p.at <= half_at)
    short = replace(real, points=kept)
    return _Made(short, load=replay.loads_of(real, rng)) if short.is_parsed else None


def _spliced(real: RealLog, other: RealLog, rng: Random) -> _Made | None:
    """Another run's log, fitted to this one's length, lies over this one's work."""
    if other.name == real.name:
        return None
    (begin_at, end_at), (from_at, until_at) = replay.span(real), replay.span(other)
    factor = (end_at - begin_at) / (until_at - from_at)
    points = tuple(
        p._replace(at=begin_at + factor * (p.at - from_at)) for p in other.points if p.at is not None
    )
    return _Made(replace(real, log=other.log, points=points), load=replay.loads_of(real, rng))


_COPIES = (
    _Copy("as it is", _as_it_is, "", _is_clear),
    _Copy(
        "slowed by 30 % from half time on", _slowed, "no ALERT", lambda j: j.verdict.value != "ALERT", 100.0
    ),
    _Copy(
        "ended at half time", _ended, "no ALERT or REVIEW", lambda j: j.verdict.value not in _FLAGGED, 100.0
    ),
    _Copy("log cut, work goes on", _cut, "not CLEAR", lambda j: not _is_clear(j), 100.0),
    _Copy(
        "a quarter diverted from half time on",
        _diverted,
        "ALERT or REVIEW",
        lambda j: j.verdict.value in _FLAGGED,
    ),
    _Copy("another run's log", _spliced, "not believed", lambda j: j.progress.trust not in _BELIEVED),
)
