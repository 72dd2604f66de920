"""MLPerf runs with their node's real power, second by second: the energy of these jobs is measured.

A node's power is that of eight boards and of the rest of it; what the rest takes is a guess, and the same for
all, so that what differs between the runs is real.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from bench.detect import real as reals
from bench.detect import replay
from bench.detect.night import judge_night
from bench.detect.replay import RealLog
from bench.world.meters import Tally
from bench.world.physics import Window, World
from bench.world.tables import Place, Tables, write_run
from slurm_guard.model import Judgement

_BOARDS = 8
_MOST_GPUS = 2  # of the eight, which are read as one: their node's power is divided evenly
_REST_W = 1800.0  # of the node: processors, memory, fans. Judgement
_WINDOWS_S = (60, 10)  # as a site runs it, and finer: these runs take 4 to 15 minutes
Row = dict[str, Any]
Power = dict[int, float]  # whole second of the epoch -> W of one board


def rows(folder: Path, seed: str) -> list[Row]:
    """The runs as they are, with another run's log, and with some of their progress taken away."""
    runs = [(log, power) for log, power in _pairs(folder) if log.is_parsed]
    return [row for window_s in _WINDOWS_S for row in _of_windows(runs, seed, window_s)]


def _of_windows(runs: list[tuple[RealLog, Power]], seed: str, window_s: int) -> list[Row]:
    made = "energy real; no utilisation; process list synthesised"
    table = f"real logs with real power, windows of {window_s} s ({made})"
    plain = _judged(runs, seed, window_s)
    less = _judged([(_fewer(log), power) for log, power in runs], seed, window_s)
    others = [(_laid_over(log, runs[(k + 1) % len(runs)][0]), power) for k, (log, power) in enumerate(runs)]
    spliced = _judged(others, seed, window_s)
    found = [
        reals.row(table, f"{j.verdict.value}, {j.progress.trust}: {log.name}", [], None)
        for (log, _), j in zip(runs, plain, strict=True)
    ]
    found.append(reals.row(table, "ALERT", [j.verdict.value == "ALERT" for j in plain], 0.0, at_most=True))
    found.append(reals.row(table, "CLEAR", [j.verdict.value == "CLEAR" for j in plain], 90.0))
    learnt = [j.cost.value is not None for j in plain]
    found.append(reals.row(table, "a cost of progress could be learnt", learnt, None))
    flagged = [j.verdict.value in ("ALERT", "REVIEW") for j in less]
    found.append(
        reals.row(table, "a quarter of the second half's progress taken away: ALERT or REVIEW", flagged, None)
    )
    shares = [j.unexplained.mid_gpu_ms / j.run.allocated_gpu_ms for j in less]
    said = ", ".join(f"{100 * share:.0f}" for share in shares)
    found.append(reals.row(table, f"… U, of the allocation (true: about 12 %): {said} %", [], None))
    trust = [j.progress.trust not in ("observed", "consistent") for j in spliced]
    return [*found, reals.row(table, "another run's log over this one's power: not believed", trust, None)]


def _pairs(folder: Path) -> list[tuple[RealLog, Power]]:
    found = []
    for path in sorted(folder.glob("*/result_*.txt")):
        power = _power(path.with_name(f"power_{path.stem}_node_0.txt"))
        for log in reals.read(path, "paired", "B200", _MOST_GPUS):
            inside = tuple(p for p in log.points if p.at is not None and min(power) <= p.at <= max(power))
            found.append((replace(log, points=inside), power))
    return found


def _power(path: Path) -> Power:
    """One board's power; the meter's own loss is in its efficiency."""
    found: Power = {}
    efficiency = 1.0
    for line in path.read_text("utf-8").splitlines():
        word = json.loads(line.removeprefix(":::MLLOG "))
        if word["key"] == "conversion_eff":
            efficiency = float(word["value"])
        elif word["key"] == "power_reading":
            at = int(word["time_ms"] / 1000)
            found[at] = max(0.0, (float(word["value"]) * efficiency - _REST_W) / _BOARDS)
    return found


def _judged(runs: Sequence[tuple[RealLog, Power]], seed: str, window_s: int) -> list[Judgement]:
    tables, made = Tables(), []
    for k, (log, power) in enumerate(runs):
        place = Place(f"n{k}", 100 + k)
        world = _world(log, power, Random(f"{seed}/paired/{log.name}"), window_s)
        made.append(write_run(tables, world, place))
        replay.write_log(tables, place, log, world, (float(min(power)), float(max(power))))
    judged = judge_night(tables.frames(), tuple(made))
    return [judged[run.id][0] for run in made]


def _world(log: RealLog, power: Power, rng: Random, window_s: int) -> World:
    """A run whose windows hold the real readings; seconds that were not read are not covered."""
    first, last = min(power), max(power)
    spec = replay.spec_of(log, float(last - first), rng)
    spec.measured = frozenset({"energy", "shares"})
    world = World(spec, rng)
    for from_s in range(0, last - first, window_s):
        until_s = min(from_s + window_s, last - first)
        read = [(s, power[first + s]) for s in range(from_s, until_s) if first + s in power]
        if not read:
            continue
        for gpu in spec.all_gpus:
            rank = world.rank(gpu)
            tally = Tally(len(read), sum(w for _, w in read), 0.0, 0.0, {rank: 0.9 * len(read)})
            tally.looks = [(float(s), 1000 * w, None) for s, w in read]
            world.windows.append(Window(gpu, float(from_s), float(until_s), tally, {rank: 0.0}))
    for process in world.processes.values():
        process.last_s = spec.length_s
    return world


def _fewer(log: RealLog) -> RealLog:
    """The log of a run that gave a quarter of its work to something else in its second half."""
    marks = replay.counted(log.points)
    half = marks[len(marks) // 2][1]

    def less(value: int | None) -> int | None:
        return value if value is None or value <= half else int(half + 0.75 * (value - half))

    return replace(
        log,
        points=tuple(
            p._replace(step=less(p.step), samples=less(p.samples), tokens=less(p.tokens)) for p in log.points
        ),
    )


def _laid_over(log: RealLog, other: RealLog) -> RealLog:
    times, theirs = log.times(), other.times()
    factor = (times[-1] - times[0]) / (theirs[-1] - theirs[0])
    points = tuple(
        p._replace(at=times[0] + factor * (p.at - theirs[0])) for p in other.points if p.at is not None
    )
    return replace(log, log=other.log, points=points)
