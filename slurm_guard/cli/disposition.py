"""`slurm-guard disposition`: what came out when somebody had looked at a run."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import tzinfo

    from slurm_guard.config import Config
    from slurm_guard.model import Judgement
    from slurm_guard.siteword import Disposition


class Word(str, Enum):
    """What came out."""

    RIGHT = "right"
    WRONG = "wrong"
    UNCLEAR = "unclear"


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(disposition)


def disposition(
    run: Annotated[str | None, typer.Argument(help="a job, or the id of one of its runs")] = None,
    word: Annotated[
        Word | None, typer.Argument(help="right: what called it was there; wrong: another cause")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="how it was found out")] = "",
    show: Annotated[bool, typer.Option("--list", help="show what was said")] = False,
    withdraw: Annotated[
        int | None, typer.Option("--withdraw", help="the number that no longer holds")
    ] = None,
    audit: Annotated[
        Path | None, typer.Option("--audit", help="audit document; default: the latest", readable=False)
    ] = None,
    night: Annotated[str | None, typer.Option("--night", help="the night that began on this date")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
) -> None:
    """Keep whether a run was called rightly: the report then shows how often it is, with an interval.

    A later word on the same run takes the place of the earlier one.
    """
    from slurm_guard.cli import spoken
    from slurm_guard.config import load_config
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.report.words import load_zone
    from slurm_guard.siteword import Disposition

    settings = load_config(config)
    zone = load_zone(settings.report.timezone)
    if show:
        _show(settings, zone)
    elif withdraw is not None:
        typer.echo(spoken.withdraw(withdraw, Disposition, settings))
    elif run is None or word is None:
        raise GuardError(
            "run-missing",
            "a run and a word are needed",
            "slurm-guard disposition JOB right, or --list",
            EXIT_USAGE,
        )
    else:
        text = spoken.check_reason(note, "--note") if note else ""
        judgement = spoken.find_run(run, (audit, night), settings, "disposition")
        typer.echo(_words(_said(judgement, word, text, settings), zone))


def _said(judgement: "Judgement", word: Word, note: str, settings: "Config") -> "Disposition":
    from slurm_guard.audit.past import speaks
    from slurm_guard.cli import spoken
    from slurm_guard.clock import SystemClock
    from slurm_guard.memory.words import append
    from slurm_guard.siteword import Disposition

    checks = tuple(dict.fromkeys(f.check for f in judgement.findings if speaks(f)))
    now_at, by, subject = SystemClock().now_at(), spoken.speaker(), spoken.subject_of(judgement)
    done = append(
        spoken.words_path(settings),
        lambda n, _: Disposition(n, now_at, by, subject, word.value, judgement.verdict, checks, note),
    )
    assert isinstance(done, Disposition)
    return done


def _show(settings: "Config", zone: "tzinfo") -> None:
    """What holds: the last word on each run."""
    from slurm_guard.cli import spoken
    from slurm_guard.memory.words import read_book
    from slurm_guard.report.safe import clean

    book = read_book(spoken.words_path(settings))
    dispositions = book.words().dispositions
    if dispositions:
        spoken.log_list([d.subject for d in dispositions], settings, "disposition")
    for entry in dispositions:
        typer.echo(_words(entry, zone))
    for line in book.bad:
        typer.echo(f"not read: {clean(line, 200)}", err=True)
    if not dispositions:
        typer.echo("no run has a disposition")


def _words(said: "Disposition", zone: "tzinfo") -> str:
    from slurm_guard.report.safe import clean
    from slurm_guard.report.words import Times

    note = f": {clean(said.note, 1000)}" if said.note else ""
    checks = f" ({', '.join(clean(check, 60) for check in said.checks)})" if said.checks else ""
    return (
        f"{said.id}: {clean(said.subject.run, 80)} of {clean(said.subject.user, 40)}: {said.verdict.value}"
        f"{checks} was {said.word}; by {clean(said.by.name, 40)} {Times(zone).full(said.said_at)}{note}"
    )
