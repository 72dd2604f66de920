"""Records that reached the disk at times that their own clock denies."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.checks import log_of_another_time
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.track import DOUBTFUL, Mark
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_share: float = 0.2  # of the records. Measured on simulated honest logs: none of 720 is flagged
    least_points: int = 10  # judgement


def find(case: Case, params: Params) -> list[Finding]:
    """A soft finding when a good part of the records is back-dated, dated ahead, or came in bulk."""
    marks = case.track.marks
    doubtful = [m for m in marks if DOUBTFUL.intersection(m.flags) and _watched(m, case.slots)]
    if len(marks) < params.least_points or len(doubtful) < params.least_share * len(marks):
        return []
    if log_of_another_time.find(case, log_of_another_time.CHECK.params):
        return []  # the same fact, and said there
    kinds = sorted({f for m in doubtful for f in m.flags if f in DOUBTFUL})
    share = 100.0 * len(doubtful) / len(marks)
    if kinds == ["bulk"]:
        sentence = (
            f"{share:.0f} % of the log's records reached the disk in one piece, long after the times that "
            "they claim: a buffered or copied log looks so, and so does one that was written afterwards."
        )
    else:
        sentence = _odd(share, kinds)
    evidence = _evidence(case, share)
    return [finding(CHECK, case, Rating(Severity.MEDIUM, 0.7, 2.0), sentence, evidence)]


def _odd(share: float, kinds: list[str]) -> str:
    return (
        f"{share:.0f} % of the log's records reached the disk at times that do not fit what they claim "
        f"({', '.join(kinds)})."
    )


def _evidence(case: Case, share: float) -> Evidence:
    return Evidence(
        "records flagged",
        share,
        "%",
        "lake tables points (flags, obs_lo_at, obs_hi_at) and files",
        see.rows(case.run, "points", "at,obs_lo_at,obs_hi_at,step,flags"),
        "a log that is copied into place, or buffered for longer than the flags allow",
    )


def _watched(mark: Mark, slots: Slots) -> bool:
    """Whether the sampler ran while the record reached the disk: after a gap of its own, all that was written
    meanwhile seems to come at once."""
    low = mark.at if mark.low_at is None else mark.low_at
    first, last = (int((t - slots.from_at) / slots.width_s) for t in (low, mark.at))
    seen = slots.cov[max(0, first) : last + 1]
    return not seen or min(seen) >= 0.5 * max(slots.cov)


CHECK = Check(
    "log-integrity",
    "Records that do not fit their time",
    Family.D,
    detects="Records dated before or after the moment at which the sampler saw their bytes reach the "
    "disk, files "
    "rewritten, and progress that arrives in one piece.",
    does_not_detect="A log that is forged or replayed in real time.",
    false_alarms="Logs synchronised from elsewhere, long buffers, a file rewritten when a column is "
    "added. Soft.",
    remedy="Log straight to the shared file system, flushed at least every few minutes.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "records appear when they say"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("backdated", "the whole log appears at the end of the run"),),
    attack=("T1565.001",),
)
