"""Does the GPU show the step that the log claims? Windows' own dominant periods against claimed step times.

Sampling at fs sees a step longer than 2/fs, and a window needs a few of them (ledger notes 7.6). What cannot
be resolved says nothing, for or against.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from math import comb

from slurm_guard.audit.noise import Shape, is_noise
from slurm_guard.audit.stats import mad_sigma, median
from slurm_guard.audit.track import Arc

STEPS_A_WINDOW = 3.0  # the sampler's own limit for a period. Documented (sampler/rhythm.py).
LOOKS_A_STEP = 2.1  # readings per step: Nyquist's two and some room. Judgement.
SURE_LOOKS = 3.0  # readings per step from which absence means something. Judgement.
# Boards report power as an average over one second or less: looks farther apart leave holes through which
# the short dip between two steps slips, and then its absence says nothing. Documented (threats 5.1).
FASTEST_HOLE_S = 1.25
NEAR = 0.12  # a period within this part of the step's is the step's: steps jitter inside a window. Judgement.
ECHOES = (1.0, 2.0, 3.0, 0.5)  # multiples that a sampled step shows as; half: forward and backward alike
CHANCE = 0.4  # a window of unrelated rhythm hits one of those with at most this probability (calculated: four
# bands of +-12 % over the octaves between two readings and a third of the window)
RARE = 0.03  # agreement by chance that is not taken for agreement. Judgement.
# A constant period within this part of a constant step, typical over the windows, is chance in 1 case of 10
# (a quarter of CHANCE, as its bands are a quarter as wide). Judgement.
PRECISE = 0.03
LEAST_WINDOWS = 8  # judgement
MAX_WINDOWS = 600  # bounds the work per run
WORKING = 0.5  # windows that idle more than half of the time say little about steps. Judgement.
FLAT_BUSY_PCT = 3.0  # utilisation is whole percents: a load without dips stays within. Judgement.
FLAT_POWER = 0.15  # 5..95 % range of power above idle that noise of meter and clocks makes. Judgement, of
# 2..9 % seen on simulated flat loads and 20..80 % on stepping ones.
# The same for windows that show nothing but noise, asked of all of them together: meters and kernels whose
# power scatters more than usual. Judgement: beyond, noise itself would hide the dips of steps.
NOISY_POWER = 0.30
CLEAR_POWER = 0.05  # the same where utilisation is not known: then power alone has to be flat. Judgement.


@dataclass(frozen=True, slots=True)
class Beat:
    """One window of one GPU as far as rhythm goes. `spread`: 5..95 % range of power over its mean above idle;
    `dips_pct`: 5..95 % range of utilisation; null: not given."""

    from_at: float
    until_at: float
    fs_hz: float
    periods: tuple[float, ...]
    busy_share: float | None
    spread: float | None
    dips_pct: float | None = None
    mixed: bool = False  # several processes worked: what beats there is nobody's own rhythm
    shape: Shape | None = None

    @property
    def flat(self) -> bool:
        """No period and no dip: nothing in this window that could be a step."""
        if self.periods or self.spread is None:
            return False
        if self.dips_pct is None:
            return self.spread <= CLEAR_POWER
        return self.dips_pct <= FLAT_BUSY_PCT and self.spread <= FLAT_POWER

    @property
    def even(self) -> bool:
        """No period and no dip in utilisation, but power scatters: noise perhaps. One window cannot tell."""
        if self.periods or self.spread is None or self.dips_pct is None:
            return False
        return self.dips_pct <= FLAT_BUSY_PCT and self.spread <= NOISY_POWER


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Counts over the windows whose claimed step could have been seen. A window without a period that is not
    flat either is unclear: too short, or its steps too ragged, for the sampler to be sure."""

    n_resolvable: int = 0
    n_matching: int = 0
    n_other: int = 0  # a period of their own, unrelated to the step's
    n_flat: int = 0
    n_sure: int = 0  # resolvable with room: only these may deny
    step_s: float | None = None  # typical claimed step time in them
    other_s: float | None = None  # typical unrelated period
    fs_hz: float = 0.0  # typical looks a second; 0.0 without windows
    off: float = 0.0  # typical difference of matching periods and claimed steps (or echoes), relative
    varied: bool = False  # the claimed step varies from window to window by more than the bands are wide

    @property
    def agrees(self) -> bool:
        """Of the windows with a period more show the claimed step than chance allows for."""
        voting = self.n_matching + self.n_other
        enough = self.n_matching >= 3 and _tail(voting, self.n_matching, CHANCE) < RARE
        # A load that never changes its period hits a band in all windows or in none: then the windows are one
        # draw, and only a near hit is rare.
        return enough and (self.varied or self.off <= PRECISE)

    @property
    def denies(self) -> bool:
        """Enough windows could have shown the step, and nearly all show something else, or nothing at all."""
        if self.n_sure < LEAST_WINDOWS or self.n_matching > 0.15 * self.n_sure:
            return False
        return self.n_flat + self.n_other >= 0.8 * self.n_resolvable


def _tail(n: int, k: int, p: float) -> float:
    """P(X >= k) of a binomial."""
    if n > 200:
        n, k = 200, max(1, k * 200 // n)
    return sum(comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k, n + 1))


def compare(beats: list[Beat], arcs: tuple[Arc, ...]) -> Rhythm:
    """Counts for a run's windows against its claimed steps."""
    stepped = [a for a in arcs if a.steps is not None and a.steps > 0]
    starts = [a.from_at for a in stepped]
    ends = [a.until_at for a in stepped]
    seen: list[tuple[float, Beat]] = []
    for beat in _thin(beats):
        step = _step_s(beat, stepped, starts, ends)
        if step is not None and _resolvable(beat, step) and not (beat.mixed and not _matches(beat, step)):
            seen.append((step, beat))
    matching = [b for s, b in seen if _matches(b, s)]
    other = [b for s, b in seen if b.periods and not _matches(b, s)]
    if not seen:
        return Rhythm()
    return Rhythm(
        len(seen),
        len(matching),
        len(other),
        _n_flat([b for _, b in seen]),
        sum(1 for s, b in seen if s * b.fs_hz >= SURE_LOOKS),
        median([s for s, _ in seen]),
        median([b.periods[0] for b in other]) if other else None,
        median([b.fs_hz for _, b in seen]),
        median([_off(b, s) for s, b in seen if _matches(b, s)]) if matching else 0.0,
        mad_sigma([s for s, _ in seen]) > NEAR * median([s for s, _ in seen]),
    )


def _n_flat(beats: list[Beat]) -> int:
    """Windows in which nothing could be a step: flat ones, and noisy ones where all of them show noise
    alone."""
    even = [b for b in beats if b.even]
    if is_noise([b.shape for b in even if b.shape is not None]):
        return sum(1 for b in beats if b.flat or b.even)
    return sum(1 for b in beats if b.flat)


def _thin(beats: list[Beat]) -> list[Beat]:
    stride = -(-len(beats) // MAX_WINDOWS)
    return beats[:: max(1, stride)]


def _step_s(beat: Beat, arcs: list[Arc], starts: list[float], ends: list[float]) -> float | None:
    """Claimed seconds per step over the window, where progress covers most of it."""
    first, last = bisect_right(ends, beat.from_at), bisect_left(starts, beat.until_at)
    steps = covered = 0.0
    for arc in arcs[first:last]:
        both = min(arc.until_at, beat.until_at) - max(arc.from_at, beat.from_at)
        if both > 0 and arc.steps is not None:
            covered += both
            steps += arc.steps * both / (arc.until_at - arc.from_at)
    return covered / steps if steps > 0 and covered >= 0.7 * (beat.until_at - beat.from_at) else None


def _resolvable(beat: Beat, step_s: float) -> bool:
    if beat.busy_share is not None and beat.busy_share < WORKING:
        return False
    if beat.fs_hz * FASTEST_HOLE_S < 1.0:
        return False
    long = beat.until_at - beat.from_at
    return step_s * beat.fs_hz >= LOOKS_A_STEP and step_s * STEPS_A_WINDOW <= long and beat.fs_hz * long >= 16


def _off(beat: Beat, step_s: float) -> float:
    """How far the nearest period is from the step or an echo, relative, less half a reading's doubt."""
    half = 0.5 / beat.fs_hz
    return min(
        max(0.0, abs(period - step_s * echo) - half / 2) / (step_s * echo)
        for period in beat.periods
        for echo in ECHOES
    )


def _matches(beat: Beat, step_s: float) -> bool:
    """Some period is the step's or its echo, within jitter and half a reading."""
    half = 0.5 / beat.fs_hz
    return any(
        abs(period - step_s * echo) <= NEAR * step_s * echo + half
        for period in beat.periods
        for echo in ECHOES
    )
