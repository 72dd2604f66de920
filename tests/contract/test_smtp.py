"""The mail transport and the outbox against a real SMTP server on loopback, and against broken ones."""

import contextlib
import email
import email.policy
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from slurm_guard.clock import FakeClock
from slurm_guard.errors import GuardError
from slurm_guard.report import mail
from slurm_guard.report.outbox import Delivery, Outbox, reader_key
from slurm_guard.report.page import Options
from slurm_guard.report.smtp import Fate, Outcome, SmtpTransport
from tests.unit.report import builders

SENDER = "slurm-guard@hpc.example.org"


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


@pytest.fixture
def server() -> Iterator[tuple[Postmaster, int]]:
    """A real SMTP server on a free port."""
    handler = Postmaster()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


def letter(to: str) -> mail.Letter:
    """The hand-written night for one reader."""
    return mail.compose(builders.night(), Options(), mail.Envelope(SENDER, to), builders.FROM_AT + 90_000)


def send(folder: Path, port: int, readers: list[str], timeout_s: float = 5.0) -> list[Delivery]:
    """One run of `mail --send`."""
    box = Outbox(folder, FakeClock())
    letters = [letter(to) for to in readers]
    for each in letters:
        box.write_letter(each)
    return box.deliver(letters, SmtpTransport("127.0.0.1", port, timeout_s))


def test_a_letter_arrives_whole_and_is_read_by_another_parser(
    server: tuple[Postmaster, int], tmp_path: Path
) -> None:
    postmaster, port = server

    (delivery,) = send(tmp_path, port, ["ops@example.org"])

    assert delivery.fate is Fate.SENT
    ((readers, content),) = postmaster.taken
    assert readers == ["ops@example.org"]
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert message["To"] == "ops@example.org"
    assert message["From"].addresses[0].addr_spec == SENDER
    assert message["Message-ID"] == letter("ops@example.org").message_id
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert not message.defects
    assert content.replace(b"\r\n", b"").count(b"\n") == 0
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_sending_twice_sends_once(server: tuple[Postmaster, int], tmp_path: Path) -> None:
    postmaster, port = server
    readers = ["a@example.org", "b@example.org"]

    first, second = send(tmp_path, port, readers), send(tmp_path, port, readers)

    assert len(postmaster.taken) == 2
    assert [d.fate for d in first + second] == [Fate.SENT] * 4
    assert [d.now for d in first + second] == [True, True, False, False]


def test_one_refused_reader_does_not_keep_the_others_from_their_letters(
    server: tuple[Postmaster, int], tmp_path: Path
) -> None:
    postmaster, port = server
    postmaster.answers = {"gone@example.org": "550 5.1.1 no \x1b[31msuch user"}

    deliveries = send(tmp_path, port, ["a@example.org", "gone@example.org", "b@example.org"])

    assert [d.fate for d in deliveries] == [Fate.SENT, Fate.REFUSED, Fate.SENT]
    assert deliveries[1].detail.startswith("550")
    assert "\x1b" not in deliveries[1].detail
    assert len(postmaster.taken) == 2


def test_a_deferred_reader_is_tried_again_and_then_sent_once(
    server: tuple[Postmaster, int], tmp_path: Path
) -> None:
    postmaster, port = server
    postmaster.answers = {"busy@example.org": "451 4.7.1 greylisted"}
    (first,) = send(tmp_path, port, ["busy@example.org"])
    postmaster.answers = {}

    (second,) = send(tmp_path, port, ["busy@example.org"])
    (third,) = send(tmp_path, port, ["busy@example.org"])

    assert (first.fate, second.fate, third.fate) == (Fate.DEFERRED, Fate.SENT, Fate.SENT)
    assert len(postmaster.taken) == 1
    state = json.loads((tmp_path / f"{reader_key('busy@example.org')}.json").read_text())
    assert (state["status"], state["n_tries"]) == ("sent", 2)


def test_no_server_is_deferred_and_says_so(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])

    (delivery,) = send(tmp_path, port, ["a@example.org"])

    assert delivery.fate is Fate.DEFERRED
    assert "refused" in delivery.detail


@contextlib.contextmanager
def scripted(talk: Callable[[socket.socket, Any], None]) -> Iterator[int]:
    """A server that speaks one connection by hand."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as lines:
                    talk(connection, lines)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(5)


def _until_content(connection: socket.socket, lines: Any) -> None:
    connection.sendall(b"220 here\r\n")
    for line in lines:
        if line.upper().startswith(b"DATA"):
            connection.sendall(b"354 go on\r\n")
            return
        connection.sendall(b"250 yes\r\n")


def test_a_server_that_drops_after_the_content_leaves_it_unclear_and_it_is_never_sent_again(
    server: tuple[Postmaster, int], tmp_path: Path
) -> None:
    def drop(connection: socket.socket, lines: Any) -> None:
        _until_content(connection, lines)
        for line in lines:
            if line == b".\r\n":
                return

    with scripted(drop) as port:
        (first,) = send(tmp_path, port, ["a@example.org"])
    postmaster, real_port = server
    (second,) = send(tmp_path, real_port, ["a@example.org"])

    assert (first.fate, second.fate) == (Fate.UNCLEAR, Fate.UNCLEAR)
    assert postmaster.taken == []


def test_a_server_that_stalls_before_the_content_is_left_after_the_time_out(tmp_path: Path) -> None:
    done = threading.Event()

    def stall(connection: socket.socket, lines: Any) -> None:
        connection.sendall(b"220 here\r\n")
        done.wait(10)

    with scripted(stall) as port:
        (delivery,) = send(tmp_path, port, ["a@example.org"], timeout_s=0.3)
        done.set()

    assert delivery.fate is Fate.DEFERRED


class Crash(BaseException):
    """A kill in the middle."""


def test_a_process_that_dies_while_sending_never_sends_that_letter_again(tmp_path: Path) -> None:
    class Dying:
        def send(self, letter: mail.Letter, before_content: Callable[[], None]) -> Outcome:
            before_content()
            raise Crash

    class Counting:
        n = 0

        def send(self, letter: mail.Letter, before_content: Callable[[], None]) -> Outcome:
            self.n += 1
            return Outcome(Fate.SENT, "")

    box, counting = Outbox(tmp_path, FakeClock()), Counting()
    letters = [letter("a@example.org"), letter("b@example.org")]
    with pytest.raises(Crash):
        box.deliver(letters, Dying())

    deliveries = box.deliver(letters, counting)

    assert [d.fate for d in deliveries] == [Fate.UNCLEAR, Fate.SENT]
    assert counting.n == 1


def test_a_state_file_that_cannot_be_read_stops_its_letter_alone(tmp_path: Path) -> None:
    class Counting:
        n = 0

        def send(self, letter: mail.Letter, before_content: Callable[[], None]) -> Outcome:
            self.n += 1
            return Outcome(Fate.SENT, "")

    (tmp_path / f"{reader_key('a@example.org')}.json").write_text("{half")
    counting = Counting()

    deliveries = Outbox(tmp_path, FakeClock()).deliver(
        [letter("a@example.org"), letter("b@example.org")], counting
    )

    assert [d.fate for d in deliveries] == [Fate.UNCLEAR, Fate.SENT]


def test_two_processes_cannot_send_at_once(tmp_path: Path) -> None:
    box = Outbox(tmp_path, FakeClock())

    class Nested:
        def send(self, letter: mail.Letter, before_content: Callable[[], None]) -> Outcome:
            with pytest.raises(GuardError, match="mail-busy"):
                Outbox(tmp_path, FakeClock()).deliver([letter], self)
            return Outcome(Fate.SENT, "")

    (delivery,) = box.deliver([letter("a@example.org")], Nested())

    assert delivery.fate is Fate.SENT


def test_letters_are_private(tmp_path: Path) -> None:
    path = Outbox(tmp_path / "box", FakeClock()).write_letter(letter("a@example.org"))

    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
