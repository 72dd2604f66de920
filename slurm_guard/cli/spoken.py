"""What `explain` and `disposition` share: the run that is meant, who speaks, and taking it back."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slurm_guard.config import Config
    from slurm_guard.memory.words import Book, Entry
    from slurm_guard.model import Judgement
    from slurm_guard.siteword import Speaker, Subject


def words_path(settings: "Config") -> Path:
    """Where the site's words stand."""
    from slurm_guard.memory.words import NAME

    return Path(settings.report.path) / NAME


def find_run(
    text: str, which: tuple[Path | None, str | None], settings: "Config", command: str
) -> "Judgement":
    """The run of that id or job in a night's document; who looked is logged. `which`: --audit and --night.

    Raises GuardError run-unknown, run-ambiguous.
    """
    from slurm_guard.cli.chosen import is_inside, log_look
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.report.archive import choose_document, read_document
    from slurm_guard.report.safe import clean
    from slurm_guard.report.viewlog import owners

    reports = Path(settings.report.path)
    path = choose_document(*which, reports)
    judgements = read_document(path).judgements
    found = [j for j in judgements if text == j.run.id] or [
        j for j in judgements if text in (j.run.job, str(j.run.job_id))
    ]
    if not found:
        raise GuardError(
            "run-unknown",
            f"no run {clean(text, 80)} stands in {path}",
            "name its job or its id; for another night --night 2026-09-22",
            EXIT_USAGE,
        )
    if is_inside(reports, path):
        what = (path.resolve().parent.name, f"run {clean(text, 80)}", "text")
        log_look(command, what, (len(found), owners(found)), settings)
    if len(found) > 1:
        ids = ", ".join(clean(j.run.id, 80) for j in found[:8]) + (" …" if len(found) > 8 else "")
        raise GuardError(
            "run-ambiguous", f"{clean(text, 80)} is {len(found)} runs", f"name one: {ids}", EXIT_USAGE
        )
    return found[0]


def log_list(subjects: "list[Subject]", settings: "Config", command: str) -> None:
    """`--list` shows whose runs were spoken of: that is a view of them as well."""
    from slurm_guard.cli.chosen import log_look

    seen = {subject.user[:64] or f"uid {subject.uid}" for subject in subjects}
    log_look(command, ("", "what was said", "text"), (len({s.run for s in subjects}), seen), settings)


def subject_of(judgement: "Judgement") -> "Subject":
    """The run as the words keep it."""
    from slurm_guard.siteword import Subject

    run = judgement.run
    return Subject(run.id, run.cluster, run.job, run.user, run.uid, run.account, run.name, run.start_at)


def speaker() -> "Speaker":
    """Whoever runs this."""
    import os

    from slurm_guard.memory.speaker import find_speaker

    return find_speaker(os.environ)


def check_reason(text: str | None, option: str) -> str:
    """A reason that says something and fits. Raises GuardError reason-missing, reason-long."""
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.siteword import MOST_REASON

    said = (text or "").strip()
    if not said:
        raise GuardError(
            "reason-missing", f"{option} says nothing", "a sentence for those who read it later", EXIT_USAGE
        )
    if len(said) > MOST_REASON:
        raise GuardError(
            "reason-long",
            f"{option} has {len(said)} characters",
            f"{MOST_REASON} at most: name a ticket",
            EXIT_USAGE,
        )
    return said


def withdraw(number: int, kind: "type[Entry]", settings: "Config") -> str:
    """Take one back; the line to print. Raises GuardError words-unknown."""
    from slurm_guard.clock import SystemClock
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.memory.words import Withdrawal, append

    by, now_at = speaker(), SystemClock().now_at()

    def make(n: int, book: "Book") -> "Entry":
        holds = {e.id for e in book.entries if isinstance(e, kind)} - book.withdrawn.keys()
        if number not in holds:
            raise GuardError(
                "words-unknown", f"there is no {number} that holds", "--list shows those that do", EXIT_USAGE
            )
        return Withdrawal(n, now_at, by, number)

    append(words_path(settings), make)
    return f"{number} no longer holds, from the next audit on"
