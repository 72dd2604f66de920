"""The GPU works while the log has long been silent."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import lasting, spoken
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.named import PHASES
from slurm_guard.audit.spans import Kind, Span, silence_after_s, usual_gap_s
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_share: float = 0.02  # of the allocation worked in silence. Judgement
    # Of a run, in phases that it names beyond all belief: an evaluation may take long, no run is made of it.
    overlong_share: float = 0.5  # Judgement


def find(case: Case, params: Params) -> list[Finding]:
    """One soft finding for all silent stretches together; waits at spin level are not among them."""
    gap = usual_gap_s(case.track.arcs)
    over = [s for s in case.study.spans if s.kind is Kind.OVERLONG and not _is_unread(case, s)]
    length_s = case.run.until_at - case.run.start_at
    is_most = bool(over) and sum(s.length_s for s in over) >= params.overlong_share * length_s
    worked = case.sums.get(Kind.SILENT, "own")
    silent = [s for s in case.study.spans if s.kind is Kind.SILENT]
    if is_most:
        all_s = sum(s.length_s for s in case.study.spans if s.kind is Kind.OVERLONG)
        worked += int(case.sums.get(Kind.OVERLONG, "own") * sum(s.length_s for s in over) / all_s)
        silent += over
    if gap is None or not silent or worked <= 0 or worked < params.least_share * case.allocated_us:
        return []
    longest = max(silent, key=lambda s: (s.length_s, s.from_at))
    limit = silence_after_s(case.config, gap)
    at_end = longest.until_at >= case.run.until_at - case.config.slack_s
    sentence = (
        f"The GPUs worked for {spoken(worked)} while the log told of no progress, "
        f"{'to the end of the run, ' if at_end else ''}longest {lasting(longest.length_s)}; "
        f"before, it moved every {gap:.0f} s."
    )
    last_at = case.track.arcs[-1].until_at
    if last_at < case.run.from_at:
        sentence += f" Its last record came {lasting(case.run.from_at - last_at)} before this night began."
    if is_most:
        sentence += " It names a phase that is not training, for longer than one is believed to last."
    evidence = Evidence(
        "longest silence with GPU work",
        longest.length_s,
        "s",
        "lake tables points and windows",
        see.beside(
            see.both(
                see.rows(case.run, "points", "at,step,phase"),
                see.rows(case.run, "windows", "start_at,node,gpu_index,busy_ms,sm_ms"),
            ),
            f"silence counts from {limit:.0f} s",
        ),
        "a phase that the log names (evaluation, export), or a later record of the same track",
    )
    weight = 3.0 if worked >= case.worth_us else 1.5
    return [finding(CHECK, case, Rating(Severity.MEDIUM, 0.8, weight), sentence, evidence)]


def _is_unread(case: Case, span: Span) -> bool:
    """Whether nothing but bytes that no reader understood, or that were left out of a large log, name the
    stretch that `span` is the end of: then it was not the log that was silent."""
    spans = case.study.spans
    before = [s for s in spans if s.kind is Kind.MARKED and s.until_at == span.from_at]
    from_at = before[-1].from_at if before else span.from_at
    phases = {m.phase for m in case.track.marks if from_at <= m.at <= span.until_at} & PHASES
    return phases == {"unread"}


CHECK = Check(
    "busy-while-silent",
    "Busy GPUs, silent log",
    Family.C,
    detects="GPU work long after the last record of progress, measured against the run's own log interval: "
    "training that has finished or stalled while something keeps the GPUs busy, on that night or one before. "
    "Also such work while the log "
    "names phases (an evaluation, say), where half of the run lies beyond what they are believed to last: as "
    "long as the training for one, six times that for those at the end.",
    does_not_detect="Work during pauses shorter than the configured silence, and in the place of a named "
    "phase within these bounds.",
    false_alarms="A long evaluation or export that the log does not name, or one far beyond these bounds. "
    "Pauses that the run makes again and again, and pauses that the log names, are phases. A GPU at spin "
    "level waits: that is a hang, not work; where no training of that night tells what level that is, work "
    "is what draws half of the board's span or fills its pipes.",
    remedy="Ask what ran; log the phase (any record with phase=eval does).",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "the log moves all the time"),
        Example("rare-log", "the log moves every quarter of an hour, and always has"),
        Example("hang", "busy at the power of a waiting GPU: a wait, reported as hang"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("filler-tail", "progress ends, the GPU works on for an hour"),),
    attack=("T1496.001",),
)
