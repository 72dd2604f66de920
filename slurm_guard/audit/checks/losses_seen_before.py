"""Losses that are, in order, those of another run."""

from dataclasses import dataclass
from datetime import datetime, timezone

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.replays import Seen
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds. The weights below 1 are context: no witness beside another family."""

    least_losses: int = 32  # judgement: two of the hashed stretches side by side
    least_share: float = 0.2  # of the log's losses. Judgement
    repeated: float = 0.5  # weight where the same user ran it under another command line. Judgement
    of_another: float = (
        0.75  # … where another user ran a program that is not known, or order is not. Judgement
    )
    unlike: float = 2.0  # … another program of another user, surely earlier. Judgement
    most_users: int = 2  # other users from whom on it is what a course or a benchmark prints. Judgement


def find(case: Case, params: Params) -> list[Finding]:
    """A soft finding, and context where the same program with the same seed would print the same."""
    seen = case.seen
    if seen is None or seen.n < max(params.least_losses, params.least_share * seen.of):
        return []
    weight = _weight(seen, params)
    sentence = (
        f"{seen.n:,} of {seen.of:,} logged losses are, to four digits and in order, those of run {seen.run} "
        f"({_whose(seen)}, {_when(seen)}): {_reading(seen)}"
    )
    return [
        finding(
            CHECK,
            case,
            Rating(Severity.MEDIUM, 0.6 if weight > 1.0 else 0.4, weight),
            sentence,
            _evidence(case, seen),
        )
    ]


def _weight(seen: Seen, params: Params) -> float:
    """By what else would print the same digits."""
    if seen.is_same_program and (seen.is_same_model or seen.is_same_user):
        return 0.0  # the same command line once more: nothing that a CLEAR run should be called a NOTE for
    if seen.is_same_user or seen.uid is None:
        return params.repeated
    unlike = seen.is_same_program is False and seen.is_later
    return params.unlike if unlike and seen.n_users < params.most_users else params.of_another


def _whose(seen: Seen) -> str:
    """Without the user's name: the owner of the run reads this, and who may know finds it by the run."""
    model = "" if seen.is_same_model else ", on another model of GPU"
    who = "whose user is not known" if seen.uid is None else "of another user"
    return f"{'of the same user' if seen.is_same_user else who}{model}"


def _when(seen: Seen) -> str:
    if seen.night_at is None:
        return "in the same audit"
    day = datetime.fromtimestamp(seen.night_at, timezone.utc).date().isoformat()
    return f"in the audit of {day}"


def _reading(seen: Seen) -> str:
    again = "and so does a log that is printed again."
    if not seen.is_later:
        again = "and so does a log that both print; nobody can tell which was first."
    if seen.is_same_program is False and not seen.is_same_user:
        return f"a reproduction with the same seed under another command line looks so, {again}"
    return f"a program that runs once more with the same seed may print the same, {again}"


def _evidence(case: Case, seen: Seen) -> Evidence:
    others = f"{counted(seen.n_runs, 'run', 'runs')} of {counted(seen.n_users, 'other user', 'other users')}"
    if seen.n_users == 0:
        others = counted(seen.n_runs, "run", "runs")
    return Evidence(
        f"losses that came in the same order before ({others})",
        100.0 * seen.n / seen.of,
        "%",
        f"lake table points (loss) of {seen.log}, history table traces",
        see.beside(see.rows(case.run, "points", "at,step,loss"), f"beside the same of run {seen.run}"),
        "a checkpoint made in this run; one more run that prints the same digits; one training that two jobs "
        "log; a job whose purpose is to show another's log",
    )


CHECK = Check(
    "losses-seen-before",
    "Losses of another run",
    Family.D,
    detects="A log whose losses are those of another run of the same audit, or of an earlier one that the "
    "history store knows: to four digits and in the same order, whatever its times say; every record or "
    "every second one, the whole or a part of some hundred records.",
    does_not_detect="A log that was changed on the way: noise in one of every sixteen losses, every third "
    "record, small parts put together. Logs with fewer than 64 losses, with two or three digits, or as even "
    "as a formula. What no audit of this site has read, or the history has forgotten.",
    false_alarms="The same program with the same seed on the same kind of GPU repeats every digit where its "
    "kernels are deterministic: a run that is repeated, by its user or a colleague, and the tasks of an "
    "array (nothing is made of these), a result that another script reproduces, a course. That is context, a "
    "NOTE at most, and so is whatever a user's own runs had printed under another command line. Left out are "
    "steps made again after a restart, the same job requeued, records that stood in a copied file, and one "
    "file of several runs. Soft; another user's losses under another command line weigh more.",
    remedy="Ask what wrote the log. A checkpoint made in this run, or one more run with the same digits, "
    "settles it.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "its losses are its own"),
        Example("other-seed", "the same training with another seed, a night later"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("printed-again", "another user's losses of an earlier night, with fresh stamps"),
        Example("repeated", "the same run once more, digit for digit: context"),
    ),
    attack=("T1565.001",),
)
