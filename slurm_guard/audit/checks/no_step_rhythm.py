"""The claimed step time could have been seen on the GPU, and is not there."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import spoken
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.checks import steps_too_regular
from slurm_guard.audit.spans import Kind
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_share: float = 0.05  # of the allocation must be claimed as training. Judgement
    sure_hz: float = 3.0  # looks a second from which even a dip of a third of a second is met. Judgement


def denied(case: Case, params: Params) -> bool:
    """Whether the physical evidence denies the claimed steps. Common pauses and a common pace do not overrule
    it: a job has both in its hands."""
    if case.study.agreement.rhythm is not False:
        return False
    return case.sums.get(Kind.TRAIN, "own") >= params.least_share * case.allocated_us


def too_regular(case: Case) -> bool:
    """The log itself is more even than loops are: then a flat GPU is more than a flat GPU."""
    return bool(steps_too_regular.find(case, steps_too_regular.CHECK.params))


def find(case: Case, params: Params) -> list[Finding]:
    """One soft finding when nothing of the claimed rhythm shows where it could be resolved."""
    rhythm = case.study.rhythm
    if not denied(case, params) or rhythm.step_s is None:
        return []
    own = rhythm.other_s is not None and rhythm.n_other > 0.5 * rhythm.n_resolvable
    shape = f"has a rhythm of {rhythm.other_s:.1f} s instead" if own else "is flat"
    sentence = (
        f"The log claims a step every {rhythm.step_s:.2f} s, which the GPU's load would show; in "
        f"{rhythm.n_flat + rhythm.n_other} of {rhythm.n_resolvable} windows it {shape} "
        f"({spoken(case.sums.get(Kind.TRAIN, 'own'))} of work)."
    )
    evidence = Evidence(
        "windows with the claimed period, of those that could show it",
        100.0 * rhythm.n_matching / rhythm.n_resolvable,
        "%",
        "lake tables windows (period_s, period_strength) and points",
        see.both(
            see.rows(case.run, "windows", "start_at,node,gpu_index,period_s,period_strength"),
            see.rows(case.run, "points", "at,step,took_s"),
        ),
        "a checkpoint that this run wrote and that its loss fits, or raw power at a shorter interval that "
        "shows the steps",
    )
    strong = own or rhythm.fs_hz >= params.sure_hz or too_regular(case)
    # A GPU that is merely flat may be a very even training: then this is context, not a voice of its own.
    rating = Rating(Severity.HIGH, 0.75, 2.5) if strong else Rating(Severity.LOW, 0.5, 0.5)
    return [finding(CHECK, case, rating, sentence, evidence)]


CHECK = Check(
    "no-step-rhythm",
    "The claimed steps do not show on the GPU",
    Family.C,
    detects="A log whose steps are long enough to be seen (more than two readings, four a window) on GPUs "
    "whose "
    "power shows no such period, also where log and GPU pause or slow down together: a job can make both "
    "do so.",
    does_not_detect="Steps shorter than the sampling resolves; a forgery that shapes its GPU work like "
    "steps. Between records of which the log names a phase (an evaluation, a checkpoint) the steps are not "
    "asked, unless the step times that it prints leave no room for one: where one stands behind each record, "
    "none is asked.",
    false_alarms="A training that loads the GPU so evenly that its steps leave no trace. Soft: alone it "
    "never makes an "
    "alert; steps too short to resolve are no evidence at all.",
    remedy="Look at raw power with a shorter interval for one run; ask for a checkpoint made tonight.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "the step shows in the power"),
        Example("short-steps", "ten steps a second cannot be seen at this sampling: no evidence"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("printed-steps", "steps are printed, the GPU does something else of a flat shape"),),
    attack=("T1496.001", "T1565.001"),
)
