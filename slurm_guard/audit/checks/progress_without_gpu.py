"""The log moves while every GPU of the run is idle."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import lasting, spoken
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.spans import Kind
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_share: float = 0.05  # of the run's time. Judgement: shorter is a matter of clocks


def decoupled(case: Case) -> bool:
    """The log moves alike with and without GPU work, and there is GPU work worth asking about."""
    return case.study.quiet.decoupled and case.sums.get(Kind.TRAIN, "own") >= case.worth_us


def find(case: Case, params: Params) -> list[Finding]:
    """Soft where the GPUs only idle; a hard contradiction where they work at other times and the log does
    not notice the difference."""
    quiet = case.study.quiet
    if not quiet.spans:
        return []
    length = sum(b - a for a, b in quiet.spans)
    if length < params.least_share * (case.run.until_at - case.run.from_at) and not decoupled(case):
        return []
    if decoupled(case) and quiet.pace_ratio is not None:
        worked = spoken(case.sums.get(Kind.TRAIN, "own"))
        sentence = (
            f"The log moved on for {lasting(length)} while all GPUs of the run were idle, at "
            f"{100 * quiet.pace_ratio:.0f} % of its pace while they worked: the steps "
            f"in the log are not the work that the GPUs did ({worked})."
        )
        rating = Rating(Severity.HIGH, 0.85, 6.0, hard=True)
    else:
        sentence = (
            f"The log moved for {lasting(length)} while all GPUs of the run were idle: "
            "either the training runs on the CPU, or the log does not describe this GPU's work."
        )
        rating = Rating(Severity.MEDIUM, 0.85, 2.5, Audience.OWNER)
    evidence = Evidence(
        "progress with idle GPUs",
        length,
        "s",
        "lake tables points and windows",
        see.both(
            see.rows(case.run, "points", "at,step"),
            see.rows(case.run, "windows", "start_at,node,gpu_index,power_mw,busy_ms"),
        ),
        "training on the CPU: then the GPUs are not needed",
    )
    return [finding(CHECK, case, rating, sentence, evidence)]


CHECK = Check(
    "progress-without-gpu",
    "Progress without GPU work",
    Family.C,
    detects="Three and more windows in a row in which the log moves and no GPU of the run works. Where "
    "the GPUs "
    "do work at other times and the log keeps its pace through both, its steps cannot be their work: a hard "
    "contradiction.",
    does_not_detect="A forged log whose GPU is kept busy: see no-step-rhythm.",
    false_alarms="Training on the CPU. Clocks and buffers: the configured slack is taken off both ends.",
    remedy="Check that the framework sees the GPU (torch.cuda.is_available()); ask for a CPU partition.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "the GPU works while the log moves"),
        Example("parked", "idle, but nothing is claimed"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("idle-claims", "steps are printed, the GPU is idle"),
        Example("decoupled", "the GPU pauses for a quarter of an hour, the log does not"),
    ),
    attack=("T1565.001",),
)
