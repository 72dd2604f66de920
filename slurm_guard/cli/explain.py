"""`slurm-guard explain`: the site says why a finding needs no look, and until when."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import tzinfo

    from slurm_guard.config import Config
    from slurm_guard.model import Judgement
    from slurm_guard.siteword import Exemption


class Scope(str, Enum):
    """Which runs."""

    RUN = "run"
    JOB_NAME = "job-name"
    USER = "user"
    ACCOUNT = "account"


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(explain)


def explain(
    run: Annotated[str | None, typer.Argument(help="a job, or the id of one of its runs")] = None,
    because: Annotated[str | None, typer.Option("--because", help="why it needs no look")] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="when this ends: a date; default: in 30 days, at most 366")
    ] = None,
    scope: Annotated[
        Scope,
        typer.Option("--scope", help="this run, or later ones of its user with its job name, user, account"),
    ] = Scope.RUN,
    check: Annotated[
        list[str] | None,
        typer.Option("--check", help="a check that is meant; default: the one that called the run"),
    ] = None,
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
    """Say why a run's findings need no look: it is kept with your name and an end, and shown beside them.

    The verdict stays. Checks that are not named, and hard facts where none was explained, go on calling.
    """
    from slurm_guard.cli import spoken
    from slurm_guard.config import load_config
    from slurm_guard.report.words import load_zone
    from slurm_guard.siteword import Exemption

    settings = load_config(config)
    zone = load_zone(settings.report.timezone)
    if show:
        _show(settings, zone)
    elif withdraw is not None:
        typer.echo(spoken.withdraw(withdraw, Exemption, settings))
    else:
        _check_run(run)
        reason = spoken.check_reason(because, "--because")
        judgement = spoken.find_run(run or "", (audit, night), settings, "explain")
        said = _said(judgement, (reason, scope.value, until, check or []), zone, settings)
        typer.echo(_words(said, zone))
        typer.echo("It holds from the next audit on; audit this night again to see it in its report.")


def _check_run(run: str | None) -> None:
    from slurm_guard.errors import EXIT_USAGE, GuardError

    if run is None:
        raise GuardError(
            "run-missing", "no run is named", "slurm-guard explain JOB --because …, or --list", EXIT_USAGE
        )


def _said(
    judgement: "Judgement", said: tuple[str, str, str | None, list[str]], zone: "tzinfo", settings: "Config"
) -> "Exemption":
    from slurm_guard.cli import spoken
    from slurm_guard.clock import SystemClock
    from slurm_guard.memory.words import append
    from slurm_guard.siteword import Exemption

    reason, scope, until, named = said
    checks = _checks(judgement, named)
    found = {f.check for f in judgement.findings if f.hard}
    hard = tuple(check for check in checks if check in found)
    now_at = SystemClock().now_at()
    until_at = _until(until, now_at, zone)
    by, subject = spoken.speaker(), spoken.subject_of(judgement)
    done = append(
        spoken.words_path(settings),
        lambda n, _: Exemption(n, now_at, by, subject, scope, checks, hard, until_at, reason),
    )
    assert isinstance(done, Exemption)
    return done


def _checks(judgement: "Judgement", named: list[str]) -> tuple[str, ...]:
    """The checks that are meant. Raises GuardError check-unknown, explain-nothing, explain-which."""
    import difflib

    from slurm_guard.audit.past import speaks
    from slurm_guard.audit.registry import CHECKS
    from slurm_guard.errors import EXIT_USAGE, GuardError

    known = [check.id for check in CHECKS]
    for name in named:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else "docs/checks.md has them all"
            raise GuardError("check-unknown", f"no check is called {name!a}", hint, EXIT_USAGE)
    called = tuple(dict.fromkeys(f.check for f in judgement.findings if speaks(f)))
    if not called and not named:
        raise GuardError(
            "explain-nothing",
            f"nothing called this run: its verdict is {judgement.verdict.value}",
            "name the check that may call it later with --check",
            EXIT_USAGE,
        )
    if len(called) > 1 and not named:  # who explains a tunnel means no second program beside it
        raise GuardError(
            "explain-which",
            f"{len(called)} checks called this run, and each is explained by its name",
            "add those that you mean: " + " ".join(f"--check {name}" for name in called),
            EXIT_USAGE,
        )
    return tuple(dict.fromkeys(named)) or called


def _until(text: str | None, now_at: float, zone: "tzinfo") -> float:
    """The end. Raises GuardError until-range, time-syntax."""
    from slurm_guard.cli.audit import parse_instant
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.siteword import DAY_S, MOST_DAYS, USUAL_DAYS

    if text is None:
        return now_at + USUAL_DAYS * DAY_S - now_at % 60.0
    until_at = parse_instant(text, zone)
    if not now_at < until_at <= now_at + MOST_DAYS * DAY_S:
        raise GuardError(
            "until-range",
            f"--until {text!a} is not within the next {MOST_DAYS} days",
            "what is to hold for longer belongs into the configuration; else say it again next year",
            EXIT_USAGE,
        )
    return until_at


def _show(settings: "Config", zone: "tzinfo") -> None:
    """Every exemption, also those that no longer hold, with why they do not."""
    from slurm_guard.cli import spoken
    from slurm_guard.clock import SystemClock
    from slurm_guard.memory.words import read_book
    from slurm_guard.report.safe import clean
    from slurm_guard.report.words import Times
    from slurm_guard.siteword import Exemption

    book, now_at = read_book(spoken.words_path(settings)), SystemClock().now_at()
    entries = [e for e in book.entries if isinstance(e, Exemption)]
    if entries:
        spoken.log_list([e.subject for e in entries], settings, "explain")
    for entry in entries:
        gone = book.withdrawn.get(entry.id)
        if gone is not None:
            state = f" [withdrawn by {clean(gone.by.name, 40)} {Times(zone).full(gone.said_at)}]"
        else:
            state = " [ended]" if entry.until_at <= now_at else ""
        typer.echo(_words(entry, zone) + state)
    for line in book.bad:
        typer.echo(f"not read: {clean(line, 200)}", err=True)
    if not entries:
        typer.echo("nothing is explained")


def _words(said: "Exemption", zone: "tzinfo") -> str:
    """One exemption on one line; every string of it made harmless."""
    from slurm_guard.report.safe import clean
    from slurm_guard.report.words import SCOPES, Times

    times = Times(zone)
    hard = " with its hard facts"
    checks = ", ".join(clean(name, 60) + (hard if name in said.hard else "") for name in said.checks)
    who = f"job {clean(said.subject.job, 40)} of {clean(said.subject.user, 40)}"
    return (
        f"{said.id}: {who}, for {SCOPES[said.scope]}: {checks}; by {clean(said.by.name, 40)} "
        f"{times.full(said.said_at)}, until {times.full(said.until_at)} {times.zone_name(said.until_at)}: "
        f"{clean(said.reason, 1000)}"
    )
