"""Records that came one by one through the run, each with a time stamp of another day."""

from dataclasses import dataclass
from itertools import pairwise

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted, lasting
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.stats import median
from slurm_guard.audit.track import Mark
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    zones_s: float = 93_600.0  # documented: zones go from -12 to +14 h, so that no two differ by more
    least_points: int = 10  # judgement
    most: float = 0.9  # of the records that were seen to come. Judgement
    like: float = (
        0.2  # how far their clock's pace may be from a clock's. Judgement: a model's time runs otherwise
    )
    steady: float = (
        0.05  # of the seen time, by which the distance may wander. Judgement: a second clock drifts less
    )
    spread: float = 0.5  # of the run, over which they have to come: what is copied comes at once. Judgement


def find(case: Case, params: Params) -> list[Finding]:
    """A soft finding: the log says of itself that it does not speak of this run."""
    told = distance(case, params)
    if told is None:
        return []
    apart_s, n = told
    when = "older" if apart_s > 0 else "younger"
    sentence = (
        f"The log's records came one by one through the run and bear times {lasting(abs(apart_s))} {when}: "
        "an earlier log that is printed again looks so, and it says nothing of this run's work."
    )
    evidence = Evidence(
        f"distance of {counted(n, 'record', 'records')} from the moment at which each reached the disk",
        apart_s,
        "s",
        "lake tables points (at, obs_lo_at, obs_hi_at) and files",
        see.rows(case.run, "points", "at,obs_lo_at,obs_hi_at,step,flags"),
        "a program that runs by another clock (libfaketime), or times in the log that are not the clock's",
    )
    return [finding(CHECK, case, Rating(Severity.HIGH, 0.75, 2.5), sentence, evidence)]


def distance(case: Case, params: Params) -> tuple[float, int] | None:
    """(by how many seconds the records are older than their coming, how many were seen); null: they are of
    their time, or nobody can tell."""
    seen = [mark for mark in case.track.marks if mark.observed and mark.claimed_at is not None]
    if len(seen) < params.least_points:
        return None
    ages = [_age_s(mark) for mark in seen]
    apart_s = median(ages)
    if abs(apart_s) <= params.zones_s or len(seen) < params.most * len(case.track.marks):
        return None
    came = [mark.at for mark in seen]
    claimed = [mark.claimed_at or 0.0 for mark in seen]
    span_s, told_s = came[-1] - came[0], claimed[-1] - claimed[0]
    if span_s < params.spread * (case.run.until_at - case.run.from_at) or _lumped(came, params):
        return None
    alike = [a for a in ages if abs(a - apart_s) <= max(case.config.slack_s, params.steady * span_s)]
    if len(alike) < params.most * len(ages) or abs(told_s / span_s - 1.0) > params.like:
        return None
    return apart_s, len(seen)


def _age_s(mark: Mark) -> float:
    return mark.at - (mark.claimed_at or 0.0)


def _lumped(came: list[float], params: Params) -> bool:
    """Whether most of the records came in a moment."""
    gaps = sorted((b - a for a, b in pairwise(came)), reverse=True)
    return sum(gaps[:3]) > params.spread * (came[-1] - came[0])


CHECK = Check(
    "log-of-another-time",
    "The log is of another day",
    Family.C,
    detects="Progress whose own time stamps are more than a day from the moments at which they reached the "
    "disk, at the pace of a clock: an earlier log that is played again as it was.",
    does_not_detect="A replay with fresh stamps, or one of a log without any; one of the same day, which the "
    "records' integrity shows.",
    false_alarms="A program that is given another clock (libfaketime). A model's time is none: it does not "
    "run at the pace of a clock. A log copied into place comes at once. Soft.",
    remedy="Ask what wrote the log, and for a checkpoint made in this run.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "records appear when they say"),
        Example("model-time", "the log's times are the simulated weather's"),
        Example("copied-log", "an earlier log was copied into place"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("replayed-days-later", "an earlier log is printed line by line over other work"),),
    attack=("T1496.001", "T1565.001"),
)
