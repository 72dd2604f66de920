"""The mail transport as a seam: what happened to one letter, said such that none is ever sent twice."""

import smtplib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from slurm_guard.report.mail import Letter
from slurm_guard.report.safe import clean


class Fate(str, Enum):
    """What is known about a letter."""

    SENT = "sent"  # the server took it
    REFUSED = "refused"  # the server will not take it: final
    DEFERRED = "deferred"  # certainly not sent; may be tried again
    UNCLEAR = "unclear"  # its content went out and no answer came; never tried again by itself


@dataclass(frozen=True, slots=True)
class Outcome:
    """The fate of one letter and the server's words, made harmless."""

    fate: Fate
    detail: str


class Transport(Protocol):
    """Something that carries letters."""

    def send(self, letter: Letter, before_content: Callable[[], None]) -> Outcome:
        """Try once; calls `before_content` just before the content goes out. Never raises for the server."""
        ...


class SmtpTransport:
    """Plain SMTP, one connection a letter, so that one reader's trouble is no other's."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s

    def send(self, letter: Letter, before_content: Callable[[], None]) -> Outcome:
        """See Transport. `timeout_s` bounds every single wait."""
        # The host's own short name: getfqdn(), smtplib's default, may wait for a dead name server.
        smtp = smtplib.SMTP(timeout=self._timeout_s, local_hostname=socket.gethostname() or "localhost")
        handed_over = False

        def mark() -> None:
            nonlocal handed_over
            before_content()
            handed_over = True

        try:
            return self._talk(smtp, letter, mark)
        except smtplib.SMTPDataError as error:  # raised only for the answer to DATA: no content went out
            return Outcome(_fate(error.smtp_code), _words(error.smtp_code, error.smtp_error))
        except (smtplib.SMTPException, OSError) as error:
            said = clean(str(error) or type(error).__name__, 200)
            return Outcome(Fate.UNCLEAR if handed_over else Fate.DEFERRED, said)
        finally:
            _leave(smtp)

    def _talk(self, smtp: smtplib.SMTP, letter: Letter, mark: Callable[[], None]) -> Outcome:
        code, words = smtp.connect(self._host, self._port)
        if code != 220:
            return Outcome(Fate.DEFERRED, _words(code, words))
        smtp.ehlo_or_helo_if_needed()
        code, words = smtp.mail(letter.envelope.sender)
        if code != 250:  # about the sender or the server, not about this reader: worth another try
            return Outcome(Fate.DEFERRED, _words(code, words))
        code, words = smtp.rcpt(letter.envelope.to)
        if code not in (250, 251):
            return Outcome(_fate(code), _words(code, words))
        mark()
        code, words = smtp.data(letter.content)
        return Outcome(Fate.SENT if code == 250 else _fate(code), _words(code, words))


def _fate(code: int) -> Fate:
    """RFC 5321 4.2.1: 5yz is permanent, 4yz is not."""
    return Fate.REFUSED if 500 <= code < 600 else Fate.DEFERRED


def _words(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return clean(f"{code} {text}", 200)


def _leave(smtp: smtplib.SMTP) -> None:
    """Say goodbye; the letter's fate is settled whatever happens here."""
    try:
        smtp.quit()
    except (smtplib.SMTPException, OSError):
        smtp.close()
