"""What the owner declared, held against what happened: kind, target, budget; and that it was declared."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.intent import SERVING, TRAINING, Intent, parse_intent
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity

_CLEARS = "a declaration that says what the job does: guard:kind=…;target=…;budget=… in --comment or --extra"


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_marks: int = 20  # records with a loss that make a training. Judgement
    least_share: float = 0.02  # of the allocation worked before a log is missed. Judgement: as hearing's
    beyond: float = 1.1  # times what was declared. Judgement: a last epoch and a checkpoint are no matter
    short: float = 0.5  # of the target, for a job that says it is complete. Judgement


def intent_of(case: Case) -> Intent:
    """The declaration in the prolog's words, where it left a ticket."""
    return parse_intent(case.run.comment, case.run.extra)


def promises(kind: str) -> bool:
    """Whether a declared kind says that a model is trained or served; notebook, debug, … promise nothing."""
    return kind in TRAINING or kind in SERVING


def notes(case: Case) -> tuple[str, ...]:
    """What could not be held against anything: an unclear declaration, or none where the site uses them."""
    intent = intent_of(case)
    said = [f"Not understood in the declaration: {problem}." for problem in intent.problems[:4]]
    if intent.source is None and case.config.intent_partitions:
        said.append("Nothing was declared, so nothing could be held against a purpose.")
    return tuple(said)


def find_kind(case: Case, params: Params) -> list[Finding]:
    """Serving that trains; training of which there is no trace."""
    kind = intent_of(case).kind
    losses = sum(mark.loss is not None for mark in case.track.marks)
    if kind in SERVING and losses >= params.least_marks:
        sentence = f"Declared as {kind}, and its log counts training steps with a loss ({losses:,} records)."
        return [_finding(KIND, case, sentence, ("records with a loss", float(losses), "records"))]
    worked = case.active_us >= params.least_share * case.allocated_us and case.active_us > 0
    if kind in TRAINING and worked and not case.track.arcs:
        sentence = f"Declared as {kind}, and no training progress was found in any file of the run."
        return [
            _finding(KIND, case, sentence, ("records of progress", float(case.track.n_points), "records"))
        ]
    return []


def find_target(case: Case, params: Params) -> list[Finding]:
    """Training beyond what was declared; a job that calls itself complete far from it (without weight)."""
    target = intent_of(case).target
    if target is None:
        return []
    unit, amount = target
    reached = _reached(case, unit)
    if reached is None:
        return []
    fact = (f"{unit} that the log counts", reached, unit)
    if reached > params.beyond * amount:
        sentence = f"The log counts {reached:,.0f} {unit}, {amount:,.0f} were declared."
        return [_finding(TARGET, case, sentence, fact)]
    if case.run.state == "COMPLETED" and reached < params.short * amount:
        sentence = f"The job is complete with {reached:,.0f} of {amount:,.0f} {unit} that were declared."
        return [_finding(TARGET, case, sentence, fact, weight=0.0)]
    return []


def _reached(case: Case, unit: str) -> float | None:
    """The highest counter of the log; null: it does not count that."""
    name = {"steps": "step", "samples": "samples", "tokens": "tokens"}.get(unit)
    counts = [getattr(mark, name) for mark in case.track.marks] if name is not None else []
    return max((float(n) for n in counts if n is not None), default=None)


def find_budget(case: Case, params: Params) -> list[Finding]:
    """More GPU-hours than were declared; of this run alone, so a job that was requeued had more."""
    budget = intent_of(case).budget_gpu_h
    run = case.run
    until_at = run.end_at if run.end_at is not None else run.until_at
    used = run.n_gpus * max(0.0, until_at - run.start_at - run.suspended_s) / 3600
    if budget is None or used <= params.beyond * budget:
        return []
    sentence = f"The run held {used:,.1f} GPU-hours, {budget:,.1f} were declared."
    return [_finding(BUDGET, case, sentence, ("GPU-hours of the run", used, "GPU-h"))]


def find_missing(case: Case, _: Params) -> list[Finding]:
    """Nothing understandable declared on a partition where the site asks for it."""
    intent = intent_of(case)
    if case.run.partition not in case.config.intent_partitions or _says_something(intent):
        return []
    unclear = f" ({counted(len(intent.problems), 'part', 'parts')} not understood)" if intent.problems else ""
    sentence = f"Nothing was declared{unclear}; on partition {case.run.partition} every job has to."
    return [_finding(MISSING, case, sentence, ("claims that were understood", 0.0, "claims"))]


def _says_something(intent: Intent) -> bool:
    claims = (intent.kind, intent.target, intent.egress, intent.budget_gpu_h, intent.progress)
    return any(claim is not None for claim in claims)


def _finding(
    check: Check, case: Case, sentence: str, fact: tuple[str, float, str], *, weight: float = 0.5
) -> Finding:
    """Context: an honest owner's plan changes too, so a mismatch alone is never more than a NOTE."""
    what, value, unit = fact
    source = "the ticket's comment and extra, accounting, lake table points"
    shows = see.both(see.told(case.run, "at,comment,extra"), see.accounting(case.run))
    evidence = Evidence(what, round(value, 3), unit, source, shows, _CLEARS)
    return finding(check, case, Rating(Severity.LOW, 0.9, weight, Audience.OWNER), sentence, evidence)


_FALSE = (
    "Plans change, and words are chosen in a hurry. Context, without weight as a second kind of evidence."
)

KIND = Check(
    "intent-kind",
    "Another kind of work than declared",
    Family.G,
    detects="kind=inference or serving of a run whose log counts training steps with a loss; a kind of "
    "training (pretrain, finetune, rl, …) of a run that worked and in whose files no reader found progress.",
    does_not_detect="Whether work that fits its kind is the owner's purpose. Other words promise nothing.",
    false_alarms=f"A log in a format that no reader knows. {_FALSE}",
    remedy="Declare what the job does, or nothing.",
    params=Params(),
    find=find_kind,
    explained=(
        Example("honest", "nothing was declared"),
        Example("declared-right", "declared as training, and it trains"),
        Example("no-data", "nothing was seen to work"),
    ),
    flagged=(
        Example("declared-serving", "declared as inference, logs a loss step by step"),
        Example("declared-training", "declared as pretraining, works, and logs nothing"),
    ),
)
TARGET = Check(
    "intent-target",
    "More or less than the declared target",
    Family.G,
    detects="A counter of the log more than a tenth beyond target=; without weight: a job in state COMPLETED "
    "that reached less than half of it.",
    does_not_detect="Targets in epochs, and in units that the log does not count.",
    false_alarms=f"A counter that goes on from an earlier job's checkpoint; early stopping. {_FALSE}",
    remedy="Declare the counter's last value, not the number of steps of this job alone.",
    params=Params(),
    find=find_target,
    explained=(
        Example("honest", "nothing was declared"),
        Example("declared-right", "1,800 steps declared, and about as many made"),
        Example("no-data", "no log, no counter"),
    ),
    flagged=(Example("beyond-target", "1,000 steps declared, the log counts 1,800"),),
)
BUDGET = Check(
    "intent-budget",
    "More GPU-hours than declared",
    Family.G,
    detects="A run that held more than a tenth above the GPU-hours of budget=.",
    does_not_detect="A budget that several runs of a job share: each is held against it alone.",
    false_alarms=_FALSE,
    remedy="Declare the allocation that was asked for.",
    params=Params(),
    find=find_budget,
    explained=(
        Example("honest", "nothing was declared"),
        Example("declared-right", "8 GPU-hours declared, 3 held"),
        Example("no-data", "nothing was declared"),
    ),
    flagged=(Example("beyond-budget", "1.5 GPU-hours declared, 3 held"),),
)
MISSING = Check(
    "intent-missing",
    "No intent where the site requires one",
    Family.G,
    detects="A run on one of [audit] intent_partitions with nothing declared that could be understood.",
    does_not_detect="Whether what is declared is true: see the other checks of intent.",
    false_alarms="A job that was submitted before the rule. It has no weight as a second kind of evidence.",
    remedy="Say it in --comment or --extra; job_submit.lua can refuse jobs without it.",
    params=Params(),
    find=find_missing,
    explained=(
        Example("honest", "the site requires none"),
        Example("declared-right", "declared"),
        Example("no-data", "the site requires none"),
    ),
    flagged=(Example("intent-required", "required on the partition, and nothing was declared"),),
)
