"""The log's counter began anew, and what came after costs more GPU work per unit than what came before."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted, spoken
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.spans import Kind
from slurm_guard.audit.track import begun_anew
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds: none of its own; the configuration says from which amount a residual is worth a line."""


def find(case: Case, params: Params) -> list[Finding]:
    """Context: what one cost for all parts of the log would leave over, beyond what their own costs do."""
    begins = begun_anew(case.track.arcs)
    between = (case.left.as_one - case.left.mid) * case.sums.get(Kind.TRAIN, "own")
    if not begins or between < case.worth_us:
        return []
    sentence = (
        f"The log's counter began anew {counted(len(begins), 'time', 'times')}, and its parts differ in GPU "
        f"work per {(case.track.unit or 'unit').removesuffix('s')}: each is held to its own cost, as a "
        f"training of its own. As one training, {spoken(between)} more would be unexplained."
    )
    evidence = Evidence(
        "work beyond the cheapest part's cost",
        between / 1e6,
        "GPU-s",
        "lake tables windows and points",
        see.beside(see.rows(case.run, "points", "at,step,samples,tokens"), "where the counter falls to zero"),
        "settings that differ between the parts (model, batch or sequence length), "
        "or a log of tokens or samples",
    )
    return [finding(CHECK, case, Rating(Severity.LOW, 0.5, 0.5), sentence, evidence)]


CHECK = Check(
    "log-began-anew",
    "Parts of a log with different costs",
    Family.B,
    detects="A step counter that falls to about zero inside the run, where the parts before and after need "
    "different amounts of GPU work per unit. The upper bound holds the difference.",
    does_not_detect="Which of the two it is: another training, or the same one with other work beside it. "
    "A counter that falls back to a checkpoint goes on as the same training and is held to one cost.",
    false_alarms="None by itself: a sweep in one job looks like this, so it is context and never more than "
    "a NOTE.",
    remedy="Log tokens or samples, which cost the same at any batch size; one job for each training.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "the counter only rises"),
        Example("retrained", "it begins anew, and a step costs the same as before"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("sweep", "six trainings in one job, one after the other, of three costs"),),
)
