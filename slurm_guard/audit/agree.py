"""Does anything that the job does not control agree with its log, or deny it?"""

import itertools
from dataclasses import dataclass

from slurm_guard.audit.grid import Slots
from slurm_guard.audit.spans import Kind
from slurm_guard.audit.stats import median
from slurm_guard.audit.track import Arc, Track

LEAST_ARCS = 5  # records inside idle stretches before their pace is compared. Judgement.
LEAST_PAUSES = 3  # of log and GPU alike before they agree. Judgement.
ALIKE = 0.7  # pace without the GPUs over pace with them from which both are the same. Judgement.


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the job does not control says about its claims. Each is true, false (denied) or null (cannot
    tell).
    """

    rhythm: bool | None
    pace: bool | None  # work follows the pace of progress
    pauses: bool | None  # work stops where progress stops

    @property
    def agreed(self) -> bool:
        """Anything agrees, and the rhythm does not deny: a job that stops or slows its own GPU when its log
        does has both in its hands."""
        return self.rhythm is not False and True in (self.rhythm, self.pace, self.pauses)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Stretches in which the log moved while every GPU of the run was idle, and the pace there against the
    pace while they worked (1: the same; null: they never worked, or no pace can be given)."""

    spans: tuple[tuple[float, float], ...] = ()
    n_arcs: int = 0
    pace_ratio: float | None = None

    @property
    def decoupled(self) -> bool:
        """The log moves alike with and without the GPUs: its steps are not made by them."""
        return self.n_arcs >= LEAST_ARCS and self.pace_ratio is not None and self.pace_ratio > ALIKE


def shares_pauses(slots: Slots, kinds: list[dict[Kind, float]], n_gpus: int) -> bool | None:
    """True where at least three pauses of the log inside the run, and half of them, are pauses of the run's
    own GPU work. One or two prove nothing: whatever suspends a job stops both."""
    full = n_gpus * slots.width_s * 1000
    share = [own / full for own in slots.own]
    train = [s for s, k in zip(share, kinds, strict=True) if k.get(Kind.TRAIN, 0.0) > 0.99]
    if not train:
        return None
    usual = median(train)
    paused = {Kind.MARKED, Kind.OVERLONG, Kind.RECURRING, Kind.PAUSE, Kind.SILENT}
    inside = [sum(k.get(p, 0.0) for p in paused) > 0.5 for k in kinds]
    pauses = [
        [share[k] for k, _ in group]
        for is_pause, group in itertools.groupby(enumerate(inside), key=lambda place: place[1])
        if is_pause
    ]
    rests = [shares for shares in pauses if median(shares) < 0.5 * usual]
    return True if len(rests) >= LEAST_PAUSES and len(rests) >= 0.5 * len(pauses) else None


def quiet_claims(slots: Slots, track: Track, n_gpus: int, slack_s: float) -> Quiet:
    """Idle stretches of three and more slots, every GPU seen, inside which (`slack_s` off each end, for
    clocks
    and buffers) the log moved three times and more."""
    full = n_gpus * slots.width_s * 1000
    spans: list[tuple[float, float]] = []
    quiet: list[Arc] = []
    begin: int | None = None
    for k in range(len(slots.cov) + 1):
        idle = k < len(slots.cov) and _rested(slots, k, full)
        if idle and begin is None:
            begin = k
        elif not idle and begin is not None:
            a, b = slots.at(begin) + slack_s, slots.at(k) - slack_s
            inside = [r for r in track.arcs if a <= r.from_at - r.blur_s and r.until_at + r.blur_s <= b]
            if k - begin >= 3 and len(inside) >= 3:
                spans.append((slots.at(begin), slots.at(k)))
                quiet += inside
            begin = None
    busy = [arc for arc in track.arcs if _worked(arc, slots, 0.5 * full)]
    ratio = _pace_of(quiet) / _pace_of(busy) if len(quiet) and len(busy) >= LEAST_ARCS else None
    return Quiet(tuple(spans), len(quiet), ratio)


def _rested(slots: Slots, k: int, full: float) -> bool:
    """Every GPU was seen in slot `k`, could say whether it worked, and did not."""
    return slots.cov[k] - slots.blind[k] >= 0.9 * full and slots.active[k] <= 0.01 * full


def _worked(arc: Arc, slots: Slots, least: float) -> bool:
    k = int((0.5 * (arc.from_at + arc.until_at) - slots.from_at) / slots.width_s)
    return 0 <= k < len(slots.active) and slots.active[k] >= least


def _pace_of(arcs: list[Arc]) -> float:
    """Typical units per second."""
    return median([arc.units / (arc.until_at - arc.from_at) for arc in arcs])
