"""A real SMTP server on loopback, certificates, and one run of `mail --send` without the command line."""

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from slurm_guard.clock import Clock, FakeClock
from slurm_guard.model import Audit
from slurm_guard.report import mail
from slurm_guard.report.drafts import Sender, digest_drafts
from slurm_guard.report.letterbox import Kept, Letterbox
from slurm_guard.report.outbox import Delivery, Limits, Outbox
from slurm_guard.report.page import Options
from slurm_guard.report.post import Draft, Post
from slurm_guard.report.smtp import Server, SmtpTransport
from slurm_guard.report.transport import Transport
from tests.unit.report import builders

SENDER = "slurm-guard@hpc.example.org"
USER, PASSWORD = "guard", "correct horse"


class Postmaster:
    """An aiosmtpd handler that keeps what it takes and refuses whom it is told to."""

    def __init__(self) -> None:
        self.taken: list[tuple[list[str], bytes]] = []
        self.answers: dict[str, str] = {}

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        """Aiosmtpd's hook for RCPT TO."""
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Aiosmtpd's hook for a message's content."""
        assert isinstance(envelope.content, bytes)
        self.taken.append((list(envelope.rcpt_tos), envelope.content))
        return "250 taken"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(handler: object, **options: Any) -> Iterator[int]:
    """aiosmtpd on a free port."""
    port = free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def auth_options(context: ssl.SSLContext | None) -> dict[str, Any]:
    """Only who logs in as USER may send. `context`: null: what offers no STARTTLS."""

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (
            USER.encode(), PASSWORD.encode(),
        )  # fmt: skip
        return AuthResult(success=right, handled=right)

    return {
        "tls_context": context,
        "require_starttls": context is not None,
        "auth_required": True,
        "auth_require_tls": context is not None,
        "authenticator": check,
    }


def make_certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """(certificate, key) that vouches for itself; `name`: whose it says it is."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def server_context(pair: tuple[Path, Path]) -> ssl.SSLContext:
    """A server's TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, pair))
    return context


@contextlib.contextmanager
def scripted(talk: Callable[[socket.socket, Any], None], n: int = 1) -> Iterator[int]:
    """A server that speaks `n` connections by hand, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(n):
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection, connection.makefile("rb") as lines:
                        talk(connection, lines)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(5)


def smtp(port: int, timeout_s: float = 5.0, **options: Any) -> SmtpTransport:
    """Our side of a server on loopback."""
    return SmtpTransport(Server(options.pop("host", "127.0.0.1"), port, timeout_s, **options))


def drafts(readers: Sequence[str], audit: Audit | None = None) -> list[Draft]:
    """The digest of the hand-written night."""
    by = Sender(SENDER, "", Options(), builders.FROM_AT + 90_000)
    return digest_drafts(audit or builders.night(), readers, by)


def run(
    folder: Path,
    carrier: Transport,
    letters: Sequence[Draft],
    clock: Clock | None = None,
    limits: Limits | None = None,
) -> list[Delivery]:
    """One run of `mail --send`: what became of every letter, those of earlier runs too."""
    clock, limits = clock or FakeClock(), limits or Limits()
    box = Letterbox(folder, clock)
    with box.locked():
        queued = [Post(box, SENDER, limits.quiet).put(letter) for letter in letters]
        done = Outbox(box, clock, limits).deliver(
            dict.fromkeys(("digest", "coordinator", "owner", "chat"), carrier)
        )
    tried = {d.kept.path: d for d in done}
    return [tried.pop(k.path, Delivery(k, False)) for k in queued] + list(tried.values())  # fmt: skip


def kept(folder: Path) -> list[Kept]:
    """Every letter of a box."""
    return Letterbox(folder, FakeClock()).recent()


def letter(to: str) -> mail.Letter:
    """The hand-written night for one reader."""
    return mail.compose(builders.night(), Options(), mail.Envelope(SENDER, to), builders.FROM_AT + 90_000)


pinned = partial(FakeClock, builders.FROM_AT + 90_000)
