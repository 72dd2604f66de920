"""A run's process on a GPU that the run does not hold, and the notice to the run that suffered it."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted, spoken
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import ASKS, Check, Example, Rating, finding
from slurm_guard.audit.outside import Stint
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_windows: int = 2  # judgement: one window may straddle a change of allocation
    least_share: float = 0.01  # of the window's time on that GPU. Judgement: below is a probe, nvidia-smi say


def find(case: Case, params: Params) -> list[Finding]:
    """Hard findings against the run the work comes from; notices in favour of the run that suffered it."""
    found = [_against(case, s) for s in case.mine if s.relation == "beside" and _worked(s, params)]
    guests = [s for s in case.guests if _worked(s, params)]
    if guests:
        found.append(_notice(case, guests))
    return found


def _worked(stint: Stint, params: Params) -> bool:
    long_us = (stint.until_at - stint.from_at) * 1e6
    return stint.n_windows >= params.least_windows and stint.gpu_us >= params.least_share * long_us


def _against(case: Case, stint: Stint) -> Finding:
    sentence = (
        f"Process {stint.pid} of this run worked {spoken(stint.gpu_us)} on {stint.gpu} of {stint.node}, "
        "which is not one of its GPUs."
    )
    rating = Rating(Severity.HIGH, 0.95, 6.0, Audience.OPERATOR, hard=True)
    if not stint.sure:
        sentence = (
            f"Process {stint.pid} of this run worked {spoken(stint.gpu_us)} on {stint.gpu} of {stint.node}, "
            "which is none of its GPUs, unless the node's numbers of GPUs mean other boards than assumed."
        )
        rating = Rating(Severity.MEDIUM, 0.5, ASKS, Audience.OPERATOR)
    return finding(CHECK, case, rating, sentence, _evidence(case, stint))


def _notice(case: Case, guests: list[Stint]) -> Finding:
    total = sum(s.gpu_us for s in guests)
    earlier = [s for s in guests if s.born_at is not None and s.born_at < case.run.start_at]
    whose = "that began before this run" if len(earlier) == len(guests) else "of others"
    sentence = (
        f"{counted(len(guests), 'process', 'processes')} {whose} took {spoken(total)} of this run's GPUs; "
        "that is not held against this run."
    )
    rating = Rating(Severity.MEDIUM, 0.95, -1.0, Audience.OWNER)
    return finding(CHECK, case, rating, sentence, *[_evidence(case, s) for s in guests[:5]])


def _evidence(case: Case, stint: Stint) -> Evidence:
    return Evidence(
        f"pid {stint.pid}, uid {stint.uid}, {stint.exe}, on {stint.gpu}",
        stint.gpu_us / 1e6,
        "GPU-s",
        "lake table shares",
        see.beside(
            see.process(case.run, stint.node, stint.pid, (stint.from_at, stint.until_at)),
            f"while it lasts: nvidia-smi pmon on {stint.node}",
        ),
        "the GPU belonged to the process's run after all: compare the ticket's GPU list with scontrol "
        "show job -d",
    )


CHECK = Check(
    "foreign-process",
    "A process on somebody else's GPU",
    Family.A,
    detects="GPU time of a process that belongs to another run, another user or no run, by cgroup and uid "
    "as the "
    "node's sampler saw them. The finding is against the run it comes from.",
    does_not_detect="A process inside the run's own cgroup; work on a GPU whose driver gives no process "
    "list.",
    false_alarms="A GPU that several runs hold by right (shards, MPS) is left out. A process that was on "
    "the GPU "
    "before the run began is never held against the newcomer. Where the node could not be sure which board a "
    "GPU number of Slurm means, the finding is soft. Without the prolog's GPU list nothing is "
    "called 'not its GPU'.",
    remedy="Constrain devices (ConstrainDevices=yes in cgroup.conf); look for jobs that set "
    "CUDA_VISIBLE_DEVICES.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "only the run's own process is on its GPUs"),
        Example("victim", "the run suffers a stranger: a notice in its favour, nothing against it"),
        Example("no-data", "nothing was heard: nothing is said"),
    ),
    flagged=(Example("wrong-gpu", "a process of the run works on a GPU that another run holds"),),
    attack=("T1496.001",),
)
