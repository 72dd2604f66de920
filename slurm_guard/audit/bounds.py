"""What a run's unexplained GPU time is at least, centrally and at most, and what this audit could have
seen.
"""

from dataclasses import dataclass, replace
from math import hypot

from slurm_guard.audit.blocks import Fit
from slurm_guard.audit.cost import LEAST_MODE, LOW, visible_share
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.ledger import Sums
from slurm_guard.audit.spans import Kind
from slurm_guard.audit.stats import mean_error, step_sigma
from slurm_guard.audit.study import PIPES, SPIN, Study
from slurm_guard.model import Bounds

Z = 1.96  # 95 %
# NVML's per-process times do not add up to the device's; how far the proportions err is not documented.
# Judgement: a tenth of the smaller part.
SHARE_ERROR = 0.10
MOST_SHARE_ERROR = 0.05  # of the allocation; beyond it the two readings contradict each other. Judgement.
BUSY_ERROR = 0.05  # utilisation counts a GPU with one small kernel as busy. Judgement.
ALONE = 0.02  # share of a stretch's work by others up to which its price is the run's own. Judgement.
# Whole milliseconds, whole percents, readings at a window's edge: what counting rounds away. Judgement.
COUNTED = 0.0002
SPLIT_ERROR = 0.03  # own time per unit grows when another process evicts caches. Judgement.


# Work that the log's own shape excuses, and nothing else: the upper bound holds it (law 4, rulings 13).
EXCUSED = (Kind.STARTUP, Kind.MARKED, Kind.RECURRING, Kind.PAUSE, Kind.TAIL, Kind.WAIT)


@dataclass(frozen=True, slots=True)
class Left:
    """Share of training work that θ leaves over: lower, central, upper; what is waiting; what would be
    left over centrally, were the parts of a log whose counter began anew one training (`as_one`); and the
    lower one if steps cannot have become larger (`asked`): that much a person may be asked about."""

    lo: float = 0.0
    mid: float = 0.0
    hi: float = 0.0
    wait: float = 0.0
    as_one: float = 0.0
    asked: float = 0.0


def left_over(fits: dict[str, Fit], *, is_split: bool, pipes: Fit | None = None) -> Left:
    """Residual share of training work, clipped once for the run (rulings 15).

    Each channel errs in its own honest way (cycles count spinning, energy follows temperature and clocks,
    busy time every stall), and extra work shows in all of them: the least of them is held against the run,
    the most is the upper bound. Busy time alone holds nothing against anybody.
    """
    shares = {c: s for c, fit in fits.items() if (s := _share(fit, is_split=is_split)) is not None}
    if not shares:
        return Left()
    meters = [s for channel, s in shares.items() if channel != "busy"]
    busy = shares.get("busy", (0.0, 0.0, 0.0, 0.0))
    if not meters:
        return Left(0.0, 0.0, min(1.0, busy[2] + BUSY_ERROR))
    every = [*meters, busy] if "busy" in shares else meters
    # Meters divided among unlike processes by their time err either way, each in its own: what the run's own
    # process hides beside another one has to show in all of them.
    hi = min(s[2] for s in every) if is_split else max(s[2] for s in every)
    as_one = min(s[3] for s in every)
    both = at_once([fit for channel, fit in fits.items() if channel in shares])
    if _waits(fits, None if is_split else pipes):
        # A light load of another kind looks the same (rulings 17): the upper bound holds it. Beside another
        # process the steps take longer anyway.
        return Left(0.0, 0.0, hi if is_split else max(hi, busy[2]), busy[1], as_one)
    mid = min(*(s[1] for s in every), both)
    asked = max(0.0, min(min(s[0] for s in every), mid - max(s[1] - s[0] for s in every)))
    kind = [low for c, fit in fits.items() if c in shares and (low := _refit_low(fit, is_split)) is not None]
    return Left(min([asked, *kind]), mid, hi, 0.0, as_one, asked)


def _refit_low(fit: Fit, is_split: bool) -> float | None:
    """Lower residual share with a new cost after each lasting rise; null where there is none."""
    refit, theta = fit.explained_refit, fit.theta
    if not fit.refit or refit is None or theta is None:
        return None
    return max(0.0, 1.0 - refit * (1.0 + Z * hypot(theta.rel_error, SPLIT_ERROR if is_split else 0.0)))


def at_once(fits: list[Fit]) -> float:
    """Residual share of training work that all channels show in the same blocks.

    Each channel has its own honest reasons to be dearer at one time than at another (a hot board is slower
    and draws less, a stall costs time and no energy); what was there is dearer in all of them at once.
    """
    return min(_at_once(fits, apart=False), _at_once(fits, apart=True))


def _at_once(fits: list[Fit], *, apart: bool) -> float:
    times = [b.active_ms for b in fits[0].blocks]
    over = zip(*(fit.over(apart=apart) for fit in fits), strict=True)
    total = sum(times)
    return max(0.0, sum(t * min(o) for t, o in zip(times, over, strict=True)) / total) if total > 0 else 0.0


def spare(left: Left, share: float) -> Left:
    """The same without `share` of the work, which only the upper bounds may know."""
    return replace(
        left,
        lo=max(0.0, left.lo - share),
        mid=max(0.0, left.mid - share),
        asked=max(0.0, left.asked - share),
    )


def _share(fit: Fit, *, is_split: bool) -> tuple[float, float, float, float] | None:
    """(lower, central, upper) residual share in one channel, and the central one with one cost for all stages
    of the log; null without θ.

    A log whose counter began anew may be of several trainings: lower and central value give each stage its
    own cost, the upper one gives all of them the cheapest.
    """
    one, apart, theta = fit.explained, fit.explained_apart, fit.theta
    if one is None or apart is None or theta is None:
        return None
    shared = Z * hypot(theta.rel_error, SPLIT_ERROR if is_split else 0.0)
    # A neighbour can only make own steps dearer: where the price was learnt without one, that speaks for the
    # run and never against it.
    error = Z * theta.rel_error if _learnt_alone(fit) else shared
    most = max(one, apart)
    values = (most * (1.0 + shared), most, min(one, apart) * (1.0 - error), one)
    low, middle, high, as_one = (min(1.0, max(0.0, 1.0 - v)) for v in values)
    return low, middle, high, as_one


def _learnt_alone(fit: Fit) -> bool:
    """Whether enough stretches without another process are there to have given the cheap mode."""
    alone = sum(1 for b in fit.blocks if b.stray_ms <= ALONE * b.active_ms)
    return alone >= max(LEAST_MODE, LOW * len(fit.blocks))


def _waits(fits: dict[str, Fit], pipes: Fit | None) -> bool:
    """The time that steps take longer than at best is spent at the power of a GPU that waits (rulings 17),
    and with empty pipes where the GPU can say (`pipes`)."""
    energy, busy = fits.get("energy"), fits.get("busy")
    if energy is None or busy is None or energy.theta is None or busy.theta is None:
        return False
    longer = busy.work - busy.units * busy.theta.value
    more = energy.work - energy.units * energy.theta.value
    usual = energy.theta.value / busy.theta.value
    if longer <= 0.02 * busy.work or more / longer >= SPIN * usual:
        return False
    if pipes is None or pipes.theta is None:
        return True
    worked = pipes.work - pipes.units * pipes.theta.value
    return worked <= PIPES * longer


@dataclass(frozen=True, slots=True)
class Part:
    """GPU-µs with bounds."""

    lo: float
    mid: float
    hi: float


def of_others(slots: Slots, sums: Sums, which: str, allocated_us: float) -> Part:
    """Time of stray or foreign processes: noise of the shares, and what NVML's times do not add up to."""
    mid = float(sums.total(which))
    if mid <= 0:
        return Part(0.0, 0.0, 0.0)
    values: list[float] = getattr(slots, which)
    raw = 1000 * sum(getattr(slots, f"raw_{which}"))
    working = [v / a for v, a in zip(values, slots.active, strict=True) if a > 0 and v > 0]
    noise = (
        Z
        * mean_error(working, step_sigma(working))
        * sum(1000 * a for a, v in zip(slots.active, values, strict=True) if v > 0)
    )
    active = sum(sums.total(p) for p in ("own", "stray", "foreign"))
    # Two errors of different origin: the proportions, and what the readings do not add up to.
    systematic = hypot(SHARE_ERROR * min(mid, max(active - mid, 0.2 * mid)), abs(mid - raw) / 2)
    half = noise + min(systematic, MOST_SHARE_ERROR * allocated_us)
    return Part(max(0.0, mid - half), mid, min(float(sums.total("cov")), mid + half))


def unexplained(
    study: Study, sums: Sums, slots: Slots, denied: tuple[float, float], facts: tuple[int, Left | None]
) -> tuple[Bounds, Bounds]:
    """U with its bounds: (of the run as a whole, without what other runs and users did on its GPUs).

    `denied`: shares of the credited training that are denied, and that are surely so (denial.py). `facts`:
    allocated GPU-ms, and what progress leaves over; null where the audit has no progress to hold the work
    against."""
    allocated_ms, left = facts
    stray = of_others(slots, sums, "stray", 1000.0 * allocated_ms)
    foreign = of_others(slots, sums, "foreign", 1000.0 * allocated_ms)
    own = _unjudged(sums) if left is None else _own((study, left), sums, slots, denied)
    mine = _together(own, stray)
    whole = _together(mine, foreign)
    seen = sum(sums.total(p) for p in ("own", "stray", "foreign"))
    cap = min(allocated_ms, max(seen, sums.total("cov")) / 1000, (1.0 + COUNTED) * seen / 1000)
    return _bounds(whole, cap), _bounds(mine, cap)


def _together(a: Part, b: Part) -> Part:
    """Sum of two parts with independent errors: half-widths add as squares do."""
    mid = a.mid + b.mid
    return Part(
        max(0.0, mid - hypot(a.mid - a.lo, b.mid - b.lo)), mid, mid + hypot(a.hi - a.mid, b.hi - b.mid)
    )


def _unjudged(sums: Sums) -> Part:
    """Without progress nothing explains the work, nothing but a log that fell silent speaks against it."""
    own = float(sums.total("own"))
    return Part(float(sums.get(Kind.SILENT, "own")), own, own)


def _own(judged: tuple[Study, Left], sums: Sums, slots: Slots, denied: tuple[float, float]) -> Part:
    study, left = judged
    train = float(sums.get(Kind.TRAIN, "own"))
    silent = float(sums.get(Kind.SILENT, "own"))
    slow = float(sum(sums.get(kind, "own") for kind in (Kind.SLOW_START, Kind.OVERLONG, Kind.NONE)))
    lo = left.lo * train + silent
    mid = left.mid * train + silent + slow
    # Credited or excused without anything that agrees: only the upper bound knows it (law 4).
    doubtful = sum(sums.get(kind, "own") for kind in EXCUSED)
    hi = left.hi * train + silent + slow + doubtful + 1000 * sum(slots.doubt)
    credited = 1.0 - left.mid - left.wait
    lo += credited * train * denied[1]
    mid += credited * train * denied[0]
    if denied[0] > 0.0 or not study.agreement.agreed:
        hi += (1.0 - left.hi) * train
    return Part(lo, max(lo, mid), max(hi, mid))


def _bounds(part: Part, cap_ms: float) -> Bounds:
    low, mid, high = (
        int(min(v / 1000, cap_ms) + 0.5) for v in (part.lo, part.mid, (1.0 + COUNTED) * part.hi)
    )
    return Bounds(min(low, mid), mid, max(high, mid))


def smallest_visible_ms(study: Study, sums: Sums, left: Left, worth_us: float) -> int | None:
    """Smallest diversion inside the run's own training that would have shown; null: none could.

    A finding asks for `worth_us` in the lower bound, which the least certain channel sets. At the power of
    waiting a diversion as large as the waiting itself would not show.
    """
    thetas = [fit.theta for channel, fit in study.own.items() if fit.theta is not None and channel != "busy"]
    train_us = sums.get(Kind.TRAIN, "own")
    if not thetas or train_us <= 0:
        return None
    share = max(left.wait, worth_us / train_us + max(visible_share(theta) for theta in thetas))
    return int(share * train_us / 1000 + 0.5) if share < 1.0 else None
