"""A process that does not belong to the training on a GPU that tells of nobody's time."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted, lasting, sized
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import ASKS, Check, Example, Rating, finding
from slurm_guard.audit.listed import Listed
from slurm_guard.audit.presence import Presence, drop, presences, takes_its_part
from slurm_guard.audit.spans import stepping
from slurm_guard.audit.track import Arc
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_windows: int = 2  # judgement: one window may straddle a change of allocation
    least_share: float = 0.05  # of the run's time, for one beside its own training. Judgement
    # CUDA takes 300 to 600 MiB for a context that nothing is done with, as a program makes that touched the
    # wrong GPU.
    least_mib: int = 1024  # judgement: below, it is told and not asked about


# What is said of them by their relation (listed.py).
_SAID = {
    "untied": "of another program than the one that logs progress and without a tie to it",
    "rival": "of another program than its first one and without a tie to it, and nothing tells which logs",
    "launched": "of another script than the one that logs progress, with nothing in common but the launcher",
    "script": "of another script than the training's, of the same interpreter, and without a tie to it",
    "child": "started by the process that logs progress, of another script than its",
}

_WEAK = frozenset({"script", "child"})  # a rollout server and an evaluator of the training's are, too


def find(case: Case, params: Params) -> list[Finding]:
    """One soft finding for the run's own and its owner's processes, one for each process elsewhere, and a
    notice in its favour of all that are not its own."""
    long_s = case.run.until_at - case.run.from_at
    arcs = stepping(case.track)
    own = presences([p for p in case.listed if p.relation in _SAID])
    own = [p for p in own if p.n_windows >= params.least_windows and p.held_s >= params.least_share * long_s]
    own = [p for p in own if p.first.relation not in _WEAK or takes_its_part(p, arcs)]
    found = [
        _untied(case, of_kind, arcs, params)
        for kind in _SAID
        if (of_kind := [p for p in own if p.first.relation == kind])
    ]
    enough = [p for p in case.listed if p.n_windows >= params.least_windows]
    found += [_elsewhere(case, p, params) for p in enough if p.relation == "beside" and _is_mine(case, p)]
    found += [_elsewhere(case, p, params) for p in enough if _outlived(case, p)]
    guests = [p for p in enough if p.relation not in _SAID and not _is_mine(case, p)]
    return [*found, _notice(case, guests)] if guests else found


def _is_mine(case: Case, process: Listed) -> bool:
    return process.own is not None and process.own == case.place


def _outlived(case: Case, process: Listed) -> bool:
    end = case.run.end_at
    if process.relation != "after" or not _is_mine(case, process) or end is None:
        return False
    return process.until_at - end > case.config.slack_s


def _is_large(process: Listed, params: Params) -> bool:
    return process.mem_mib is not None and process.mem_mib >= params.least_mib


def _rating(large: bool, audience: Audience) -> Rating:
    """Who it is is sure, what it did is not: soft, and a look only where it holds more than a context."""
    return Rating(Severity.MEDIUM, 0.6, ASKS if large else 0.5, audience)


def _untied(case: Case, found: list[Presence], arcs: tuple[Arc, ...], params: Params) -> Finding:
    longest = max(found, key=lambda p: (p.held_s, p.first.pid))
    processes = [process for p in found for process in p.processes]
    n = sum(p.n_starts for p in found)
    sentence = (
        f"{counted(n, 'process', 'processes')} of this run's owner, {_SAID[longest.first.relation]}, "
        f"had {_held(longest.first)} on its GPUs for up to "
        f"{lasting(longest.held_s)}; these GPUs do not tell whether a process works."
    )
    lost = max(drop(p, arcs) for p in found)
    if lost > 0.0:
        sentence += f" Meanwhile the log's pace was lower by at least {100 * lost:.0f} %."
    large = any(_is_large(p, params) for p in processes)
    evidence = [_evidence(case, p) for p in sorted(processes, key=lambda p: (-p.listed_s, p.pid))[:5]]
    return finding(CHECK, case, _rating(large, Audience.AUDITOR), sentence, *evidence)


def _elsewhere(case: Case, process: Listed, params: Params) -> Finding:
    where = "after the run had ended" if process.relation == "after" else "which is not one of its GPUs"
    sentence = (
        f"Process {process.pid} of this run had {_held(process)} on {process.gpu} of {process.node}, "
        f"{where}, for {lasting(process.listed_s)}; the GPU does not tell whether a process works."
    )
    return finding(
        CHECK,
        case,
        _rating(_is_large(process, params), Audience.OPERATOR),
        sentence,
        _evidence(case, process),
    )


def _notice(case: Case, guests: list[Listed]) -> Finding:
    sentence = (
        f"{counted(len(guests), 'process', 'processes')} of others had memory on this run's GPUs, which do "
        "not tell whether a process works; that is not held against this run."
    )
    rating = Rating(Severity.MEDIUM, 0.9, -1.0, Audience.OWNER)
    return finding(CHECK, case, rating, sentence, *[_evidence(case, p) for p in guests[:5]])


def _held(process: Listed) -> str:
    return "a context" if process.mem_mib is None else f"{sized(process.mem_mib << 20)} of memory"


def _evidence(case: Case, process: Listed) -> Evidence:
    return Evidence(
        f"pid {process.pid}, uid {process.uid}, {process.exe}, on {process.gpu} of {process.node}",
        process.listed_s,
        "s listed",
        "lake tables shares and processes",
        see.beside(
            see.process(case.run, process.node, process.pid, (process.from_at, process.until_at)),
            f"while it lasts: nvidia-smi on {process.node}",
        ),
        "the site's word on what it is for (slurm-guard explain), a progress log that it writes itself, or "
        "another GPU list in the ticket",
    )


CHECK = Check(
    "listed-process",
    "A process on a GPU that tells of nobody's time",
    Family.A,
    detects="On GPUs without per-process times (instances of MIG, some drivers): a process of the run or of "
    "its owner that is another program than the one that logs (where nothing tells who logs, or there is no "
    "log: than its first one) and has no tie to it, or only its launcher; a child of the training or an "
    "untied process of another script of its interpreter, beside which steps are longer all the while, or "
    "which is started anew again and again while steps go on (a child: for most of the time, or of the "
    "latter half of it); a process of the run on a GPU that is not its, or one that is there after its run; "
    "by the driver's process list, cgroup, uid and the log's pace.",
    does_not_detect="Whether the process worked, and how much: it is never a hard fact and has no figure. "
    "A child or another script that is there from the first step to the last, or works now and then: a "
    "server and an evaluator look so. Work inside the training process.",
    false_alarms="A notebook, a server or a monitor of the job that holds memory and no connection to the "
    "training; an evaluator that works all the while. Less than a gigabyte may be a bare context: told, not "
    "asked about.",
    remedy="Ask the owner what the process is for; SLURM_GUARD_PROGRESS lets it log its own progress.",
    params=Params(),
    find=find,
    explained=(
        Example("instance", "one process on an instance of MIG"),
        Example("instance-pair", "a second process of the same program: perhaps part of the training"),
        Example("instance-victim", "another user's process: a notice in favour of the run that holds it"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("instance-shared", "a process of another program, without a tie, for hours"),),
    attack=("T1496.001",),
)
