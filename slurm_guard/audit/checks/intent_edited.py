"""The declared intent was changed after the job had begun."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds: none. A text is the same or it is not."""


def find(case: Case, _: Params) -> list[Finding]:
    """Context without weight: an owner may write to his own comment."""
    edited = case.hearing.edited
    if not edited:
        return []
    sentence = (
        f"The job's {' and '.join(edited)} changed after the job had begun: "
        "the words that the prolog read hold."
    )
    evidence = Evidence(
        "texts that differ from the prolog's copy",
        float(len(edited)),
        "texts",
        "lake tables tickets and ends, and accounting",
        see.both(see.told(case.run, "at,comment,extra"), see.accounting(case.run)),
        "a tool of the site that writes its own notes there",
    )
    return [finding(CHECK, case, Rating(Severity.LOW, 0.95, 0.0, Audience.OPERATOR), sentence, evidence)]


CHECK = Check(
    "intent-edited",
    "Comment or extra changed while the job ran",
    Family.G,
    detects="A comment or extra at the job's end, or in accounting, that is not what the prolog read at its "
    "begin.",
    does_not_detect="An edit where accounting keeps no comments (AccountingStoreFlags) and no epilog ran.",
    false_alarms="Sites' and checkpointing tools write into the comment. It has no weight.",
    remedy="None: the prolog's copy is the one that the audit uses.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "nothing was declared, and nothing changed"),
        Example("no-data", "without a ticket there is nothing to compare with"),
    ),
    flagged=(Example("edited", "the owner wrote another purpose into the comment before the job ended"),),
)
