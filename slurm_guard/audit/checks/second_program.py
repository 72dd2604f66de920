"""A second program of the run that works beside its training all the time, tied to it by its start alone."""

from dataclasses import dataclass

from slurm_guard.audit import programs, see
from slurm_guard.audit.amounts import counted, spoken
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import ASKS, Check, Example, Rating, finding
from slurm_guard.audit.holds import GpuUser
from slurm_guard.audit.second import Second
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds. How much is worth a look is the configuration's `least_share`."""

    confidence: float = 0.4  # judgement: a helper that works all the time looks the same


_TIES = {
    "child": "a child of the process that logs progress, of another program",
    "launched": "started as the process that logs progress was, of another program",
    "either": "of another program than the run's busiest, without a tie to it",
    "none": "of another program than the run's busiest, without a tie to it",
}

_UNTOLD = {"either": "nothing tells which of them logs progress", "none": "no log tells what either does"}


def find(case: Case, params: Params) -> list[Finding]:
    """One soft finding for all of them together. It asks for a look and is nobody's second witness."""
    staying = sorted((s for s in case.seconds if s.stays), key=lambda s: (-s.beside_us, s.user.pid))
    total_us = sum(s.beside_us for s in staying)
    if not staying or total_us < case.worth_us:
        return []
    n = sum(s.n for s in staying)
    many = counted(n, "process", "processes")
    used = f"used this run's GPUs for about {spoken(total_us)}"
    it = "it" if n == 1 else "them"
    sentence = (
        f"{many} of another program than the one that works most {used} beside it; nothing seen ties them "
        f"together, and {_UNTOLD[staying[0].tie]}."
        if staying[0].tie in _UNTOLD
        else f"{many} of another program {used}, all the while beside the process that logs progress, which "
        f"started {it} or was started with {it}; nothing else seen tells what for."
    )
    rating = Rating(Severity.LOW, params.confidence, ASKS)
    return [finding(CHECK, case, rating, sentence, *[_evidence(case, s) for s in staying[:5]])]


def _evidence(case: Case, second: Second) -> Evidence:
    user = second.user
    others = f" and {counted(second.n - 1, 'other', 'others')} of it" if second.n > 1 else ""
    return Evidence(
        f"pid {user.pid}{others} on {user.node}, {_named(user)}, {_TIES[second.tie]}, there in "
        f"{100 * second.there:.0f} % of the windows in which the other works",
        second.beside_us / 1e6,
        "SM-s",
        "lake tables shares and processes",
        see.both(
            see.process(case.run, user.node, user.pid, (user.first_at, user.last_at)),
            see.rows(case.run, "processes", "", (("node", user.node), ("pid", user.pid))),
        ),
        "a connection to the training, a progress log that it writes itself, or the site's word on what it "
        "is for (slurm-guard explain)",
    )


def _named(user: GpuUser) -> str:
    script = programs.script_of(user.exe, user.cmdline)
    return f"{user.exe}" if script is None else f"{user.exe} {script[:60]}"


CHECK = Check(
    "second-program",
    "Another program works all the while",
    Family.A,
    detects="A process of the run of another program (of an interpreter: another script) that works beside "
    "the training most of the time or of its latter half, from least_share of the allocation on, and whose "
    "only tie to it is that the training or its launcher started it, or that has none and nothing tells who "
    "logs; in a run without any log, another program file that shares the GPU with the busiest and has "
    "nothing in common with it. All processes of a program are one, however often it is started; one that "
    "comes and goes alike is measured by its time.",
    does_not_detect="A process with a connection to the training, with the same script, with a log of its "
    "own, with a title that hides its script; one that comes and goes alike for less than half of the time, "
    "or works while the training rests. What it does is never known, and nothing of it is held in the lower "
    "bound.",
    false_alarms="A helper that works all the time and speaks with the training by files, pipes or shared "
    "memory alone: an evaluator that hardly rests, a decoder, a simulator. Two unlike solvers that share a "
    "GPU without a log; two trainings whose scripts print to one file. It asks, makes no ALERT, and is no "
    "second witness for one.",
    remedy="Ask the owner what the process is for; SLURM_GUARD_PROGRESS lets it log its own progress.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "one process per GPU"),
        Example("evaluator", "a child that comes for five minutes in fifteen"),
        Example("speaking-child", "a child with a connection to the training"),
        Example("same-script", "workers of the training's own script"),
        Example("coupled-solvers", "two programs that one launcher started, without a log"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("child-stays", "a child of another script works from the first minute to the last"),
        Example("launched-apart", "the launcher's other script has one of two GPUs"),
        Example("unlogged-pair", "two unlike programs on one GPU, and no log"),
    ),
    attack=("T1496.001",),
)
