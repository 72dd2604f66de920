"""What was not heard of a run: no ticket, a silent node, a stream without an end, no progress."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted, spoken
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_share: float = 0.02  # of the allocation must have been worked to ask for progress. Judgement


_RATING = Rating(Severity.LOW, 0.95, 0.0, Audience.OPERATOR)


def find_ticket(case: Case, _: Params) -> list[Finding]:
    """Nodes of the run whose prolog left no ticket although the node was heard."""
    nodes = [n for n in case.hearing.silent_nodes if n not in case.hearing.deaf_nodes]
    if case.hearing.others_alone:
        return []  # a site that has no hooks yet: each run's note says what is not seen
    return _nodes(
        RUN_WITHOUT_TICKET, case, nodes, "left no ticket for this run, though they were heard that night"
    )


def find_silent(case: Case, _: Params) -> list[Finding]:
    """Nodes of the run that nothing was heard from."""
    if case.hearing.others_alone:
        return []
    off, upkeep = set(case.hearing.switched_off), set(case.hearing.upkeep)
    deaf = [n for n in case.hearing.deaf_nodes if n not in off]
    nodes = [n for n in deaf if n not in upkeep and n not in case.hearing.read_nodes]
    found = _nodes(HOOK_SILENT, case, nodes, "sent nothing at all that night")
    read = [n for n in deaf if n not in upkeep and n in case.hearing.read_nodes]
    what = "sent nothing of slurm-guard that night, and was read by another monitor"
    found += _nodes(HOOK_SILENT, case, read, what)
    meanwhile = [n for n in deaf if n in upkeep]
    found += _nodes(HOOK_SILENT, case, meanwhile, "sent nothing at all, and was in maintenance meanwhile")
    told = [n for n in case.hearing.silent_nodes if n in off]
    return found + _nodes(HOOK_SILENT, case, told, "had the guard switched off")


def _nodes(check: Check, case: Case, nodes: list[str], what: str) -> list[Finding]:
    if not nodes:
        return []
    shown = ", ".join(nodes[:5]) + (f" and {len(nodes) - 5} more" if len(nodes) > 5 else "")
    sentence = f"{len(nodes)} of {counted(len(case.run.nodes), 'node', 'nodes')} {what}: {shown}."
    evidence = Evidence(
        "nodes not heard",
        float(len(nodes)),
        "nodes",
        "lake table tickets",
        see.beside(see.journal(nodes[0], case.run), "and Prolog= in slurm.conf"),
        "the node's spool, if it still holds the run's files",
    )
    return [finding(check, case, _RATING, sentence, evidence)]


def find_unsealed(case: Case, _: Params) -> list[Finding]:
    """Streams of a finished run that have no seal: what should have arrived is not known."""
    keys = case.hearing.unsealed
    if not keys:
        return []
    evidence = Evidence(
        "streams without a seal",
        float(len(keys)),
        "streams",
        "lake table seals",
        see.rows(
            case.run,
            "segments",
            "opened_at,closed_at,seq,n,reason",
            (("run", keys[0]),),
            (case.run.start_at, case.run.until_at),
        ),
        "a seal that arrives with the next collect",
    )
    sentence = "The sampler's stream of this run has no seal: windows may be missing without a trace."
    return [finding(UNSEALED, case, _RATING, sentence, evidence)]


def find_progress(case: Case, params: Params) -> list[Finding]:
    """GPU work without any progress to hold it against."""
    if case.track.arcs or case.active_us < params.least_share * case.allocated_us:
        return []
    looked = counted(case.track.n_points, "record", "records") if case.track.n_points else "no record"
    beside = ", and nobody read its logs" if case.is_log_unread else f" and {looked} of progress"
    sentence = f"{spoken(case.active_us)} of GPU work{beside}: the work can be neither explained nor denied."
    evidence = Evidence(
        "GPU work without progress",
        case.active_us / 3.6e9,
        "GPU-h",
        "lake tables windows, logs and points",
        see.output(case.run) if case.track.problems else see.rows(case.run, "files", "at,how,size,path"),
        "slurm-guard's sampler on its nodes, which reads what a job logs"
        if case.is_log_unread
        else "a log that a reader knows, or lines written to SLURM_GUARD_PROGRESS",
    )
    rating = Rating(Severity.LOW, 0.95, 0.0, Audience.OPERATOR if case.is_log_unread else Audience.OWNER)
    return [finding(NO_PROGRESS_SOURCE, case, rating, sentence, evidence)]


RUN_WITHOUT_TICKET = Check(
    "run-without-ticket",
    "The prolog left no ticket",
    Family.G,
    detects="A node of the run that was heard that night and has no ticket of this run.",
    does_not_detect="Why the hook did not run.",
    false_alarms="A ticket that has not been collected yet.",
    remedy="Check Prolog= in slurm.conf and the journal of the node.",
    params=Params(),
    find=find_ticket,
    explained=(Example("honest", "each node has its ticket"),),
    flagged=(Example("no-ticket", "the node is heard, the run is not"),),
)
HOOK_SILENT = Check(
    "hook-silent",
    "Nothing was heard of a node",
    Family.G,
    detects="A node of the run from which no record of any kind came, or which said that the guard is "
    "switched off.",
    does_not_detect="A node whose sampler runs and whose hook does not: see run-without-ticket.",
    false_alarms="A spool that could not be read that night.",
    remedy="Look at the node's spool and journal; collect again.",
    params=Params(),
    find=find_silent,
    explained=(Example("honest", "the node was heard"),),
    flagged=(Example("no-data", "nothing was heard of the node"),),
    attack=("T1562.001",),
)
UNSEALED = Check(
    "unsealed",
    "A stream without an end",
    Family.G,
    detects="A run that ended longer ago than the slack and whose stream the sampler did not seal.",
    does_not_detect="A sealed stream with segments missing: the audit skips name those (`segment-missing`).",
    false_alarms="A node that lost power; a seal that has not been collected yet.",
    remedy="Look at the sampler's journal around the run's end.",
    params=Params(),
    find=find_unsealed,
    explained=(Example("honest", "sealed"), Example("no-data", "no stream, hence none without a seal")),
    flagged=(Example("unsealed", "windows came, the seal did not"),),
    attack=("T1562.001",),
)
NO_PROGRESS_SOURCE = Check(
    "no-progress-source",
    "Work without a log",
    Family.G,
    detects="GPU work of a run in whose files no reader found progress, or nobody looked for any.",
    does_not_detect="Whether the work is training.",
    false_alarms="It accuses nobody: simulation codes and servers have no such log.",
    remedy="Write one line of JSON a minute to SLURM_GUARD_PROGRESS, or log in a known format.",
    params=Params(),
    find=find_progress,
    explained=(
        Example("honest", "it logs"),
        Example("no-data", "nothing was seen to work"),
        Example("parked", "idle"),
    ),
    flagged=(Example("no-log", "a full night of work, not a line of progress"),),
)
