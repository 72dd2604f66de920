"""A real log as a job: its records and times as they are, its GPU channels from the world's physics.

The pace of the log is the course of the load: where it counts at its usual rate the GPUs work at their usual
load, where it counts slowly for long something that counts nothing goes on (an evaluation) at another load,
and before the first record there is a start-up.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from bench.detect.figures import quantile
from bench.world.draw import draw, idle
from bench.world.physics import World
from bench.world.spec import Side, Spec, Stage
from bench.world.tables import EPOCH_AT, Place, Tables
from slurm_guard.wire import LogFile, Point

_USUAL = 0.9  # quantile of the rates that is called the usual one
_SLOWER = 0.8  # below this part of the usual rate the rest of the interval is something else
_LOOK_S = 60.0
_SLOWEST_SEEN_S = 2.0  # steps of this length show in readings at 1 Hz


@dataclass(frozen=True, slots=True)
class RealLog:
    """One file's first track. Times of the points in seconds after `begin_at`."""

    name: str
    kind: str  # mlperf, algoperf, aborted, paired
    board: str
    n_gpus: int
    log: LogFile
    points: tuple[Point, ...]

    def times(self) -> list[float]:
        """Claimed times; every point of these formats has one."""
        return [float(p.at) for p in self.points if p.at is not None]

    @property
    def is_parsed(self) -> bool:
        """Whether progress can be read from it: a counter at several times."""
        return len(counted(self.points)) >= 4


def counted(points: Sequence[Point]) -> list[tuple[float, float]]:
    """(time, counter) of the records that count, rising ones only."""
    found: list[tuple[float, float]] = []
    for point in points:
        value = next((v for v in (point.step, point.samples, point.tokens) if v is not None), None)
        if (
            value is None
            or point.at is None
            or (found and (point.at <= found[-1][0] or value <= found[-1][1]))
        ):
            continue
        found.append((point.at, float(value)))
    return found


def loads_of(real: RealLog, rng: Random) -> Callable[[float], float]:
    """The load of a GPU at a time of the log's clock."""
    marks = counted(real.points)
    evaluates, full, starts = rng.uniform(0.5, 0.9), rng.uniform(0.85, 0.97), rng.uniform(0.05, 0.5)
    rates = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(marks)]
    usual = quantile(rates, _USUAL) or 1.0
    begins, values = [0.0], [starts]
    for (from_at, _), (until_at, _), rate in zip(marks, marks[1:], rates, strict=False):
        part = min(1.0, rate / usual)
        begins.append(from_at)
        values.append(full * part if part >= _SLOWER else full)
        if part < _SLOWER:
            begins.append(from_at + part * (until_at - from_at))
            values.append(evaluates)
    if marks:  # what the log still says is a last evaluation; then the job takes itself down
        begins += [marks[-1][0], max(real.times()) + 1.0]
        values += [evaluates, 0.0]
    return lambda at: values[bisect_right(begins, at) - 1]


def stretched(points: Sequence[Point], from_at: float, factor: float) -> tuple[Point, ...]:
    """The same log in which everything after `from_at` takes `factor` times as long."""
    return tuple(
        p if p.at is None or p.at <= from_at else p._replace(at=from_at + factor * (p.at - from_at))
        for p in points
    )


def world_of(
    real: RealLog, rng: Random, extra: Callable[[float], float] | None = None,
    load: Callable[[float], float] | None = None,
) -> World:  # fmt: skip
    """The run before it lives; `extra` diverts so much of a GPU inside the ranks.

    `load` is another run's, where a log is laid over work that it is not of. Times are the log's clock.
    """
    begin_at, until_at = span(real)
    course = load or loads_of(real, rng)
    spec = spec_of(real, until_at - begin_at, rng)
    level, period_s = rng.uniform(0.6, 0.95), step_s(real)

    def when(t_s: float, _: Stage | None) -> float:
        return course(begin_at + t_s)

    spec.sides = [Side("train", spec.all_gpus, when, level, diverted=False, in_rank=True, period_s=period_s)]
    if extra is not None:
        other = Side("other", spec.all_gpus, lambda t_s, _: extra(begin_at + t_s), level, in_rank=True)
        spec.sides.append(other)
    return World(spec, rng)


def step_s(real: RealLog) -> float | None:
    """One step's time, where the log counts steps or says it, and it is long enough to be seen."""
    told = [p.took_s for p in real.points if p.took_s is not None]
    if not told and all("epoch" not in p.flags for p in real.points):
        steps = [(p.at, p.step) for p in real.points if p.step is not None and p.at is not None]
        rates = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(steps) if b[0] > a[0] and b[1] > a[1]]
        told = [1 / usual] if (usual := quantile(rates, _USUAL)) else []
    middle = quantile(told, 0.5)
    return middle if middle is not None and middle >= _SLOWEST_SEEN_S else None


def span(real: RealLog) -> tuple[float, float]:
    """Begin and end of the job: a little around the log."""
    times = real.times()
    return min(times) - 20.0, max(times) + 15.0


def spec_of(real: RealLog, length_s: float, rng: Random) -> Spec:
    """A run of the log's length in which nothing happens yet."""
    spec = draw(
        rng, board=real.board, n_gpus=real.n_gpus, length_s=float(int(length_s) + 1), window_s=60.0,
        has_log=False, measured=frozenset({"energy", "busy", "shares"}),
    )  # fmt: skip
    spec.is_self_slowed = False
    spec.stages = [idle()]
    return spec


def write_log(
    tables: Tables, place: Place, real: RealLog, world: World, lasting: tuple[float, float] | None = None
) -> None:
    """The real records as a node's reader hands them over, seen by looks of a minute."""
    begin_at, until_at = lasting or span(real)
    length_s = until_at - begin_at
    pid = world.processes["r0.0"].pid
    read = {"read": 1, "read_at": EPOCH_AT + length_s + 10, "file": 0, "track": real.log.track}
    told = {
        "path": real.log.path,
        "how": "fd",
        "source": real.log.source,
        "bind_conf": 0.95,
        "ino": place.job_id,
    }
    size = {"size": real.log.read_b, "read_b": real.log.read_b, "n": len(real.points)}
    tables.rows["logs"].append(
        place.row(**read, **told, **size, pids=[pid], problems=list(real.log.problems))
    )
    for point in real.points:
        if point.at is None:
            continue
        at_s = point.at - begin_at
        look_s = at_s // _LOOK_S * _LOOK_S
        row: dict[str, Any] = {**point._asdict(), **read}
        row["at"] = EPOCH_AT + at_s
        row["obs_lo_at"], row["obs_hi_at"] = EPOCH_AT + look_s, EPOCH_AT + min(look_s + _LOOK_S, length_s + 3)
        row["flags"] = [flag for flag in point.flags if flag == "epoch"]
        tables.rows["points"].append(place.row(**row))
