"""One audit as a letter: text complete on its own, HTML in one column, headers that no job can reach."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses

from slurm_guard import document
from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.model import Audit, Verdict
from slurm_guard.report import words
from slurm_guard.report.decisions import is_set_aside
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.render import render_mail_html
from slurm_guard.report.safe import clean
from slurm_guard.report.text import Style, render_text
from slurm_guard.report.view import Page

MOST_BYTES = 300_000  # the project's budget; above it some providers clip and some sites refuse
_WIDTH = 76  # RFC 5322 recommends at most 78
# (cards, rows) per verdict, tried in this order until the letter is small enough.
_CUTS = ((10, 40), (5, 25), (2, 15), (1, 5), (0, 5))


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who writes to whom."""

    sender: str
    to: str
    reply_to: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """A composed message: CRLF line ends, 7-bit."""

    envelope: Envelope
    subject: str
    message_id: str
    content: bytes


def check_address(text: str, where: str) -> Address:
    """One plain address, `Name <user@host>` or bare. Raises GuardError mail-address."""
    # getaddresses, not parseaddr: Python 3.10's takes the first of several and forgets the rest.
    found = getaddresses([text]) if text.isprintable() else []
    name, bare = found[0] if len(found) == 1 else ("", "")
    try:
        if not bare.isascii() or not bare or "@" not in bare:
            raise ValueError("no plain ASCII address")
        return Address(display_name=name, addr_spec=bare)
    except (ValueError, IndexError, AttributeError, MessageError):  # what the parser raises for broken input
        raise GuardError(
            "mail-address", f"{where}: {clean(text, 80)} is not a mail address", "write user@host", EXIT_USAGE
        ) from None


def audit_digest(audit: Audit) -> str:
    """The document's SHA-256: the same audit, the same letters."""
    return hashlib.sha256(document.to_json(audit).encode()).hexdigest()


def compose(audit: Audit, options: Options, envelope: Envelope, date_at: float) -> Letter:
    """The digest of one audit for one reader, cut to MOST_BYTES; what is cut is counted in the letter.

    The Message-ID follows from audit and recipient alone. Raises GuardError mail-address.
    """
    sender, to = check_address(envelope.sender, "mail.sender"), check_address(envelope.to, "recipient")
    heads = _Heads(sender, to, _message_id(audit, to, sender), date_at)
    for cards, rows in _CUTS:
        page = build_page(audit, replace(options, most_cards=cards, most_rows=rows))
        letter = _compose(page, _subject(audit, page.title), heads, envelope.reply_to)
        if len(letter.content) <= MOST_BYTES:
            break
    return letter


@dataclass(frozen=True, slots=True)
class _Heads:
    sender: Address
    to: Address
    message_id: str
    date_at: float


def _compose(page: Page, subject: str, heads: _Heads, reply_to: str) -> Letter:
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(heads.sender.display_name or "slurm-guard", addr_spec=heads.sender.addr_spec)
    message["To"] = heads.to
    if reply_to:
        message["Reply-To"] = check_address(reply_to, "mail.reply_to")
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.fromtimestamp(heads.date_at, timezone.utc))
    message["Message-ID"] = heads.message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notes in return
    text = render_text(page, Style(_WIDTH, cards=("alert", "review")))
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(inline_css(render_mail_html(page)), subtype="html", cte="quoted-printable")
    # Boundaries are drawn at random otherwise, and the same letter must have the same bytes.
    message.set_boundary(f"=_guard_{heads.message_id[1:38]}")
    envelope = Envelope(heads.sender.addr_spec, heads.to.addr_spec, reply_to)
    return Letter(envelope, subject, heads.message_id, bytes(message))


def _subject(audit: Audit, title: str) -> str:
    called = [j.verdict for j in audit.judgements if not is_set_aside(j)]
    n_alerts, n_reviews = called.count(Verdict.ALERT), called.count(Verdict.REVIEW)
    n_runs = words.plural(len(audit.judgements), "run")
    n_aside = len(audit.judgements) - len(called)
    aside = f"{n_aside} explained, " if n_aside else ""
    n_strangers = len({(o.node, o.pid) for o in audit.strangers})
    stray = f"{words.plural(n_strangers, 'process', 'processes')} of no run, " if n_strangers else ""
    counts = f"{words.plural(n_alerts, 'alert')}, {n_reviews} to review, {stray}{aside}{n_runs}"
    return f"{title}: {counts if audit.judgements else 'no runs'}"


def _message_id(audit: Audit, to: Address, sender: Address) -> str:
    reader = hashlib.sha256(to.addr_spec.encode()).hexdigest()
    return f"<{audit_digest(audit)[:24]}.{reader[:12]}@{sender.domain}>"


def inline_css(html: str) -> str:
    """The style sheet moved into the tags, because several mail programs drop the head. Fetches nothing."""
    import css_inline

    inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=False)
    return str(inliner.inline(html))
