"""A second process of the run on the same GPUs that nothing ties to the run's progress."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted, spoken
from slurm_guard.audit.bounds import of_others
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import ASKS, Check, Example, Rating, finding
from slurm_guard.audit.holds import GpuUser
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_share: float = 0.01  # of the allocation, by its lower bound. Judgement: the meter's own noise
    sure_windows: int = 15  # windows of per-process times from which a share is settled. Judgement


_ODD = {"tmp": "in a temporary folder", "deleted": "deleted since it started", "memfd": "in memory alone"}


def find(case: Case, params: Params) -> list[Finding]:
    """One soft finding for all stray processes together; ties, ambiguity and trifles give none."""
    strays = sorted((u for u in case.users if u.cls == "stray"), key=lambda u: (-u.sm_ms, u.node, u.pid))
    part = of_others(case.slots, case.sums, "stray", case.allocated_us)
    if part.mid <= 0 or part.lo < params.least_share * case.allocated_us:
        return []
    n = sum(1 for v in case.slots.stray if v > 0)
    # Surely as much as is worth a look; most likely as much: a look, but no alert; less: a line.
    weight = 3.0 if part.lo >= case.worth_us else ASKS if part.mid >= case.worth_us else 1.5
    odd = sorted({flag for u in strays for flag in u.flags})
    share = "its share" if len(strays) < 2 else "their share"
    sentence = (
        f"{counted(max(1, len(strays)), 'process', 'processes')} of this run did about {spoken(part.mid)} of "
        f"its GPUs' work, by {share} of it, beside the process that logs progress; nothing seen ties the two "
        "together."
    )
    if odd:
        sentence += f" Program file: {', '.join(_ODD.get(flag, flag) for flag in odd)}."
    evidence = [_evidence(case, u) for u in strays[:5]] or [
        Evidence(
            "processes of the owner outside the job",
            part.mid / 1e6,
            "GPU-s",
            "lake table shares",
            see.rows(case.run, "shares", "", (("run", "null"),)),
            "the processes belong to the job after all",
        )
    ]
    confidence = 0.9 if n >= params.sure_windows else 0.6
    return [finding(CHECK, case, Rating(Severity.MEDIUM, confidence, weight), sentence, *evidence)]


def _evidence(case: Case, user: GpuUser) -> Evidence:
    return Evidence(
        f"pid {user.pid} on {user.node}, {user.exe}, {user.why}",
        user.sm_ms / 1000,
        "SM-s",
        "lake tables shares, processes and files",
        _shown(case, user),
        "the site's word on what it is for (slurm-guard explain), or a progress log that it writes itself",
    )


def _shown(case: Case, user: GpuUser) -> str:
    return see.both(
        see.process(case.run, user.node, user.pid, (user.first_at, user.last_at)),
        see.rows(case.run, "processes", "", (("node", user.node), ("pid", user.pid))),
    )


CHECK = Check(
    "extra-context",
    "A second process beside the training",
    Family.A,
    detects="A process of the run itself that works on the run's GPUs beside the process that writes the "
    "progress "
    "log, and is neither a rank, a child of the same program, a partner over a local connection nor a "
    "stage before or after it.",
    does_not_detect="Work inside the training process; a second process when nothing tells which one logs.",
    false_alarms="A rollout server that shares no parent, file or connection with its trainer and does "
    "not alternate "
    "with it; a profiler; a notebook beside the job. Soft: never an alert by itself.",
    remedy="Ask the owner what the process is for; SLURM_GUARD_PROGRESS lets it log its own progress.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "one process per GPU"),
        Example("rollout", "a second process alternates with the trainer"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("co-tenant", "a third of the GPU goes to a process that nothing ties to progress"),),
    attack=("T1496.001",),
)
