"""A night's drafts: the digest for admins, and their part of it for coordinators and owners."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from slurm_guard.errors import GuardError
from slurm_guard.model import Audit, Verdict
from slurm_guard.report import chat, mail, owner
from slurm_guard.report.addresses import People, Person, address_of
from slurm_guard.report.cut import only_accounts
from slurm_guard.report.letter import CHAT, COORDINATOR, DIGEST, OWNER, Envelope, Letter, check_address
from slurm_guard.report.page import Options
from slurm_guard.report.post import Draft
from slurm_guard.report.safe import clean


@dataclass(frozen=True, slots=True)
class Sender:
    """Who writes, when, and how pages are cut."""

    sender: str
    reply_to: str
    options: Options
    date_at: float


@dataclass(slots=True)
class Drafts:
    """What would be written, and whom nobody can write to: user → why."""

    drafts: list[Draft] = field(default_factory=list)
    missed: dict[str, str] = field(default_factory=dict)


def digest_drafts(audit: Audit, readers: Iterable[str], by: Sender) -> list[Draft]:
    """The whole night for each reader."""
    night, digest = mail.night_of(audit, by.options.zone), mail.audit_digest(audit)
    alert, note = mail.is_alert(audit), mail.counts(audit)
    return [
        Draft(
            DIGEST, to, night, digest,
            partial(_digest, audit, by, Envelope(by.sender, to, by.reply_to)), alert, note,
        )
        for to in readers
    ]  # fmt: skip


def _digest(audit: Audit, by: Sender, envelope: Envelope, sort: mail.Sort) -> Letter:
    return mail.compose(audit, by.options, envelope, by.date_at, sort)


def chat_drafts(audit: Audit, keys: Iterable[str], by: Sender, names: bool) -> list[Draft]:
    """A few lines for each chat, known by its key; `names`: with those of jobs and users."""
    night, digest = mail.night_of(audit, by.options.zone), mail.audit_digest(audit)
    alert, note = mail.is_alert(audit), mail.counts(audit)
    return [
        Draft(
            CHAT, key, night, digest,
            partial(chat.compose, audit, by.options.site, names, key), alert, note,
        )
        for key in keys
    ]  # fmt: skip


def coordinator_drafts(audit: Audit, of: Mapping[str, Iterable[str]], by: Sender, who: "Who") -> Drafts:
    """For each coordinator one letter on all accounts of his that have a run other than CLEAR. `of`: account
    (lower case) → users and addresses."""
    accounts: dict[str, set[str]] = {}
    for account, readers in of.items():
        for reader in readers:
            accounts.setdefault(reader, set()).add(account)
    found = Drafts()
    for reader, own in sorted(accounts.items()):
        part = only_accounts(_written(audit, who), own)
        if all(j.verdict is Verdict.CLEAR for j in part.judgements):
            continue
        envelope = _envelope((reader, set()), by, who, found.missed)
        if envelope is None or envelope.to in who.admins:
            continue
        with_runs = sorted({j.run.account for j in part.judgements})
        shown = ", ".join(clean(name, 40) for name in with_runs[:8]) + (", …" if len(with_runs) > 8 else "")
        options = replace(by.options, scope=f"Runs of accounts that you coordinate: {shown}.")
        night, digest = mail.night_of(audit, by.options.zone), mail.audit_digest(part)
        compose = partial(_digest, part, replace(by, options=options), envelope)
        found.drafts.append(Draft(COORDINATOR, envelope.to, night, digest, compose))
    return found


def owner_drafts(audit: Audit, desk: owner.Desk, by: Sender, who: "Who") -> Drafts:
    """For each owner one letter on those of his runs that the site tells owners of."""
    found = Drafts()
    for user, own in sorted(owner.told_runs(audit, desk).items()):
        uids = {j.run.uid for j in own if j.run.uid is not None}
        envelope = _envelope((user, uids), by, who, found.missed)
        if envelope is None:
            continue
        view = owner.build_view(audit, own, desk)
        night = mail.night_of(audit, desk.zone)
        compose = partial(_owner, view, envelope, by.date_at)
        found.drafts.append(Draft(OWNER, envelope.to, night, owner.view_digest(view), compose))
    return found


def _owner(view: owner.OwnerView, envelope: Envelope, date_at: float, sort: mail.Sort) -> Letter:
    return owner.compose(view, envelope, date_at, sort)


@dataclass(frozen=True, slots=True)
class Who:
    """Who users are. `open_`: partitions of which people besides the admins are written to, null: all;
    `admins`: addresses that get the whole digest; `may_be_addresses`: readers with an @ are addresses, as the
    configuration may have them: accounting never has."""

    people: People
    domain: str
    open_: frozenset[str] | None = None
    admins: frozenset[str] = frozenset()
    may_be_addresses: bool = False


def _written(audit: Audit, who: Who) -> Audit:
    if who.open_ is None:
        return audit
    kept = tuple(j for j in audit.judgements if j.run.partition in who.open_)
    return replace(audit, judgements=kept)


def _envelope(reader: tuple[str, set[int]], by: Sender, who: Who, missed: dict[str, str]) -> Envelope | None:
    """Null: nobody can write to them, and `missed` says why. `reader`: a user with the uids that accounting
    has for the name."""
    name, uids = reader
    person = who.people.known.get(name)
    is_address = who.may_be_addresses and "@" in name
    why = "" if is_address else _unreachable(person, uids, who.people)
    try:
        to = check_address(name if is_address else address_of(name, who.domain), "recipient").addr_spec
    except GuardError:
        to, why = "", why or "no mail address can be made of the name"
    if why:
        missed[clean(name, 60)] = why
        return None
    return Envelope(by.sender, to, by.reply_to, person.full_name if person is not None else "")


def _unreachable(person: Person | None, uids: set[int], people: People) -> str:
    """Why nobody is sure that a name is who ran the job; empty: it is, or the database did not answer."""
    if person is None:
        return "" if people.silent else "unknown to this machine"
    others = sorted(uids - {person.uid})
    return f"has uid {person.uid} here and {others[0]} in accounting" if others else ""
