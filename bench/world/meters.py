"""A board with its sensors: what the sampler would have read each second, summed over a window."""

import math
from dataclasses import dataclass, field
from random import Random

from bench.world.spec import BOARDS, Mix, Process, Spec

_NOMINAL_HZ = 1.4e9
_DRIFT_STEP = 0.005  # the drift follows its noise by this much a second: minutes
_CONTEXT_AFTER_S = 30.0  # a run's context is there by then


@dataclass(slots=True)
class Load:
    """One process's work on one GPU in one second."""

    process: Process
    demand: float
    level: float
    diverted: bool = False
    is_loop: bool = False
    period_s: float | None = None
    share: float = 0.0
    mix: Mix = (0.0, 0.0, 0.0, 0.0)


@dataclass(slots=True)
class Tally:
    """Sums over one window."""

    n: int = 0
    energy_j: float = 0.0
    busy_s: float = 0.0
    cycles: float = 0.0
    sm_s: dict[str, float] = field(default_factory=dict)  # process name -> seconds
    pipe_s: list[float] = field(default_factory=lambda: [0.0] * 4)  # as in Mix; all 0 where not measured
    looks: list[tuple[float, float | None, float | None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Beat:
    """The loop's rhythm in this second: where the step is, steps per second, share of it that computes."""

    phase: float
    steps_per_s: float
    duty: float
    clock: float  # ratio of the nominal clock


class Board:
    """One GPU: idle and full power, gain and drift of its own sensor."""

    def __init__(self, spec: Spec, rng: Random, idle_w: float, gain: float) -> None:
        _, self.limit_w, self.context_w = BOARDS[spec.board]
        self.spec, self.rng, self.idle_w, self.gain = spec, rng, idle_w, gain
        self.has_pipes = "pipes" in spec.measured
        self.is_blind = spec.measured <= {"shares", "list"}  # no meter whose readings could err
        self._gauss = rng.gauss
        self.overlap = 0.0  # how far two processes' kernels run at the same instants; the world sets it
        self.tally = Tally()
        self._drift = 0.0

    def read(self, t_s: float, loads: list[Load], beat: Beat, is_seen: bool) -> None:
        """One second of the board's life; readings count where somebody looked."""
        spec, sensor_s = self.spec, self.spec.sensor_s
        total = mean = now = 0.0
        for load in loads:
            total += load.share
            mean += load.share * load.level
            now += _level_now(load, t_s, beat, sensor_s)
        if self.is_blind:
            self._count(loads, 0.0, 0.0, total * _NOMINAL_HZ * beat.clock, is_seen)
            return
        self._drift += _DRIFT_STEP * (10 * spec.drift * self._gauss(0, 1) - self._drift)
        power_w = self._power_w(t_s, mean, total > 0, beat.clock) * (1 + spec.noise * self._gauss(0, 1))
        look_w = self._power_w(t_s, now, total > 0, beat.clock) * (1 + 2 * spec.noise * self._gauss(0, 1))
        if not is_seen:
            return
        busy = self._busy([load.share for load in loads], total)
        self._count(loads, power_w, busy, total * _NOMINAL_HZ * beat.clock, is_seen)
        busy_now = busy if mean <= 0 else min(1.0, busy * now / mean)
        self.tally.looks.append((t_s, look_w * 1000, float(int(100 * busy_now))))

    def _count(self, loads: list[Load], power_w: float, busy: float, cycles: float, is_seen: bool) -> None:
        if not is_seen:
            return
        tally = self.tally
        tally.n += 1
        tally.energy_j += power_w
        tally.busy_s += busy
        tally.cycles += cycles
        sm_s, pipe_s = tally.sm_s, tally.pipe_s
        for load in loads:
            share = load.share
            if share > 0:
                name = load.process.name
                sm_s[name] = sm_s.get(name, 0.0) + share
                if self.has_pipes:
                    tensor, ints, fp32, dram = load.mix
                    pipe_s[0] += share * tensor
                    pipe_s[1] += share * ints
                    pipe_s[2] += share * fp32
                    pipe_s[3] += share * dram

    def _power_w(self, t_s: float, level: float, is_at_work: bool, clock: float) -> float:
        base_w = self.idle_w
        if is_at_work or _CONTEXT_AFTER_S < t_s < self.spec.length_s:
            base_w = self.idle_w + self.context_w
        over = min(level, 1.0) if self.spec.bend == 1.0 else min(level, 1.0) ** self.spec.bend
        return (base_w + over * (self.limit_w - base_w) * clock**2) * (1 + self._drift) * self.gain

    def _busy(self, shares: list[float], total: float) -> float:
        """Share of the second with any kernel: processes may overlap."""
        if len(shares) < 2 or total >= 1:
            return min(1.0, total)
        by_chance = 1 - math.prod(1 - share for share in shares)
        return max(*shares, total - self.overlap * (total - by_chance))


def _level_now(load: Load, t_s: float, beat: Beat, sensor_s: float) -> float:
    """The level that a sensor shows which averages over `sensor_s` before this instant."""
    if load.is_loop and beat.steps_per_s > 0 and beat.duty > 0:
        width = sensor_s * beat.steps_per_s  # in steps
        if width < 1.0:
            seen = _overlap(beat.phase - width, beat.phase, beat.duty) / width
            return load.level * min(1.0, load.share / beat.duty) * seen
    if load.period_s is not None:
        return load.level if t_s % load.period_s < load.period_s * load.share else 0.0
    return load.share * load.level


def _overlap(begin: float, end: float, duty: float) -> float:
    """How much of begin..end lies in the computing parts 0..duty of all steps."""
    found = 0.0
    for place in range(math.floor(begin), math.floor(end) + 1):
        part = min(end, place + duty) - max(begin, place)
        if part > 0.0:
            found += part
    return found
