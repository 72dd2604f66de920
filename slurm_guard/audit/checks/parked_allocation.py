"""An allocation whose GPUs were idle for a long time."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import lasting, spoken
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    pulse: float = 0.02  # active share of a slot that still counts as idle. Judgement: a keep-alive a minute
    seen: float = 0.8  # of a slot's GPU time must have been seen. Judgement
    whole: float = 0.98  # idle share of what was seen from which the whole run was idle. Judgement


def longest_idle_s(case: Case, params: Params) -> float:
    """Longest stretch in which all GPUs of the run were idle and seen, seconds."""
    full = case.run.n_gpus * case.slots.width_s * 1000
    longest = now = 0
    for cov, blind, active in zip(case.slots.cov, case.slots.blind, case.slots.active, strict=True):
        now = now + 1 if cov - blind >= params.seen * full and active <= params.pulse * full else 0
        longest = max(longest, now)
    return longest * case.slots.width_s


def find(case: Case, params: Params) -> list[Finding]:
    """A note for the owner; idle time is never unexplained work."""
    idle_s = longest_idle_s(case, params)
    seen = case.sums.total("cov") - case.sums.total("blind")
    whole = seen > 0 and case.active_us <= (1 - params.whole) * seen
    enough = seen >= 0.5 * case.allocated_us
    if idle_s < case.config.parked_s and not (whole and enough):
        return []
    idle = seen - case.active_us
    sentence = (
        f"The run's GPUs were idle for {spoken(idle)} of {spoken(case.allocated_us)}, "
        f"at longest {lasting(idle_s)} on end."
    )
    evidence = Evidence(
        "longest idle stretch of all GPUs",
        idle_s,
        "s",
        "lake table windows",
        see.rows(case.run, "windows", "start_at,node,gpu_index,power_mw,busy_ms,sm_ms"),
        "a reason to hold GPUs that wait, such as a session in use or a deadline",
    )
    return [finding(CHECK, case, Rating(Severity.LOW, 0.95, 0.0, Audience.OWNER), sentence, evidence)]


CHECK = Check(
    "parked-allocation",
    "GPUs held and not used",
    Family.G,
    detects="All GPUs of a run idle for the configured time on end, or for the whole run; a keep-alive "
    "kernel now "
    "and then does not hide it.",
    does_not_detect="Some GPUs of a run idle while others work (the ledger's idle account shows it).",
    false_alarms="Interactive sessions think; waiting for data is honest. Advice to the owner, no weight.",
    remedy="End sessions that wait; ask for fewer GPUs.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "the GPUs work"),
        Example("no-data", "unseen is not idle"),
    ),
    flagged=(Example("parked", "an allocation without a process"),),
)
