"""A process that goes on working on a GPU after its run has ended."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import lasting, spoken
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_windows: int = 2  # judgement: one window may straddle the run's end
    least_share: float = (
        0.01  # of its time after the end. Judgement: a process being torn down does not compute
    )


def find(case: Case, params: Params) -> list[Finding]:
    """One hard finding per process that computed past the run's end and the slack."""
    end = case.run.end_at
    if end is None:
        return []
    found = []
    for stint in case.mine:
        if stint.relation != "after" or stint.n_windows < params.least_windows:
            continue
        past_s = stint.until_at - end
        if past_s <= case.config.slack_s:
            continue
        if stint.gpu_us < params.least_share * (stint.until_at - stint.from_at) * 1e6:
            continue
        sentence = (
            f"Process {stint.pid} of this run worked {spoken(stint.gpu_us)} on {stint.gpu} of {stint.node} "
            f"until {lasting(past_s)} after the run had ended."
        )
        evidence = Evidence(
            f"pid {stint.pid}, uid {stint.uid}, {stint.exe}, on {stint.gpu} after the end",
            past_s,
            "s",
            "lake tables shares and processes",
            see.beside(
                see.process(case.run, stint.node, stint.pid, (stint.from_at, stint.until_at)),
                f"while it lives: ps -o pid,lstart,cgroup,cmd {stint.pid} on {stint.node}",
            ),
            "accounting ended the run too early: compare sacct's End with the epilog's end mark",
        )
        rating = Rating(Severity.HIGH, 0.95, 6.0, Audience.OPERATOR, hard=True)
        found.append(finding(CHECK, case, rating, sentence, evidence))
    return found


CHECK = Check(
    "leftover-process",
    "A process that outlived its run",
    Family.A,
    detects="GPU time after a run's end by a process that was seen in that run while it lived.",
    does_not_detect="A process that the sampler never saw inside the run; one that only holds memory.",
    false_alarms="Tearing down takes seconds: the configured slack and two windows are allowed, and time "
    "without "
    "GPU work does not count.",
    remedy="End the process; use proctrack/cgroup and an epilog that ends what is left of the user.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "its process ends with the run"),
        Example("brief-leftover", "teardown within the slack"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("leftover", "a process works on for minutes after the end"),),
    attack=("T1496.001",),
)
