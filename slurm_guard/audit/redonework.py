"""What redone progress took: its part of a run's `progress` account, and no account of its own."""

from collections.abc import Sequence

from slurm_guard.audit.blocks import units_per_slot
from slurm_guard.audit.case import Case
from slurm_guard.audit.redone import Repeats
from slurm_guard.audit.spans import Kind
from slurm_guard.model import Redone

DIGITS = 3  # of units, as the gross ones are shown


def weigh(case: Case, progress_gpu_ms: int) -> Redone | None:
    """The run's redone work in the audited window; null where its log cannot tell."""
    repeats = case.repeats
    if repeats is None or not case.track.arcs:
        return None
    gross = round(sum(case.study.units), DIGITS)
    redone, earlier, perhaps = (
        units_per_slot(case.track, case.slots, amounts) if any(amounts) else [0.0]
        for amounts in (repeats.redone, repeats.earlier, repeats.perhaps)
    )
    again = min(gross, round(sum(redone), DIGITS))
    return Redone(
        round(gross - again, DIGITS),
        again,
        min(again, round(sum(earlier), DIGITS)),
        min(round(gross - again, DIGITS), round(sum(perhaps), DIGITS)),
        *_counts(case, repeats),
        _part(progress_gpu_ms, share_of(case, redone)),
        _part(progress_gpu_ms, share_of(case, earlier)),
    )


def _counts(case: Case, repeats: Repeats) -> tuple[int, int, int]:
    """How many stretches of each kind began in the audited window."""
    run = case.run
    resumed, begun, untold = (
        sum(run.from_at <= at <= run.until_at for at in times)
        for times in (repeats.resumed_at, repeats.begun_at, repeats.untold_at)
    )
    return resumed, begun, untold


def _part(whole: int, share: float) -> int:
    return min(whole, int(whole * share + 0.5))


def share_of(case: Case, units: Sequence[float]) -> float:
    """The share of the run's training work that went into these units of each slot: a slot's work goes to its
    units evenly, as everywhere in the ledger."""
    if not any(units):
        return 0.0
    whole = part = 0.0
    for k, own in enumerate(case.slots.own):
        work = own * case.study.kinds[k].get(Kind.TRAIN, 0.0)
        whole += work
        made = case.study.units[k]
        if made > 0:
            part += work * min(1.0, units[k] / made)
    return part / whole if whole > 0 else 0.0
