"""One run looked at as a whole: spans, blocks, θ, and whether anything outside the job agrees with its
claims.
"""

from dataclasses import dataclass

from slurm_guard.audit import spans
from slurm_guard.audit.agree import Agreement, Quiet, quiet_claims, shares_pauses
from slurm_guard.audit.arithmetic import Bare, bare_claims
from slurm_guard.audit.blocks import (
    KNOWN,
    Fit,
    block_slots,
    blocks_of,
    channels_of,
    fit,
    kinds_per_slot,
    refitted,
    stretches,
    units_per_slot,
)
from slurm_guard.audit.cost import Theta
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.levels import Level, levels_of, rises
from slurm_guard.audit.pace import follows_pace
from slurm_guard.audit.rhythm import Rhythm
from slurm_guard.audit.spans import Kind, Span
from slurm_guard.audit.track import Track
from slurm_guard.config import AuditConfig
from slurm_guard.model import Run

SPLIT_FROM = (
    0.02  # other processes' share of the active time from which work is the run's own time. Judgement.
)
NO_POWER = 0.05  # level of a GPU that claims to work at idle power: hang or broken meter (threats 2.3)
# Spinning in a collective draws 30..50 % of the limit where training draws 60..100 % (rulings 17). Judgement:
# below this part of the run's own working level a silent busy GPU waits.
SPIN = 0.6
# … and from this part of a board's span on a GPU works that has no training to be held against: as above.
WORKS = 0.5
# Polling keeps a few warps on the integer pipe; real work fills tensor, integer or memory pipes for a quarter
# of its time and more. Judgement.
PIPES = 0.2


@dataclass(frozen=True, slots=True)
class Study:
    """What the ledger and the checks need of one run."""

    spans: tuple[Span, ...]
    units: list[float]  # progress per slot
    kinds: list[dict[Kind, float]]  # share of each slot's time per kind
    own: dict[str, Fit]  # per channel: the run's own work
    device: dict[str, Fit]  # per channel: all work on its GPUs
    is_split: bool  # other processes took a part worth telling apart
    rhythm: Rhythm
    agreement: Agreement
    power_believed: bool
    quiet: Quiet
    bare: Bare
    pipes: Fit | None  # time of the GPUs' busiest pipe; null: they cannot say
    levels: tuple[Level, ...] = ()  # lasting rises of what a unit of progress costs
    cuts: tuple[int, ...] = ()  # the blocks at which they begin

    @property
    def channel(self) -> str:
        """The best channel with a cost; `none` without."""
        return next((c for c, fit in self.own.items() if fit.theta is not None), "none")

    @property
    def theta(self) -> Theta | None:
        """The cost in the best channel."""
        return self.own[self.channel].theta if self.channel != "none" else None


def study(run: Run, slots: Slots, track: Track, rhythm: Rhythm, config: AuditConfig) -> Study:
    """Everything derived for one run."""
    tiles, kinds = _waits(spans.cut(track, run.from_at, run.until_at, config, run.start_at), slots)
    units = units_per_slot(track, slots)
    believed = _power_believed(slots, kinds)
    piped = sum(slots.pipe_cov) >= KNOWN * sum(slots.cov) > 0
    parts = stretches(slots, units, kinds, (run.n_gpus, block_slots(track, slots, kinds)), track)

    def fits(columns: dict[str, list[float]]) -> dict[str, Fit]:
        return {c: fit(blocks_of(parts, columns[c])) for c in channels}

    channels = channels_of(slots, believed)
    columns = {"cycles": slots.own_cyc, "energy": slots.own_dyn, "busy": slots.own}
    whole = {"cycles": slots.cyc, "energy": slots.dyn, "busy": slots.active}
    own = fits(columns)
    cuts = _rises(own)
    agreement = Agreement(
        True if rhythm.agrees else False if rhythm.denies else None,
        follows_pace(own),
        shares_pauses(slots, kinds, run.n_gpus),
    )
    first = next((fit.blocks for fit in own.values()), [])
    mine = {channel: refitted(found, cuts) for channel, found in own.items()}
    # Of a run that has its GPUs for itself, as most have, both are the same.
    alone = all(columns[c] == whole[c] for c in channels)
    device = mine if alone else {c: refitted(found, cuts) for c, found in fits(whole).items()}
    return Study(
        tiles,
        units,
        kinds,
        mine,
        device,
        _is_split(slots),
        rhythm,
        agreement,
        believed,
        quiet_claims(slots, track, run.n_gpus, config.slack_s),
        bare_claims(slots, track),
        fit(blocks_of(parts, slots.pipe)) if piped else None,
        levels_of(first, cuts, track),
        tuple(cuts),
    )


def _rises(own: dict[str, Fit]) -> list[int]:
    """Where lasting rises begin, by the best channel. A counter that began anew has stages of its own."""
    found = next((f for f in own.values() if f.theta is not None), None)
    if found is None or len({b.stage for b in found.blocks}) > 1:
        return []
    return rises(found.blocks)


def _waits(tiles: tuple[Span, ...], slots: Slots) -> tuple[tuple[Span, ...], list[dict[Kind, float]]]:
    """Silent spans at the level of a spinning GPU become waits: busy, far below the run's own working
    power, and with empty pipes where the GPU can say. Also the kinds of each slot.
    """
    kinds = kinds_per_slot(tiles, slots)
    train = [s.get(Kind.TRAIN, 0.0) for s in kinds]
    usual = _level(slots, train)
    by_pipes = usual is None and _pipes_work(slots, train)  # without power they alone can tell
    trained = any(train)
    done: list[Span] = []
    for tile in tiles:
        if tile.kind is Kind.SILENT:
            shares = [s.get(tile.kind, 0.0) for s in kinds_per_slot((tile,), slots)]
            own = _level(slots, shares)
            kind = Kind.SILENT
            if not trained:
                kind = _alone(own, slots, shares)
            elif usual is not None or by_pipes:
                low = _piped(slots, shares) if usual is None else own is not None and own < SPIN * usual
                kind = Kind.WAIT if low and not _pipes_work(slots, shares) else kind
            tile = Span(tile.from_at, tile.until_at, kind)
        done.append(tile)
    found = tuple(done)
    return found, kinds if found == tiles else kinds_per_slot(found, slots)


def _alone(level: float | None, slots: Slots, shares: list[float]) -> Kind:
    """What a silence is in which all of the run lies, so that no training tells what waiting would draw."""
    if _piped(slots, shares) and (level is None or level < WORKS):
        return Kind.SILENT if _pipes_work(slots, shares) else Kind.WAIT
    return Kind.SILENT if level is not None and level >= WORKS else Kind.NONE


def _level(slots: Slots, shares: list[float]) -> float | None:
    """Power between idle and limit while working, over slots weighted by `shares`; null without work or
    power.
    """
    if sum(slots.dyn_cov) < KNOWN * sum(slots.cov):
        return None
    active = sum(a * s for a, s in zip(slots.active, shares, strict=True))
    return sum(v * s for v, s in zip(slots.level, shares, strict=True)) / active if active > 0 else None


def _pipes_work(slots: Slots, shares: list[float]) -> bool:
    """Whether the pipes are busy for more of the working time than polling makes them; no where GPM is
    silent."""
    active = sum(a * s for a, s in zip(slots.active, shares, strict=True))
    if active <= 0 or not _piped(slots, shares):
        return False
    return sum(p * s for p, s in zip(slots.pipe, shares, strict=True)) > PIPES * active


def _piped(slots: Slots, shares: list[float]) -> bool:
    """Whether GPM was heard nearly all of the time."""
    seen = sum(c * s for c, s in zip(slots.pipe_cov, shares, strict=True))
    return seen >= KNOWN * sum(c * s for c, s in zip(slots.cov, shares, strict=True)) > 0


def _is_split(slots: Slots) -> bool:
    active = sum(slots.active)
    return active > 0 and (sum(slots.stray) + sum(slots.foreign)) > SPLIT_FROM * active


def _power_believed(slots: Slots, kinds: list[dict[Kind, float]]) -> bool:
    """False where the GPUs are busy through training at the power of an idle board: such a meter is no
    meter.
    """
    train = [k for k, shares in enumerate(kinds) if shares.get(Kind.TRAIN, 0.0) > 0.5 and slots.cov[k] > 0]
    active = sum(slots.active[k] for k in train)
    cov = sum(slots.cov[k] for k in train)
    if cov <= 0 or active < 0.5 * cov:
        return True
    return sum(slots.level[k] for k in train) >= NO_POWER * active
