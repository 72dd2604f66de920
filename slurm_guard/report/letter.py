"""A letter as bytes: headers that no job can reach, text and HTML, pictures inside; always the same ones."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime, getaddresses

from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.report.safe import clean
from slurm_guard.report.view import Picture

Image = Picture  # inside the HTML, which refers to it as `cid:NAME`

DIGEST, COORDINATOR, OWNER, CHAT = "digest", "coordinator", "owner", "chat"  # kinds of letters
_LISTS = (DIGEST, COORDINATOR)  # many readers, no personal mail (RFC 2919, RFC 3834)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who writes to whom. `name`: the reader's, as he is greeted; empty: none is known."""

    sender: str
    to: str
    reply_to: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Strand:
    """Where a letter stands among others. `earlier`: those of the same night and reader that went out before
    it, oldest first: it takes their place. `root`: what the nights of a month hang from; no letter."""

    message_id: str
    root: str = ""
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Letter:
    """A composed message: CRLF line ends, 7-bit. `kind`: one of the constants above."""

    envelope: Envelope
    subject: str
    message_id: str
    content: bytes
    kind: str = DIGEST


@dataclass(frozen=True, slots=True)
class Heads:
    """What becomes the headers, besides the envelope."""

    envelope: Envelope
    subject: str
    strand: Strand
    date_at: float
    kind: str = DIGEST
    list_name: str = ""  # of List-Id: the cluster


@dataclass(frozen=True, slots=True)
class Body:
    """Two parts that say the same, and the pictures of the second; those it does not refer to stay out."""

    text: str
    html: str
    images: Sequence[Image] = ()


def check_address(text: str, where: str) -> Address:
    """One plain address, `Name <user@host>` or bare. Raises GuardError mail-address."""
    # getaddresses, not parseaddr: Python 3.10's takes the first of several and forgets the rest.
    found = getaddresses([text]) if text.isprintable() and len(text) <= 1000 else []
    name, bare = found[0] if len(found) == 1 else ("", "")
    try:
        if not bare.isascii() or not bare or "@" not in bare or len(bare) > 254:  # RFC 5321 4.5.3.1.3
            raise ValueError("no plain ASCII address")
        if text.strip() != bare and not text.rstrip().endswith(f"<{bare}>"):
            raise ValueError("something is left over")  # the parser joins `a@b.de --x` to a@b.de--x
        return Address(display_name=name, addr_spec=bare)
    except (ValueError, IndexError, AttributeError, MessageError):  # what the parser raises for broken input
        raise GuardError(
            "mail-address", f"{where}: {clean(text, 80)} is not a mail address", "write user@host", EXIT_USAGE
        ) from None


def assemble(heads: Heads, body: Body) -> Letter:
    """The whole message. Raises GuardError mail-address."""
    sender = check_address(heads.envelope.sender, "mail.sender")
    to = check_address(heads.envelope.to, "recipient")
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(sender.display_name or "slurm-guard", addr_spec=sender.addr_spec)
    message["To"] = Address(
        _no_code(clean(heads.envelope.name, 60)) or to.display_name, addr_spec=to.addr_spec
    )
    if heads.envelope.reply_to:
        message["Reply-To"] = check_address(heads.envelope.reply_to, "mail.reply_to")
    message["Subject"] = _no_code(heads.subject)
    message["Date"] = format_datetime(datetime.fromtimestamp(heads.date_at, timezone.utc))
    _thread(message, heads.strand)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notes in return
    message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
    if heads.kind in _LISTS:
        message["List-Id"] = f"<{_label(heads.list_name)}.slurm-guard.{sender.domain}>"  # RFC 2919
        message["Precedence"] = "bulk"  # no standard, and what older responders look at (RFC 3834 5)
    _fill(message, body, heads.strand.message_id.strip("<>"))
    envelope = Envelope(sender.addr_spec, to.addr_spec, heads.envelope.reply_to, heads.envelope.name)
    return Letter(envelope, heads.subject, heads.strand.message_id, _unfolded(bytes(message)), heads.kind)


_EMPTY_FIRST = re.compile(rb"^([A-Za-z-]+): ?\r\n[ \t](?=[^\r\n]{1,900}\r\n)", re.MULTILINE)


def _unfolded(content: bytes) -> bytes:
    """The standard library begins a long header with an empty line, which some filters take for an empty
    subject or no Message-ID."""
    head, end, body = content.partition(b"\r\n\r\n")
    return _EMPTY_FIRST.sub(rb"\1: ", head + b"\r\n")[:-2] + end + body


def _thread(message: EmailMessage, strand: Strand) -> None:
    """RFC 5322 3.6.4: a letter that takes another's place answers it; a plain night answers none."""
    message["Message-ID"] = strand.message_id
    if strand.earlier:
        message["In-Reply-To"] = strand.earlier[-1]
    # The oldest and the latest: a night that is audited again all day would grow the header without end.
    kept = dict.fromkeys((strand.root, *strand.earlier[:1], *strand.earlier[-2:]))
    references = " ".join(each for each in kept if each)
    if references:
        message["References"] = references


def _fill(message: EmailMessage, body: Body, letter_id: str) -> None:
    """Text, HTML, and pictures inside the HTML (RFC 2387). Boundaries are drawn at random otherwise."""
    mark = re.sub(r"[^A-Za-z0-9.-]", "", letter_id)[:38]
    shown = [image for image in body.images if f'src="cid:{image.cid}"' in body.html]
    html_text = body.html
    names = {image.cid: _content_id(n, letter_id) for n, image in enumerate(shown, 1)}
    for image in shown:
        html_text = html_text.replace(f'src="cid:{image.cid}"', f'src="cid:{names[image.cid]}"')
    message.set_content(body.text, cte="quoted-printable")
    message.add_alternative(html_text, subtype="html", cte="quoted-printable")
    if shown:
        html = message.get_payload(1)
        assert isinstance(html, MIMEPart)
        for image in shown:
            html.add_related(
                image.png, "image", "png", cid=f"<{names[image.cid]}>", disposition="inline",
                filename=f"{image.cid}.png", headers=[f"Content-Description: {_one_line(image.alt)}"],
            )  # fmt: skip
        html.set_boundary(f"=_related_{mark}")
    message.set_boundary(f"=_guard_{mark}")


def _content_id(n: int, letter_id: str) -> str:
    """Unique and with an @ (RFC 2045, RFC 2392), and short: the standard library writes a longer one as an
    encoded word, which no mail program takes for the name in the HTML."""
    digest = hashlib.sha256(letter_id.encode("utf-8", "replace")).hexdigest()
    return f"{n}.{digest[:24]}@slurm-guard.invalid"


def _one_line(text: str) -> str:
    """ASCII for a header of a part, whose words stand in the HTML anyway."""
    return clean(text, 200).encode("ascii", "replace").decode("ascii")


def _no_code(text: str) -> str:
    """What looks like an encoded word (RFC 2047) would be decoded, line ends and all, by who reads it."""
    return text.replace("=?", "= ?")


def _label(text: str) -> str:
    """A DNS-like label: List-Id is made of them."""
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in text[:40].lower()).strip("-")
    return kept or hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
