"""One suite for each assumption of the ledger, in which it does not hold. Each bends an equipped run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from bench.world import courses
from bench.world.spec import Course, Spec

Bend = Callable[[Spec, Random], None]


@dataclass(frozen=True, slots=True)
class Violation:
    """`assumes`: what the ledger takes for granted; `instead`: what is so in this suite."""

    name: str
    assumes: str
    instead: str
    bend: Bend


def _drift(spec: Spec, rng: Random) -> None:
    spec.drift = rng.uniform(0.03, 0.08)


def _noise(spec: Spec, rng: Random) -> None:
    spec.noise = rng.uniform(0.05, 0.15)


def _walk(spec: Spec, rng: Random) -> None:
    spec.cost_walk = rng.uniform(0.05, 0.15)


def _sequences(spec: Spec, rng: Random) -> None:
    spec.step_cv = rng.uniform(0.4, 0.8)


def _contention(spec: Spec, rng: Random) -> None:
    spec.contention = rng.uniform(0.2, 0.5)


def _shares(spec: Spec, rng: Random) -> None:
    spec.share_factor = (0.3, 1.4)


def _spin(spec: Spec, rng: Random) -> None:
    spec.spin_level = rng.uniform(0.6, 0.9)
    spec.sides = [
        side if side.diverted else replace(side, level=rng.uniform(0.6, 0.9)) for side in spec.sides
    ]


def _bend(spec: Spec, rng: Random) -> None:
    spec.bend = rng.choice([rng.uniform(0.4, 0.7), rng.uniform(1.4, 2.0)])


def _clock(spec: Spec, rng: Random) -> None:
    spec.log_clock_off_s, spec.log_clock_drift = (
        rng.choice([-1, 1]) * rng.uniform(60, 600),
        rng.uniform(-2e-3, 2e-3),
    )


def _sensor(spec: Spec, rng: Random) -> None:
    """A sensor that looks 25 ms of each 100 ms is noise of single readings, and a step that is as long."""
    spec.sensor_s, spec.noise = 0.025, rng.uniform(0.03, 0.1)


def _clocks(spec: Spec, rng: Random) -> None:
    spec.clock = courses.plateaus(rng, spec.length_s, 0.6, 1.0)


def _buffer(spec: Spec, rng: Random) -> None:
    spec.log_clock_s, spec.log_buffer_b = None, rng.choice([32_768, 131_072])


def _loader(spec: Spec, rng: Random) -> None:
    course: Course = courses.floored_walk(rng, spec.length_s, 0.8)
    spec.stages = [replace(s, course=course) if s.trains else s for s in spec.stages]


VIOLATIONS = (
    Violation(
        "idle-wanders",
        "a board's power is steady at the same work",
        "wanders by 3 to 8 % over minutes",
        _drift,
    ),
    Violation("readings-noisy", "a power reading errs by a percent", "by 5 to 15 %", _noise),
    Violation("cost-walks", "a step costs the same all the time", "walks by 5 to 15 % over minutes", _walk),
    Violation("sequences", "steps are alike", "differ by 40 to 80 %", _sequences),
    Violation(
        "contention",
        "two processes share a GPU without loss",
        "cost each other 20 to 50 % beside that",
        _contention,
    ),
    Violation(
        "shares-wrong", "processes' times are in proportion", "each off by a factor of 0.3 to 1.4", _shares
    ),
    Violation("spin-hot", "who waits draws little", "draws 60 to 90 % of the span", _spin),
    Violation("power-bends", "power grows straight with work", "with its 0.4th to 2nd power", _bend),
    Violation(
        "clock-minutes", "the log's clock is the node's", "off by 1 to 10 minutes, drifts by 0.2 %", _clock
    ),
    Violation(
        "sensor-duty", "readings average over their interval", "one looks for 25 ms, noise 3 to 10 %", _sensor
    ),
    Violation("clocks-jump", "the clock is steady", "jumps between 60 and 100 % every few minutes", _clocks),
    Violation(
        "log-late",
        "a log reaches the disk within a minute",
        "without a clock, in lumps of 32 or 128 KiB",
        _buffer,
    ),
    Violation("pace-ragged", "the pace is mostly even", "lost at random, down to a fifth", _loader),
)
