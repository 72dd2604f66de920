"""More GPU work per unit of progress than the run itself needed in its cheapest stretch."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import spoken
from slurm_guard.audit.case import Case, cost_unit, risen_at
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.spans import Kind
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_blocks: int = 8  # judgement: fewer stretches do not show two modes
    weight: float = 3.0  # documented: the cap of a soft finding
    lasting_weight: float = 2.0  # judgement: a lasting rise asks for its reason


def find(case: Case, params: Params) -> list[Finding]:
    """A soft finding when the lower bound of the residual reaches the configured share."""
    found = []
    fits = (case.study.own, case.study.device)
    for fit, left, what in zip(fits, (case.own_left, case.device_left), ("its own", "all"), strict=True):
        theta = fit[case.study.channel].theta if case.study.channel in fit else None
        if theta is None or theta.n_blocks < params.least_blocks:
            continue
        train = sum(case.sums.get(Kind.TRAIN, part) for part in ("own", "stray", "foreign"))
        base = case.sums.get(Kind.TRAIN, "own") if what == "its own" else train
        others = case.sums.total("foreign") if what == "all" else 0
        low = left.asked * base - others
        if low < case.worth_us:
            continue
        lasting = left.lo * base - others < case.worth_us
        sentence = _said(case, (spoken(low), what, f"{100 * left.asked:.0f} %"), lasting=lasting)
        evidence = Evidence(
            f"cost of one unit of progress, cheapest stretch of {theta.n} of {theta.n_blocks} blocks",
            theta.value,
            cost_unit(case.study.channel, case.track.unit),
            "lake tables windows and points",
            see.both(
                see.rows(case.run, "windows", "start_at,node,gpu_index,energy_mj,sm_cycles,busy_ms"),
                see.rows(case.run, "points", "at,step,samples,tokens"),
            ),
            "a change in what one unit of progress means (sequence length, batch size, recomputation), or a "
            "slow peer or link for which the GPUs waited at high power (the framework's or NCCL's timings)"
            + (
                "; or an evaluation or a server of this training: a second process may be part of it"
                if 1000 * sum(case.slots.doubt) > 0.5 * low
                else ""
            ),
        )
        confidence = 0.5 if lasting else 0.8 if theta.rel_error < 0.05 else 0.6
        weight = params.lasting_weight if lasting else params.weight
        found.append(finding(CHECK, case, Rating(Severity.MEDIUM, confidence, weight), sentence, evidence))
        break
    return found


def _said(case: Case, amounts: tuple[str, str, str], *, lasting: bool) -> str:
    """What is left over, and of a rise that stays what else it may be, where nothing but the log's counter
    could tell: that is left over under a condition, as the lower bound beside it holds none of it."""
    low, what, share = amounts
    if not lasting:
        return (
            f"At least {low} of {what} GPU work during training is more than the logged progress needed in "
            f"the run's cheapest stretch ({share} or more of it)."
        )
    unit = case.track.unit or "step"
    alike = (
        "Steps that became larger look the same in a log that counts steps alone"
        if unit == "step"
        else f"Dearer {unit} (recomputation, layers unfrozen, a larger teacher) look the same"
    )
    return (
        f"The cost of a {unit.removesuffix('s')} rose at {risen_at(case)} and stayed: had it not, at least "
        f"{low} of {what} GPU work during training ({share} or more of it) would not have been needed. "
        f"{alike}: the reason is asked for, and the lower bound holds none of it."
    )


CHECK = Check(
    "work-residual",
    "Work that progress does not account for",
    Family.B,
    detects="GPU work (cycles or energy above idle) per unit of progress that rises above the run's own "
    "cheapest "
    "stretch, beyond what its noise allows. Also inside the training process itself.",
    does_not_detect="Extra work that is there from the first step to the last: the run is then its own "
    "yardstick, and only comparable runs show it (dearer-than-peers).",
    false_alarms="Longer sequences and larger batches, where the log counts only steps; recomputation, "
    "unfrozen layers or a larger teacher later on, whatever it counts: where the cost rises and stays, the "
    "lower bound holds none of it, and other users' runs that show the same explain it. Log tokens or "
    "samples: the unit with the steadiest cost is used. A slow peer or link, where the GPUs wait at more "
    "than 60 % of their working power.",
    remedy="Compare with an earlier run of the same code; ask what changed at the step in the timeline.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "work per step is steady"),
        Example("slow-network", "steps get slower, work per step does not change"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("late-diversion", "work per step rises by a third half-way, in the same process"),),
    attack=("T1496.001",),
)
