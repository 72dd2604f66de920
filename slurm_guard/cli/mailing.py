"""What `slurm-guard mail` does: whom to write to, sending, and saying what became of each letter."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from slurm_guard.config import Config
    from slurm_guard.model import Audit
    from slurm_guard.report.drafts import Drafts, Sender
    from slurm_guard.report.letterbox import Kept, Letterbox
    from slurm_guard.report.outbox import Delivery
    from slurm_guard.report.post import Draft
    from slurm_guard.report.transport import Transport

_MOST_MISSED = 10  # names that are listed; the rest is counted


def drafts_of(audit: "Audit", to: list[str] | None, settings: "Config", page: str = "") -> "list[Draft]":
    """Everything that this night would be written. With `to` only the digest, to these. `page`: the night's
    page, which admins alone are told of.

    Raises GuardError mail-nobody, mail-address and those of the chat's file.
    """
    from dataclasses import replace

    from slurm_guard.clock import SystemClock
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.report.drafts import Sender, digest_drafts
    from slurm_guard.report.letter import check_address
    from slurm_guard.report.page import Options
    from slurm_guard.report.render import find_method
    from slurm_guard.report.words import load_zone

    readers = dict.fromkeys(check_address(text, "recipient").addr_spec for text in to or settings.mail.to)
    report = settings.report
    zone, method = load_zone(report.timezone), find_method()
    options = Options(report.site, zone, method_url=report.method_url, method_file=method)
    by = Sender(settings.mail.sender, settings.mail.reply_to, options, SystemClock().now_at())
    drafts = digest_drafts(audit, readers, replace(by, options=replace(options, night_page=page)))
    if not to:
        drafts += _chats(audit, settings, by) + _people(audit, settings, by)
    anybody = settings.mail.coordinators or settings.mail.owners or settings.chat.urls_file
    if not readers and (to or not anybody):
        raise GuardError(
            "mail-nobody", "nobody to write to", "set mail.to, or name a reader with --to", EXIT_USAGE
        )
    return drafts


def _chats(audit: "Audit", settings: "Config", by: "Sender") -> "list[Draft]":
    from slurm_guard.report.chat import read_urls
    from slurm_guard.report.drafts import chat_drafts

    if not settings.chat.urls_file:
        return []
    return chat_drafts(audit, read_urls(Path(settings.chat.urls_file)), by, settings.chat.names)


def _people(audit: "Audit", settings: "Config", by: "Sender") -> "list[Draft]":
    """Coordinators and owners; whom nobody can write to is said, and stops nobody else's letter."""
    from dataclasses import replace

    from slurm_guard.errors import GuardError
    from slurm_guard.report import drafts, owner
    from slurm_guard.report.addresses import look_up
    from slurm_guard.report.letter import check_address
    from slurm_guard.report.observing import open_partitions

    conf = settings.mail
    open_ = open_partitions(settings.audit.observe_only, settings.audit.enforce_partitions, audit.settings)
    contact = conf.contact or conf.reply_to
    desk = owner.Desk(settings.report.site, by.options.zone, conf.owners, open_, contact, conf.coordinators)
    of: dict[str, tuple[str, ...]] = {}
    try:
        of = _coordinators(settings) if conf.coordinators else {}
    except GuardError as error:
        typer.echo(f"coordinators are not written to: {error.slug}: {error.sentence}", err=True)
    names = {*owner.told_runs(audit, desk), *(name for names in of.values() for name in names)}
    admins = frozenset(check_address(text, "mail.to").addr_spec for text in conf.to)
    people = look_up(names)
    if people.silent and names:
        typer.echo(f"{people.silent}: letters go to user@{conf.domain} without a greeting", err=True)
    who = drafts.Who(people, conf.domain, open_, admins, bool(conf.coordinators_of))
    found = [
        drafts.coordinator_drafts(audit, of, by, who),
        drafts.owner_drafts(audit, desk, by, replace(who, may_be_addresses=False)),
    ]
    _say_missed(found)
    return [draft for each in found for draft in each.drafts]


def _coordinators(settings: "Config") -> "dict[str, tuple[str, ...]]":
    """By account in lower case. Raises GuardError coordinators-unknown."""
    from slurm_guard.configmail import parse_coordinators
    from slurm_guard.slurm.coordinators import load_coordinators

    if settings.mail.coordinators_of:
        return parse_coordinators(settings.mail.coordinators_of)
    found = load_coordinators(settings.slurm.sacct, settings.slurm.timeout_s)
    return {account.lower(): users for account, users in found.items()}


def _say_missed(found: "list[Drafts]") -> None:
    missed = {name: why for each in found for name, why in each.missed.items()}
    for name, why in sorted(missed.items())[:_MOST_MISSED]:
        typer.echo(f"{name}: no letter: {why}", err=True)
    if len(missed) > _MOST_MISSED:
        typer.echo(f"and {len(missed) - _MOST_MISSED:,} others without a letter", err=True)


def send_all(box: "Letterbox", drafts: "list[Draft]", settings: "Config") -> None:
    """Queue, send, and say what became of each letter. Raises GuardError where one is not certainly sent."""
    from slurm_guard.clock import SystemClock
    from slurm_guard.report.outbox import Limits, Outbox
    from slurm_guard.report.post import Post
    from slurm_guard.report.quiet import is_quiet
    from slurm_guard.report.words import load_zone

    conf, clock = settings.mail, SystemClock()
    carriers = _carriers(settings)
    quiet = is_quiet(clock.now_at(), load_zone(settings.report.timezone), conf.quiet_days)
    limits = Limits(conf.per_minute, conf.per_night, quiet)
    with box.locked():
        queued = [Post(box, conf.sender, quiet).put(draft) for draft in drafts]
        tried = Outbox(box, clock, limits).deliver(carriers)
    _tell(queued, tried)


def _carriers(settings: "Config") -> "dict[str, Transport]":
    """By kind of letter. Raises GuardError for a secret, a CA file or an extra that is not right."""
    from slurm_guard.report.chat import ChatTransport, read_urls
    from slurm_guard.report.letter import CHAT, COORDINATOR, DIGEST, OWNER
    from slurm_guard.report.secret import read_password
    from slurm_guard.report.sendmail import SendmailTransport
    from slurm_guard.report.smtp import Server, SmtpTransport

    conf, chat = settings.mail, settings.chat
    way: Transport
    if conf.transport == "sendmail":
        way = SendmailTransport(conf.sendmail, conf.timeout_s)
    else:
        password = read_password(Path(conf.password_file)) if conf.user else ""
        way = SmtpTransport(
            Server(
                conf.host, conf.port, conf.timeout_s, conf.tls, conf.ca_file, conf.check_certificate,
                conf.user, password,
            )
        )  # fmt: skip
    carriers: dict[str, Transport] = dict.fromkeys((DIGEST, COORDINATOR, OWNER), way)
    if chat.urls_file:
        carriers[CHAT] = ChatTransport(read_urls(Path(chat.urls_file)))
    return carriers


def _tell(queued: "list[Kept]", tried: "list[Delivery]") -> None:
    """One line a letter, of this night and of earlier ones that were tried; then the failure, if any."""
    from slurm_guard.errors import GuardError
    from slurm_guard.report.letterbox import Status

    now = {d.kept.path: d for d in tried}
    shown = [*dict.fromkeys(k.path for k in queued), *(p for p in now if p not in {k.path for k in queued})]
    known = {k.path: k for k in queued} | {path: d.kept for path, d in now.items()}
    bad = []
    for path in shown:
        state = known[path].state
        before = "" if path in now else " (by an earlier run)"
        typer.echo(f"{state.to}: {state.status.value}{before}: {state.detail}")
        trouble = now[path].trouble if path in now else ""
        if trouble or state.status in (Status.REFUSED, Status.DEFERRED, Status.UNCLEAR):
            bad.append((known[path], trouble))
    if not bad:
        return
    sentence = _fate(sum(k.state.status is Status.UNCLEAR for k, _ in bad), len(bad), len(shown))
    trouble = next((slug for _, slug in bad if slug), "")
    hint = _HINTS.get(trouble, "")
    if trouble:
        sentence = f"{sentence}: {next(k.state.detail for k, slug in bad if slug)}"
    final = [k for k, _ in bad if k.state.status in (Status.REFUSED, Status.UNCLEAR)]
    if final:
        names = ", ".join(f"slurm-guard mail --again {k.name}" for k in final[:3])
        hint = f"{hint or _LATER}; to try a refused or unclear one again: {names}"
    raise GuardError(trouble or "mail-unsent", sentence, hint or _LATER)


def _fate(n_unclear: int, n_bad: int, n: int) -> str:
    """What became of the letters that nobody confirmed."""
    unsent = f"{n_bad - n_unclear} of {n} letters {'was' if n_bad - n_unclear == 1 else 'were'} not sent"
    unclear = f"{n_unclear} of {n} may or may not have arrived"
    return "; ".join([*([unclear] if n_unclear else []), *([unsent] if n_bad > n_unclear else [])])


_LATER = "deferred letters are tried again by the next run"
_HINTS = {
    "mail-server": "look at mail.host, mail.port and the server's log; what waits goes with the next run",
    "mail-tls": "look at mail.tls, mail.port and mail.ca_file; mail.host has to be the certificate's name",
    "mail-login": "look at mail.user and the first line of mail.password_file",
    "mail-sendmail": "look at mail.sendmail, and at that program's own log",
}
