"""`slurm-guard mail`: the night's digest; a dry run unless --send."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slurm_guard.config import MailConfig
    from slurm_guard.report.mail import Letter
    from slurm_guard.report.outbox import Outbox


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(mail)


def mail(
    audit: Annotated[
        Path | None, typer.Option("--audit", help="audit document; default: the latest", readable=False)
    ] = None,
    night: Annotated[str | None, typer.Option("--night", help="the night that began on this date")] = None,
    to: Annotated[
        list[str] | None, typer.Option("--to", help="a reader instead of mail.to; may be repeated")
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="send; without it everything but that is done")
    ] = False,
    outbox: Annotated[Path | None, typer.Option("--outbox", help="folder of letters and their state")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
) -> None:
    """Mail the night's digest to its readers, each exactly once however often this is run."""
    from slurm_guard.clock import SystemClock
    from slurm_guard.config import load_config
    from slurm_guard.report.archive import choose_document, read_document
    from slurm_guard.report.mail import Envelope, audit_digest, compose
    from slurm_guard.report.outbox import Outbox
    from slurm_guard.report.page import Options
    from slurm_guard.report.words import load_zone

    settings, clock = load_config(config), SystemClock()
    base = Path(settings.report.path)
    whole = read_document(choose_document(audit, night, base))
    options = Options(settings.report.site, load_zone(settings.report.timezone))
    box = Outbox((outbox or base / "outbox") / audit_digest(whole)[:32], clock)
    letters = [
        compose(
            whole, options, Envelope(settings.mail.sender, reader, settings.mail.reply_to), clock.now_at()
        )
        for reader in _readers(to, settings.mail)
    ]
    for letter in letters:
        path = box.write_letter(letter)
        size = f"{len(letter.content) / 1000:.1f} kB"
        typer.echo(f"{letter.envelope.to}: {letter.subject} ({size}): {path}")
    if send:
        _send(box, letters, settings.mail)
    else:
        typer.echo("dry run: nothing was sent; --send sends")


def _readers(to: list[str] | None, settings: "MailConfig") -> list[str]:
    """Each address once. Raises GuardError mail-nobody, mail-address."""
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.report.mail import check_address

    readers = dict.fromkeys(check_address(text, "recipient").addr_spec for text in to or settings.to)
    if not readers:
        raise GuardError(
            "mail-nobody", "nobody to write to", "set mail.to, or name a reader with --to", EXIT_USAGE
        )
    return list(readers)


def _send(box: "Outbox", letters: "list[Letter]", settings: "MailConfig") -> None:
    """Send and say what became of each letter; GuardError mail-unsent unless all have been sent."""
    from slurm_guard.errors import GuardError
    from slurm_guard.report.smtp import Fate, SmtpTransport

    transport = SmtpTransport(settings.host, settings.port, settings.timeout_s)
    deliveries = box.deliver(letters, transport)
    for d in deliveries:
        before = "" if d.now else " (by an earlier run)"
        typer.echo(f"{d.to}: {d.fate.value}{before}: {d.detail}")
    unsent = [d for d in deliveries if d.fate is not Fate.SENT]
    if unsent:
        raise GuardError(
            "mail-unsent",
            f"{len(unsent)} of {len(deliveries)} letters were not sent for certain",
            "deferred ones are tried again by the next run; to try a refused or unclear one again, remove "
            + ", ".join(str(d.state_path) for d in unsent if d.fate is not Fate.DEFERRED)
            if any(d.fate is not Fate.DEFERRED for d in unsent)
            else "run it again: deferred letters are tried again",
        )
