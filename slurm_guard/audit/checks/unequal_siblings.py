"""One GPU of a run does more from some moment on than its siblings do."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted, lasting
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.siblings import moved_away
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least: float = (
        0.08  # more work than its siblings. Judgement: below a rank's honest extras (logging, saving)
    )
    least_over: float = 6.0  # times the noise of such a change; one in 10^9 if it were normal. Judgement


def find(case: Case, params: Params) -> list[Finding]:
    """A soft finding for the GPU that moved away most; it asks for a look where pipes tell."""
    if not case.track.arcs:
        return []
    apart = moved_away(list(case.siblings), case.run, params.least, params.least_over)
    if not apart:
        return []
    most = max(apart, key=lambda one: (one.factor, one.node, one.gpu))
    named = "its pipes are busy for" if most.channel == "pipe" else "it draws, above idle,"
    others = f"; {counted(len(apart) - 1, 'other does', 'others do')} likewise" if len(apart) > 1 else ""
    sentence = (
        f"Since {lasting(most.at - case.run.start_at)} after the start one GPU ({most.gpu} on {most.node}) "
        f"does more than its {most.n_siblings} siblings: {named} {100 * (most.factor - 1):.0f} % more beside "
        f"them than before{others}. Ranks of one training do like work."
    )
    evidence = Evidence(
        f"change of this GPU's {'pipe time' if most.channel == 'pipe' else 'energy above idle'} against the "
        f"middle of its siblings', {most.over:.0f} times its noise, at {most.at:.0f}",
        100.0 * (most.factor - 1),
        "%",
        "lake table windows",
        see.rows(case.run, "windows", "start_at,node,gpu,sm_ms,tensor_ms,energy_mj"),
        "a rank that has other tasks from then on (evaluation, saving, a pipeline's stage, experts that "
        "moved), or siblings that a fault slows down while this one works",
    )
    weight = 2.0 if most.channel == "pipe" else 1.5
    return [finding(CHECK, case, Rating(Severity.MEDIUM, 0.6, weight), sentence, evidence)]


CHECK = Check(
    "unequal-siblings",
    "One GPU does more than its siblings",
    Family.B,
    detects="A change of one GPU's own work against that of the run's other GPUs of the same model, at any "
    "moment but the beginning: work inside one rank, also where the log's pace hides it.",
    does_not_detect="What is on all GPUs alike, or on one from the first minutes on; runs of fewer than four "
    "GPUs.",
    false_alarms="Ranks whose tasks change: one that evaluates or saves for all, pipeline stages, experts. A "
    "fault that slows the siblings. Soft: energy alone never asks for a look.",
    remedy="Look at that rank's processes at that moment, and at its clocks beside its siblings'.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "a single GPU has no siblings"),
        Example("eight-alike", "eight ranks do like work"),
        Example("stages", "a pipeline's stages are unlike from the first step to the last"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("one-of-eight", "a rank's own process does a third more from the middle on"),
        Example("one-of-eight-piped", "the same, where the GPUs tell of their pipes"),
    ),
    attack=("T1496.001",),
)
