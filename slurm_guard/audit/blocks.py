"""Progress and work brought together: units and kinds per slot, channels, and blocks to learn θ from."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import NamedTuple

from slurm_guard.audit import cost, spans
from slurm_guard.audit.cost import Block, Theta
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.levels import at_levels
from slurm_guard.audit.spans import Kind, Span
from slurm_guard.audit.stats import median
from slurm_guard.audit.track import Track, begun_anew

MAX_BLOCKS = 400  # bounds the work per run; more blocks do not sharpen θ beyond its common error
# A block is this many times as long as its records' times are uncertain: progress laid into the wrong block
# then stays below a tenth of it (two ends, each uniform: sqrt(2/12)/3 at worst, far less on a taut string).
BLURS = 3.0
KNOWN = 0.9  # a channel counts when it is known for this part of the covered time. Judgement.


class Stretch(NamedTuple):
    """Neighbouring slots [first, end) of training, without what a channel saw of them: cost.Block's rest."""

    first: int
    end: int
    from_at: float
    until_at: float
    units: float
    seen_ms: float
    active_ms: float
    stray_ms: float
    stage: int


@dataclass(frozen=True, slots=True)
class Fit:
    """Work against progress in one channel. `theta` null: too little to learn from. `apart`: work explained
    in each block at the cost of its own part of a log whose counter began anew. `refit`: the same with a new
    cost after each lasting rise; empty without one."""

    blocks: list[Block]
    theta: Theta | None
    apart: tuple[float, ...] = ()
    refit: tuple[float, ...] = ()
    work: float = field(init=False, compare=False)  # all of the blocks
    units: float = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "work", sum([b.work for b in self.blocks]))  # asked for many times
        object.__setattr__(self, "units", sum([b.units for b in self.blocks]))

    @property
    def explained(self) -> float | None:
        """Share of the work that units of progress at the cost θ make; may exceed one. Null without θ."""
        if self.theta is None or self.work <= 0:
            return None
        return self.units * self.theta.value / self.work

    @property
    def explained_apart(self) -> float | None:
        """The same with each stage of the log at its own cost: as if they were different trainings."""
        if len({b.stage for b in self.blocks}) < 2 or self.work <= 0:
            return self.explained
        return sum(self.apart) / self.work

    @property
    def explained_refit(self) -> float | None:
        """The same with a new cost after each lasting rise, as if steps had become larger."""
        return sum(self.refit) / self.work if self.refit and self.work > 0 else self.explained_apart

    def over(self, *, apart: bool) -> list[float]:
        """Work beyond what its progress explains, as a share of each block's work; negative where less."""
        cost = 0.0 if self.theta is None else self.theta.value
        needs = self.apart if apart and self.apart else [b.units * cost for b in self.blocks]
        return [1.0 - n / b.work if b.work > 0 else 0.0 for b, n in zip(self.blocks, needs, strict=True)]


def fit(blocks: list[Block]) -> Fit:
    """Blocks with what can be learnt from them."""
    theta = cost.learn(blocks)
    return Fit(blocks, theta, tuple(cost.explained_by_stage(blocks, theta)) if theta is not None else ())


def as_stages(found: Fit, cuts: list[int]) -> Fit:
    """The fit with each lasting rise as the beginning of another training."""
    return replace(found, blocks=at_levels(found.blocks, cuts), apart=found.refit) if found.refit else found


def refitted(found: Fit, cuts: list[int]) -> Fit:
    """The fit with a new cost from each of these blocks on."""
    if not cuts or found.theta is None:
        return found
    return replace(found, refit=tuple(cost.explained_by_stage(at_levels(found.blocks, cuts))))


def units_per_slot(track: Track, slots: Slots, amounts: Sequence[float] | None = None) -> list[float]:
    """Units of progress, spread evenly over each arc's training part. `amounts`: of each arc; null: all of
    them."""
    units = [0.0] * len(slots.cov)
    gap = spans.usual_gap_s(track.arcs)
    if gap is None:
        return units
    pace = spans.usual_pace_s(track.arcs)
    for k, arc in enumerate(track.arcs):
        amount = arc.units if amounts is None else amounts[k]
        if amount > 0:
            start = spans.train_from(track, arc, gap, pace)
            _spread(units, slots, (start, arc.until_at), amount)
    return units


def _spread(units: list[float], slots: Slots, when: tuple[float, float], amount: float) -> None:
    a, b = ((t - slots.from_at) / slots.width_s for t in when)
    if b <= a:
        return
    for k in range(max(0, int(a)), min(len(units), int(b) + 1)):
        part = min(b, k + 1) - max(a, k)
        if part > 0:
            units[k] += amount * part / (b - a)


def kinds_per_slot(tiles: tuple[Span, ...], slots: Slots) -> list[dict[Kind, float]]:
    """For each slot the share of its time in each kind of span; shares sum to one (within the run)."""
    found: list[dict[Kind, float]] = [{} for _ in slots.cov]
    edges: set[int] = set()
    for tile in tiles:
        a, b = ((t - slots.from_at) / slots.width_s for t in (tile.from_at, tile.until_at))
        whole = range(ceil(a), int(b))  # slots in which nothing else is
        for k in range(max(0, int(a)), min(len(found), int(b) + 1)):
            if k in whole:
                found[k] = {tile.kind: 1.0}
                continue
            part = min(b, k + 1) - max(a, k)
            if part > 1e-9:
                edges.add(k)
                found[k][tile.kind] = found[k].get(tile.kind, 0.0) + part
    for k in edges:
        shares = found[k]
        total = sum(shares.values())
        for kind in shares:
            shares[kind] /= total
    return found


def channels_of(slots: Slots, believed: bool) -> list[str]:
    """Channels that were known nearly all the time, best first. Utilisation is the last and never alone."""
    cov = sum(slots.cov)
    if cov <= 0 or sum(slots.active) <= 0:
        return []
    found = []
    if sum(slots.cyc_cov) >= KNOWN * cov and sum(slots.cyc) > 0:
        found.append("cycles")
    if believed and sum(slots.dyn_cov) >= KNOWN * cov and sum(slots.dyn) > 0:
        found.append("energy")
    return [*found, "busy"]


def block_slots(track: Track, slots: Slots, kinds: list[dict[Kind, float]]) -> int:
    """Slots per block: long enough to hold a log record, few enough to bound the work."""
    gap = max(spans.usual_gap_s(track.arcs) or 0.0, BLURS * _blur_s(track))
    trained = sum(1 for shares in kinds if shares.get(Kind.TRAIN, 0.0) > 0.99)
    by_log = int(gap / slots.width_s) + 1 if gap > 0.5 * slots.width_s else 1
    return max(by_log, -(-trained // MAX_BLOCKS), 1)


def _blur_s(track: Track) -> float:
    """How far a typical record may be off in time."""
    return median([arc.blur_s for arc in track.arcs]) if track.arcs else 0.0


def stretches(
    slots: Slots, units: list[float], kinds: list[dict[Kind, float]], shape: tuple[int, int], track: Track
) -> list[Stretch]:
    """Neighbouring training slots, `width` each; a slot is used where most of the run's GPUs were seen.
    `shape`: the run's GPUs and the width. Each knows how often the log's counter had begun anew by its
    middle."""
    n_gpus, width = shape
    full = n_gpus * slots.width_s * 1000
    begins = begun_anew(track.arcs)
    found: list[Stretch] = []
    begun = 0
    for k, shares in enumerate(kinds):
        if not (shares.get(Kind.TRAIN, 0.0) > 0.99 and slots.cov[k] >= 0.5 * full):
            begun = k + 1
        elif k + 1 - begun == width:
            found.append(_stretch(slots, units, (begun, k + 1), full, begins))
            begun = k + 1
    return found


def _stretch(
    slots: Slots, units: list[float], part: tuple[int, int], full: float, begins: list[float]
) -> Stretch:
    a, b = part
    from_at, until_at = slots.at(a), slots.at(b)
    cov = slots.cov[a:b]
    return Stretch(
        a,
        b,
        from_at,
        until_at,
        sum([u * min(1.0, c / full) for u, c in zip(units[a:b], cov, strict=True)]),
        sum(cov),
        sum(slots.active[a:b]),
        sum([s + f for s, f in zip(slots.stray[a:b], slots.foreign[a:b], strict=True)]),
        bisect_right(begins, 0.5 * (from_at + until_at)),
    )


def blocks_of(found: list[Stretch], work: list[float]) -> list[Block]:
    """The stretches with the work that one channel saw in their slots."""
    return [
        Block(
            s.from_at,
            s.until_at,
            sum(work[s.first : s.end]),
            s.units,
            s.seen_ms,
            s.active_ms,
            s.stray_ms,
            s.stage,
        )
        for s in found
    ]
