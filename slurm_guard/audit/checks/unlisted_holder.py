"""A process that NVML does not list has the device file of a GPU open whose work nobody accounts for."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted, spoken
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import ASKS, SPEAKS, Check, Example, Rating, finding
from slurm_guard.audit.unlisted import Unlisted
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_windows: int = 3  # judgement: a process may start or end within one, and be listed late
    least_share: float = 0.25  # of the time in question that nobody accounts for. Judgement


def find(case: Case, params: Params) -> list[Finding]:
    """Soft findings against the run the process is of; a notice to the run whose GPU it is."""
    found = [_against(case, u) for u in case.unlisted if _counts(u, params)]
    guests = [u for u in case.unlisted_guests if _counts(u, params)]
    if guests:
        found.append(_notice(case, guests))
    return found


def _counts(holder: Unlisted, params: Params) -> bool:
    long_us = (holder.until_at - holder.from_at) * 1e6
    return holder.n_windows >= params.least_windows and holder.left_us >= params.least_share * long_us


def _against(case: Case, holder: Unlisted) -> Finding:
    when = "after the run had ended" if holder.ended else "which is not one of its GPUs"
    sentence = (
        f"Process {holder.pid} of this run had {holder.gpu} of {holder.node} open, {when}, while "
        f"{spoken(holder.left_us)} of work there are no listed process's; NVML lists it on no GPU."
    )
    # Where another could have done it, or not everybody was looked at, it is worth a line and no more.
    weight = ASKS if holder.alone else SPEAKS
    rating = Rating(Severity.MEDIUM, 0.5 if holder.alone else 0.3, weight, Audience.OPERATOR)
    return finding(CHECK, case, rating, sentence, _evidence(case, holder))


def _notice(case: Case, guests: list[Unlisted]) -> Finding:
    left_us = max(u.left_us for u in guests)
    sentence = (
        f"{counted(len(guests), 'process', 'processes')} of others had this run's GPUs open and stand in no "
        f"list of NVML's, while {spoken(left_us)} of work are no listed process's; that is not held against "
        "this run."
    )
    rating = Rating(Severity.LOW, 0.5, -0.5, Audience.OPERATOR)
    return finding(CHECK, case, rating, sentence, *[_evidence(case, u) for u in guests[:5]])


def _evidence(case: Case, holder: Unlisted) -> Evidence:
    why = "NVML gave no process list" if holder.no_list else "work beyond the listed processes' times"
    return Evidence(
        f"pid {holder.pid}, uid {holder.uid}, {holder.exe}, has {holder.gpu} open; {why}",
        holder.left_us / 1e6,
        "GPU-s that nobody accounts for",
        "lake tables held, windows and shares",
        see.beside(
            see.rows(
                case.run,
                "held",
                "",
                (("node", holder.node), ("pid", holder.pid)),
                (holder.from_at, holder.until_at),
            ),
            f"while it lasts: fuser -v /dev/nvidia* on {holder.node}",
        ),
        "the process only had the file open: a monitor, or a program that sees every GPU and uses its own; "
        "ConstrainDevices=yes keeps others' files shut",
    )


CHECK = Check(
    "unlisted-holder",
    "A GPU at work that an unlisted process holds",
    Family.A,
    detects="A user's process of another run, or of none, that has a GPU's device file and nvidia-uvm open "
    "and stands in no process list of NVML's, while the GPU works and its listed processes leave at least "
    "a quarter of the time over: a list that is cut, stale, missing, or that means other processes. The "
    "finding is against the run the process is of; the run whose GPU it is gets a notice.",
    does_not_detect="A hidden process of the run that holds the GPU; one whose run (outside runs: whose "
    "user) has a listed process with the same file open; a GPU without utilisation, as MIG instances are; a "
    "process that closed its descriptors. It measures no time: what is left over is the GPU's, not the "
    "process's.",
    false_alarms="Monitors (DCGM, nvidia-smi, exporters, persistenced) do not have nvidia-uvm open, and "
    "users of the system are left out. Without ConstrainDevices CUDA opens every GPU's file: a job's process "
    "that NVML missed everywhere, beside a GPU whose own process was missed too, looks the same. Where "
    "several processes could have done it, or not all could be looked at, the finding is context.",
    remedy="Look who it is (fuser -v /dev/nvidia*); constrain devices (ConstrainDevices=yes in cgroup.conf).",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "every process is listed"),
        Example("unlisted-guest", "the run suffers an unlisted stranger: a notice, nothing against it"),
        Example("idle-holder", "its process has another GPU's file open, and that GPU does not work"),
        Example(
            "accounted-holder", "its process has another run's GPU open; the listed process did the work"
        ),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("unlisted-elsewhere", "a GPU that is nobody's works, and only this run holds its file"),
    ),
    attack=("T1496.001", "T1564"),
)
