"""SMTP: plain, STARTTLS or TLS; a letter is handed over with its final dot, and not before."""

import contextlib
import select
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.report.letter import Letter
from slurm_guard.report.safe import clean
from slurm_guard.report.transport import Fate, Outcome

_IN_ALL = 5.0  # times `timeout_s`: for a server that sends a byte each time before that is over. Judgement
SERVER, TLS, LOGIN = "mail-server", "mail-tls", "mail-login"  # slugs of what is not about one reader
_LOOK = {
    SERVER: "look at mail.host, mail.port and the server's log",
    TLS: "look at mail.tls, mail.port and mail.ca_file; mail.host has to be the certificate's name",
    LOGIN: "look at mail.user and the first line of mail.password_file",
}
_Smtp = smtplib.SMTP


@dataclass(frozen=True, slots=True)
class Server:
    """Where and how. `tls`: none, starttls or tls; `ca_file`: empty: the system's CAs; `user`: empty: no
    login."""

    host: str
    port: int
    timeout_s: float
    tls: str = "none"
    ca_file: str = ""
    check_certificate: bool = True
    user: str = ""
    password: str = field(default="", repr=False)


class _Stop(Exception):
    """The server, and not this reader, is in the way."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.slug, self.detail = slug, detail


class SmtpTransport:
    """One connection a letter, so that one reader's trouble is no other's. Raises GuardError mail-ca."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._context = None if server.tls == "none" else _context(server)

    def send(self, letter: Letter, before_handover: Callable[[], None]) -> Outcome:
        """See Transport. `timeout_s` bounds every single wait, five times that the whole letter."""
        # The host's own short name: getfqdn(), smtplib's default, may wait for a dead name server.
        smtp = smtplib.SMTP(timeout=self._server.timeout_s, local_hostname=_own_name())
        handed_over = False

        def mark() -> None:
            nonlocal handed_over
            before_handover()
            handed_over = True

        stage = SERVER
        try:
            with self._connected(smtp):
                self._greet(smtp)
                stage = ""
                return self._talk(smtp, letter, mark)
        except _Stop as stop:
            return Outcome(Fate.DEFERRED, stop.detail, stop.slug)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            said = clean(str(error) or type(error).__name__, 200)
            return Outcome(Fate.UNCLEAR, said, SERVER) if handed_over else Outcome(Fate.DEFERRED, said, stage)

    def try_out(self) -> None:
        """Connect, TLS and login as for a letter, and goodbye. Raises GuardError mail-server, mail-tls,
        mail-login."""
        smtp = smtplib.SMTP(timeout=self._server.timeout_s, local_hostname=_own_name())
        try:
            with self._connected(smtp):
                self._greet(smtp)
        except _Stop as stop:
            raise GuardError(stop.slug, stop.detail, _LOOK[stop.slug]) from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            said = clean(str(error) or type(error).__name__, 200)
            raise GuardError("mail-server", said, _LOOK[SERVER]) from None

    @contextlib.contextmanager
    def _connected(self, smtp: _Smtp) -> Iterator[None]:
        """A socket in `smtp` that is cut when the whole takes too long, and a goodbye, whatever it brings."""
        try:
            sock = socket.create_connection((self._server.host, self._server.port), self._server.timeout_s)
        except OSError as error:
            where = f"{self._server.host}:{self._server.port}"
            raise _Stop(SERVER, f"{where} cannot be reached: {clean(str(error), 160)}") from None
        # A twin of the socket below TLS, whose own shutdown would wait for the other side.
        twin = sock.dup()
        cut = threading.Timer(_IN_ALL * self._server.timeout_s, _cut, [twin])
        cut.daemon = True
        smtp.sock = sock
        cut.start()
        try:
            yield
            with contextlib.suppress(smtplib.SMTPException, OSError):
                smtp.quit()  # the letter's fate is settled whatever happens here
        finally:
            cut.cancel()
            smtp.close()
            twin.close()

    def _greet(self, smtp: _Smtp) -> None:
        if self._server.tls == "tls":
            self._wrap(smtp)
        code, words = smtp.getreply()
        if code != 220:
            raise _Stop(SERVER, _words(code, words))
        smtp.ehlo_or_helo_if_needed()
        if self._server.tls == "starttls":
            self._start_tls(smtp)
        if self._server.user:
            self._log_in(smtp)

    def _start_tls(self, smtp: _Smtp) -> None:
        if not smtp.has_extn("starttls"):
            raise _Stop(TLS, f"{self._server.host} offers no STARTTLS, and nothing was sent without it")
        code, words = smtp.docmd("STARTTLS")
        if code != 220:
            raise _Stop(TLS, f"STARTTLS was refused: {_words(code, words)}")
        self._wrap(smtp)
        smtp.ehlo()

    def _wrap(self, smtp: _Smtp) -> None:
        """TLS from here on; what was said and heard before it is forgotten (RFC 3207 4.2)."""
        assert self._context is not None
        assert smtp.sock is not None
        try:
            smtp.sock = self._context.wrap_socket(smtp.sock, server_hostname=self._server.host)
        except ssl.SSLCertVerificationError as error:
            said = f"the certificate of {self._server.host} is not trusted: {error.verify_message}"
            raise _Stop(TLS, clean(said, 200)) from None
        except (ssl.SSLError, ValueError) as error:
            raise _Stop(TLS, f"no TLS with {self._server.host}: {clean(str(error), 160)}") from None
        smtp.file = None
        smtp.helo_resp = smtp.ehlo_resp = None
        smtp.esmtp_features, smtp.does_esmtp = {}, False

    def _log_in(self, smtp: _Smtp) -> None:
        if self._server.tls != "none":  # smtplib takes it first, and machines in FIPS mode have no MD5
            offered = smtp.esmtp_features.get("auth", "").split()
            smtp.esmtp_features["auth"] = " ".join(way for way in offered if way != "CRAM-MD5")
        try:
            smtp.login(self._server.user, self._server.password)
        except smtplib.SMTPAuthenticationError as error:
            raise _Stop(LOGIN, _words(error.smtp_code, error.smtp_error)) from None
        except smtplib.SMTPNotSupportedError:
            raise _Stop(LOGIN, f"{self._server.host} offers no login here") from None

    def _talk(self, smtp: _Smtp, letter: Letter, mark: Callable[[], None]) -> Outcome:
        code, words = smtp.mail(letter.envelope.sender)
        if code != 250:  # about the sender or the server, not about this reader: worth another try
            return Outcome(Fate.DEFERRED, _words(code, words), SERVER)
        code, words = smtp.rcpt(letter.envelope.to)
        if code not in (250, 251):
            return Outcome(_fate(code), _words(code, words))
        code, words = smtp.docmd("DATA")
        if code != 354:
            return Outcome(_fate(code), _words(code, words))
        smtp.send(_stuffed(letter.content))
        if _has_left(smtp):
            return Outcome(
                Fate.DEFERRED, f"{self._server.host} closed the connection during the letter", SERVER
            )
        mark()  # without the dot a server has to forget the letter, so all before it may be tried again
        try:
            smtp.send(b".\r\n")
        except (smtplib.SMTPException, OSError) as error:  # the kernel did not take it: nobody has the dot
            return Outcome(Fate.DEFERRED, clean(str(error) or type(error).__name__, 200), SERVER)
        code, words = smtp.getreply()
        if code == -1:  # smtplib's word for what is no reply
            return Outcome(Fate.UNCLEAR, _words(code, words), SERVER)
        return Outcome(Fate.SENT if code == 250 else _fate(code), _words(code, words))


def _has_left(smtp: _Smtp) -> bool:
    """Whether the server has closed or reset the connection, as far as this machine knows by now."""
    assert smtp.sock is not None
    poll = select.poll()
    poll.register(smtp.sock.fileno(), select.POLLRDHUP)  # with POLLHUP and POLLERR, which need no asking
    return bool(poll.poll(0))


def _stuffed(content: bytes) -> bytes:
    """RFC 5321 4.5.2: a line that begins with a dot gets another; ends in a line end."""
    whole = content if content.endswith(b"\r\n") else content + b"\r\n"
    return (b"." if whole.startswith(b".") else b"") + whole.replace(b"\r\n.", b"\r\n..")


def _context(server: Server) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=server.ca_file or None)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise GuardError(
            "mail-ca", f"mail.ca_file {server.ca_file} cannot be used: {why}", "name a PEM file", EXIT_USAGE
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not server.check_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _own_name() -> str:
    name = socket.gethostname()
    return name if name and name.isascii() and name.isprintable() and " " not in name else "localhost"


def _fate(code: int) -> Fate:
    """RFC 5321 4.2.1: 5yz is permanent, 4yz is not."""
    return Fate.REFUSED if 500 <= code < 600 else Fate.DEFERRED


def _words(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return clean(f"{code} {text}", 200)


def _cut(twin: socket.socket) -> None:
    with contextlib.suppress(OSError):
        twin.shutdown(socket.SHUT_RDWR)
