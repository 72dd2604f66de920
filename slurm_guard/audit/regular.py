"""How regular a log's own times and losses are, where its resolution can tell."""

import itertools
from dataclasses import dataclass
from math import sqrt
from statistics import median

from slurm_guard.audit.stats import mad_sigma, quantile
from slurm_guard.audit.track import Track


@dataclass(frozen=True, slots=True)
class Pace:
    """How even the claimed times are. `spread`: relative robust spread of seconds per step; `resolution` of
    the log's clock relative to a record's length; `drift`: rms distance of the times from a straight line
    over the steps, in units of the clock's resolution."""

    spread: float
    resolution: float
    drift: float
    n: int

    def walks(self, limit: float) -> bool | None:
        """Whether the times stray from a line as a loop's do whose records spread by `limit` each; null where
        the clock is too coarse to tell.

        Step times add up, so a loop walks at random: n records that each err by s of their length lie
        s sqrt(n/15) records' lengths from their line (detrended Brownian motion). Rounding alone makes 0.29
        of the clock's step.
        """
        far = limit * sqrt(self.n / 15)
        if self.resolution / sqrt(12) > 0.5 * far:
            return None
        return self.drift * self.resolution > 0.5 * self.resolution / sqrt(12) + far

    @property
    def in_phase(self) -> bool:
        """A coarse clock's stamps all keep one phase: the pace is a whole number of its ticks, without drift.

        A loop whose pace is any number drifts through the ticks: its distance is 0.29 of one (1/sqrt(12)).
        """
        return self.drift < 0.1


def pace_spread(track: Track, least: int) -> Pace | None:
    """Evenness of the claimed times; null with fewer than `least` intervals. What the log says, not what
    was observed; the longest segment alone."""
    stamps = _stamps(track)
    pairs = list(itertools.pairwise(stamps))
    if len(pairs) < least:
        return None
    paces = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in pairs]
    tick = _clock_step([t for t, _ in stamps])
    length = median([b[0] - a[0] for a, b in pairs])
    return Pace(mad_sigma(paces) / median(paces), tick / length, _drift(stamps) / tick, len(pairs))


def took_spread(track: Track, least: int) -> Pace | None:
    """Evenness of the step times that the log itself prints; null with fewer than `least` of them."""
    took = [m.took_s for m in track.marks if m.phase == "train" and m.took_s is not None and m.took_s > 0]
    if len(took) < least:
        return None
    middle = median(took)
    wide = (quantile(took, 0.9) - quantile(took, 0.1)) / 2.56  # sigma of a normal one
    return Pace(max(mad_sigma(took), wide) / middle, 0.0, 1.0, len(took))


def _stamps(track: Track) -> list[tuple[float, float]]:
    """(claimed time, step) of the longest segment, both rising."""
    found: dict[int, list[tuple[float, float]]] = {}
    for m in track.marks:
        if m.phase == "train" and m.claimed_at is not None and m.step is not None:
            part = found.setdefault(m.segment, [])
            if not part or (m.claimed_at > part[-1][0] and m.step > part[-1][1]):
                part.append((m.claimed_at, float(m.step)))
    return max(found.values(), key=len, default=[])


def _drift(stamps: list[tuple[float, float]]) -> float:
    """Rms distance of the times from their least-squares line over the steps, seconds."""
    n = len(stamps)
    mt, ms = sum(t for t, _ in stamps) / n, sum(s for _, s in stamps) / n
    spread = sum((s - ms) ** 2 for _, s in stamps)
    slope = sum((s - ms) * (t - mt) for t, s in stamps) / spread
    return float((sum((t - mt - slope * (s - ms)) ** 2 for t, s in stamps) / n) ** 0.5)


def _clock_step(times: list[float]) -> float:
    """The coarsest of some usual clock steps that all times keep to; seconds."""
    for step in (60.0, 1.0, 0.1, 0.01, 1e-3):
        if all(abs(t / step - round(t / step)) * step < 1e-6 for t in times):
            return step
    return 1e-6


@dataclass(frozen=True, slots=True)
class LossNoise:
    """Second differences of the loss (robust), its rounding, both relative to its level; `wild`: third
    differences over second ones, 1.8 for noise, small for a smooth curve."""

    noise: float
    rounding: float
    wild: float
    n: int

    @property
    def smooth(self) -> bool:
        """No more noise than rounding makes, or a curve that bends without noise."""
        return self.noise <= 1.5 * self.rounding or self.wild < 0.5


def loss_noise(track: Track, least: int) -> LossNoise | None:
    """How noisy the logged loss is; null where it cannot be told: too few points, or so coarse a rounding
    that noise would not show."""
    losses = [m.loss for m in track.marks if m.phase == "train" and m.loss is not None]
    if len(losses) < least or len(set(losses)) < 0.5 * len(losses):
        return None
    level = median([abs(v) for v in losses])
    quantum = max(_decimal_step(losses), 1e-9 * level)
    if level <= 0 or max(losses) - min(losses) < 300 * quantum:
        return None
    second = [a - 2 * b + c for a, b, c in zip(losses, losses[1:], losses[2:], strict=False)]
    third = [abs(b - a) for a, b in itertools.pairwise(second)]
    bend = median([abs(v) for v in second])
    wild = median(third) / bend if bend > 0 else 0.0
    return LossNoise(bend / level, quantum / level, wild, len(losses))


def _decimal_step(values: list[float]) -> float:
    """10**-d of the fewest decimals that hold every value; 0.0 beyond twelve."""
    for decimals in range(13):
        if all(round(v, decimals) == v for v in values):
            return float(10.0**-decimals)
    return 0.0
