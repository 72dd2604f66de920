"""[mail] and [chat]: who is written to and how, and what makes such a value wrong."""

import re
from dataclasses import dataclass
from typing import Any

from slurm_guard.configkey import key as _key

WAYS = ("smtp", "sendmail")
TLS = ("none", "starttls", "tls")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
VERDICTS = ("ALERT", "REVIEW", "NOTE", "NOT AUDITABLE")


@dataclass(frozen=True, slots=True)
class MailConfig:
    """[mail]: nothing is sent without --send."""

    sender: str = _key("slurm-guard@localhost", "From:")
    to: list[str] = _key([], "who gets the digest")
    reply_to: str = _key("", "Reply-To:")
    transport: str = _key("smtp", "how letters leave: smtp, or sendmail (the program below)")
    host: str = _key("localhost", "SMTP server")
    port: int = _key(25, "its port; usual are 25, 587 with tls = starttls, 465 with tls = tls")
    tls: str = _key("none", "none, starttls or tls (from the first byte); never falls back to none")
    ca_file: str = _key("", "CA certificates that the server's is checked with; empty: the system's")
    check_certificate: bool = _key(True, "false: whoever is on the way can read and change the letters")
    user: str = _key("", "name to log in with; empty: no login")
    password_file: str = _key("", "private file with its password, owned by root or who mails, mode 0600")
    sendmail: str = _key("/usr/sbin/sendmail", "the program of transport = sendmail")
    timeout_s: float = _key(30.0, "longest that the server may stall; five times this a letter in all")
    coordinators: bool = _key(False, "write to account coordinators about the runs of their accounts")
    coordinators_of: list[str] = _key(
        [], "whom instead of Slurm's coordinators, each `account: user or user@host, …`"
    )
    owners: list[str] = _key(
        [], "what owners are told of their own runs: verdicts and classes (mail.md); empty: nothing"
    )
    domain: str = _key("", "users' mail domain, for user@domain; needed for owners and Slurm's coordinators")
    contact: str = _key("", "whom owners may ask, as their letter says; empty: reply_to")
    per_minute: int = _key(60, "most letters a minute")
    per_night: int = _key(500, "most letters to owners and coordinators in 20 hours; the rest waits")
    quiet_days: list[str] = _key(
        [], "days on which only digests with an ALERT go out: saturday, 12-24 or 2026-12-24"
    )


@dataclass(frozen=True, slots=True)
class ChatConfig:
    """[chat]: a short message to chats and webhooks, with `mail --send`; needs slurm-guard[chat]."""

    urls_file: str = _key("", "private file of apprise URLs, one a line; empty: none")
    names: bool = _key(False, "name jobs and users in it")


EXAMPLES = {
    "mail.tls": 'tls = "starttls"',
    "mail.transport": 'transport = "smtp"',
    "mail.owners": 'owners = ["parked", "NOT AUDITABLE"]',
    "mail.coordinators_of": 'coordinators_of = ["physics: ann, head@physics.example.org"]',
    "mail.quiet_days": 'quiet_days = ["saturday", "sunday", "12-25", "2027-01-01"]',
    "mail.domain": 'domain = "hpc.example.org"',
    "mail.ca_file": 'ca_file = "/etc/ssl/certs/site-ca.pem"',
    "mail.password_file": 'password_file = "/etc/slurm-guard/mail.password"',
    "mail.user": 'user = "slurm-guard", with tls = "starttls" and a password_file',
    "mail.contact": 'contact = "hpc-support@example.org"',
    "chat.urls_file": 'urls_file = "/etc/slurm-guard/chat.urls"',
}

_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_DATE = re.compile(r"(\d{4}-)?(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_CLASS = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_OF = re.compile(r"([^\s:,@]+)\s*:\s*([^\s,:]+(?:\s*,\s*[^\s,:]+)*)")
MAY_BE_EMPTY = frozenset(
    {"ca_file", "user", "password_file", "coordinators_of", "owners", "domain", "contact", "quiet_days"}
    | {"urls_file"}
)


def wrong_mail(key: str, value: Any) -> str:
    """What is wrong with one value of [mail] or [chat]; empty: nothing."""
    name = key.rpartition(".")[2]
    if key in ("mail.transport", "mail.tls"):
        known = WAYS if name == "transport" else TLS
        return "" if value in known else f"must be one of {', '.join(known)}, not {value!a}"
    if name in ("ca_file", "password_file", "urls_file", "sendmail") and value and not value.startswith("/"):
        return f"({value!a}) must be a full path"
    if key == "mail.domain" and value and not _DOMAIN.fullmatch(value):
        return f"({value!a}) is no domain"
    if key == "mail.user" and value and not (value.isascii() and value.isprintable()):
        return "must be printable ASCII"
    rule = _RULES.get(key)
    bad = [part for part in value if not rule(part)] if rule is not None else []
    return f"holds {bad[0]!a}, which is none" if bad else ""


_RULES = {
    "mail.owners": lambda part: part in VERDICTS or _CLASS.fullmatch(part) is not None,
    "mail.quiet_days": lambda part: part.lower() in DAYS or _DATE.fullmatch(part) is not None,
    "mail.coordinators_of": lambda part: _OF.fullmatch(part.strip()) is not None,
}


def wrong_together(mail: MailConfig) -> tuple[str, str]:
    """(key, what is wrong) where single values are right and do not go together; empty: nothing."""
    if (mail.user == "") != (mail.password_file == ""):
        return "mail.user", "and mail.password_file belong together: one of them is empty"
    near = mail.host in ("localhost", "127.0.0.1", "::1")
    if mail.user and mail.transport == "smtp" and mail.tls == "none" and not near:
        return "mail.user", f"would send the password to {mail.host} as plain text"
    if mail.user and not mail.check_certificate:
        return "mail.check_certificate", "must be true where a password is sent: name the CA in mail.ca_file"
    slurms = mail.coordinators and not mail.coordinators_of
    if (mail.owners or slurms) and not mail.domain:
        return "mail.domain", "must be set where users are written to"
    if mail.coordinators_of and not mail.coordinators:
        return "mail.coordinators_of", "says nothing while mail.coordinators is false"
    return "", ""


def parse_coordinators(rules: list[str]) -> dict[str, tuple[str, ...]]:
    """`account: user, user@host` to account → readers, as a right configuration has them."""
    found: dict[str, tuple[str, ...]] = {}
    for rule in rules:
        match = _OF.fullmatch(rule.strip())
        if match is not None:
            readers = tuple(part.strip() for part in match.group(2).split(","))
            found[match.group(1).lower()] = found.get(match.group(1).lower(), ()) + readers
    return found
