"""The mail transport and the outbox against a real SMTP server on loopback, and against broken ones."""

import email
import email.policy
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.clock import FakeClock
from slurm_guard.errors import GuardError
from slurm_guard.report import mail
from slurm_guard.report import smtp as smtp_module
from slurm_guard.report.letterbox import Letterbox, Status
from slurm_guard.report.transport import Fate, Outcome
from tests.postal import SENDER, Postmaster, drafts, free_port, kept, letter, run, scripted, serving, smtp


@pytest.fixture
def server() -> Iterator[tuple[Postmaster, int]]:
    """A real SMTP server on a free port."""
    handler = Postmaster()
    with serving(handler) as port:
        yield handler, port


def send(
    folder: Path, port: int, readers: list[str], timeout_s: float = 5.0
) -> list[tuple[Status, bool, str]]:
    """One run of `mail --send`: status, whether this run tried, and the detail of each letter."""
    deliveries = run(folder, smtp(port, timeout_s), drafts(readers))
    return [(d.kept.state.status, d.now, d.kept.state.detail) for d in deliveries]


def test_a_letter_arrives_whole_and_is_read_by_another_parser(
    server: tuple[Postmaster, int], tmp_path: Path
) -> None:
    postmaster, port = server

    ((status, _, _),) = send(tmp_path, port, ["ops@example.org"])

    assert status is Status.SENT
    ((readers, content),) = postmaster.taken
    assert readers == ["ops@example.org"]
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert message["To"] == "ops@example.org"
    assert message["From"].addresses[0].addr_spec == SENDER
    assert message["Message-ID"] == letter("ops@example.org").message_id
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Id"] == "<aurora.slurm-guard.hpc.example.org>"
    plain, html = message.iter_parts()
    assert plain.get_content_type() == "text/plain"
    assert html.get_content_type() in ("text/html", "multipart/related")  # the latter where resvg-py is
    assert "text/html" in [part.get_content_type() for part in html.walk()]
    assert not message.defects
    assert content.replace(b"\r\n", b"").count(b"\n") == 0
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_sending_twice_sends_once(server: tuple[Postmaster, int], tmp_path: Path) -> None:
    postmaster, port = server
    readers = ["a@example.org", "b@example.org"]

    first, second = send(tmp_path, port, readers), send(tmp_path, port, readers)

    assert len(postmaster.taken) == 2
    assert [d[0] for d in first + second] == [Status.SENT] * 4
    assert [d[1] for d in first + second] == [True, True, False, False]


def test_lines_that_begin_with_a_dot_arrive_as_they_were(
    server: tuple[Postmaster, int], tmp_path: Path
) -> None:
    postmaster, port = server
    content = b"Subject: x\r\n\r\n.hidden\r\n..\r\n.\r\nlast"
    dotted = mail.Letter(mail.Envelope(SENDER, "a@example.org"), "x", "<x@example.org>", content)

    outcome = smtp(port).send(dotted, lambda: None)

    assert outcome.fate is Fate.SENT
    assert postmaster.taken[0][1].replace(b"\r\n", b"\n").rstrip() == content.replace(b"\r\n", b"\n")


def test_one_refused_reader_does_not_keep_the_others_from_their_letters(
    server: tuple[Postmaster, int], tmp_path: Path
) -> None:
    postmaster, port = server
    postmaster.answers = {"gone@example.org": "550 5.1.1 no \x1b[31msuch user"}

    said = send(tmp_path, port, ["a@example.org", "gone@example.org", "b@example.org"])

    assert [s[0] for s in said] == [Status.SENT, Status.REFUSED, Status.SENT]
    assert said[1][2].startswith("550")
    assert "\x1b" not in said[1][2]
    assert len(postmaster.taken) == 2


def test_a_deferred_reader_is_tried_again_and_then_sent_once(
    server: tuple[Postmaster, int], tmp_path: Path
) -> None:
    postmaster, port = server
    postmaster.answers = {"busy@example.org": "451 4.7.1 greylisted"}
    (first,) = send(tmp_path, port, ["busy@example.org"])
    postmaster.answers = {}

    (second,) = send(tmp_path, port, [])  # the next night's run, which has another document or none
    (third,) = send(tmp_path, port, ["busy@example.org"])

    assert (first[0], second[0], third[0]) == (Status.DEFERRED, Status.SENT, Status.SENT)
    assert len(postmaster.taken) == 1
    (state,) = (json.loads(path.read_text()) for path in tmp_path.rglob("*.json"))
    assert (state["status"], state["n_tries"]) == ("sent", 2)


def test_no_server_is_deferred_and_after_two_the_rest_is_not_tried(tmp_path: Path) -> None:
    readers = [f"{name}@example.org" for name in "abcd"]

    said = send(tmp_path, free_port(), readers)

    assert [s[0] for s in said] == [Status.DEFERRED, Status.DEFERRED, Status.WAITING, Status.WAITING]
    assert "refused" in said[0][2]
    assert "not tried" in said[2][2]


def _until_content(connection: socket.socket, lines: Any) -> None:
    connection.sendall(b"220 here\r\n")
    for line in lines:
        if line.upper().startswith(b"DATA"):
            connection.sendall(b"354 go on\r\n")
            return
        connection.sendall(b"250 yes\r\n")


def _drop_before(connection: socket.socket, lines: Any) -> None:
    connection.sendall(b"220 here\r\n")
    for line in lines:
        if line.upper().startswith(b"DATA"):
            return
        connection.sendall(b"250 yes\r\n")


def _drop_during(connection: socket.socket, lines: Any) -> None:
    _until_content(connection, lines)
    lines.readline()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, at once


def _drop_after(connection: socket.socket, lines: Any) -> None:
    _until_content(connection, lines)
    for line in lines:
        if line == b".\r\n":
            return


@pytest.mark.parametrize(
    ("drop", "status"),
    [
        (_drop_before, Status.DEFERRED),
        (_drop_during, Status.DEFERRED),
        (_drop_after, Status.UNCLEAR),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_server_that_drops_leaves_unclear_only_what_it_may_have_taken(
    drop: Callable[[socket.socket, Any], None],
    status: Status,
    server: tuple[Postmaster, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    postmaster, real_port = server

    with scripted(drop) as port, monkeypatch.context() as patch:
        if drop is _drop_during:  # more than the kernel keeps for both sides: the reset comes before the dot
            patch.setattr(smtp_module, "_stuffed", lambda content: content + b"x\r\n" * (8 << 20))
        ((first, *_),) = send(tmp_path, port, ["a@example.org"])
    ((second, *_),) = send(tmp_path, real_port, ["a@example.org"])

    assert first is status
    assert second is (Status.SENT if status is Status.DEFERRED else Status.UNCLEAR)
    assert len(postmaster.taken) == (status is Status.DEFERRED)


@pytest.mark.parametrize("after", ["greeting", "content"])
def test_a_server_that_stalls_is_left_after_the_time_out(after: str, tmp_path: Path) -> None:
    done = threading.Event()

    def stall(connection: socket.socket, lines: Any) -> None:
        if after == "content":
            _until_content(connection, lines)
        done.wait(10)

    with scripted(stall) as port:
        ((status, *_),) = send(tmp_path, port, ["a@example.org"], timeout_s=0.3)
        done.set()

    assert status is (Status.UNCLEAR if after == "content" else Status.DEFERRED)


def test_a_server_that_stalls_behind_the_dot_gets_two_letters_and_the_rest_waits(
    server: tuple[Postmaster, int], tmp_path: Path
) -> None:
    postmaster, real_port = server
    readers = [f"{name}@example.org" for name in "abcd"]

    def stall(connection: socket.socket, lines: Any) -> None:
        _until_content(connection, lines)
        lines.read()  # until the other side leaves

    with scripted(stall, n=2) as port:
        first = send(tmp_path, port, readers, timeout_s=0.3)
    second = send(tmp_path, real_port, readers)

    assert [status for status, *_ in first] == [Status.UNCLEAR] * 2 + [Status.WAITING] * 2
    assert "those before it failed the same way" in first[-1][2]
    assert [status for status, now, _ in second if now] == [Status.SENT] * 2
    assert [to for (to,), _ in postmaster.taken] == readers[2:]


def test_a_server_that_drips_is_left_after_five_times_the_time_out(tmp_path: Path) -> None:
    done = threading.Event()

    def drip(connection: socket.socket, lines: Any) -> None:
        while not done.wait(0.05):
            connection.sendall(b"220-and on\r\n")

    start_s = time.monotonic()
    with scripted(drip) as port:
        ((status, _, detail),) = send(tmp_path, port, ["a@example.org"], timeout_s=0.3)
        took_s = time.monotonic() - start_s
        done.set()

    assert status is Status.DEFERRED
    assert 1.0 < took_s < 4.0, detail


class Crash(BaseException):
    """A kill in the middle."""


class Counting:
    """A transport that takes everything."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def send(self, letter: mail.Letter, before_handover: Callable[[], None]) -> Outcome:
        """See Transport."""
        before_handover()
        self.taken.append(letter.envelope.to)
        return Outcome(Fate.SENT, "")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_dies_sends_again_only_what_was_certainly_not_handed_over(
    when: str, tmp_path: Path
) -> None:
    class Dying:
        def send(self, letter: mail.Letter, before_handover: Callable[[], None]) -> Outcome:
            if when == "after":
                before_handover()
            raise Crash

    counting, readers = Counting(), ["a@example.org", "b@example.org"]
    with pytest.raises(Crash):
        run(tmp_path, Dying(), drafts(readers))

    said = {d.kept.state.to: d.kept.state.status for d in run(tmp_path, counting, drafts(readers))}

    unclear = when == "after"
    assert said["b@example.org"] is Status.SENT
    assert said["a@example.org"] is (Status.UNCLEAR if unclear else Status.SENT)
    assert counting.taken == (["b@example.org"] if unclear else readers)


def test_a_state_file_that_cannot_be_read_stops_its_letter_alone(tmp_path: Path) -> None:
    readers, counting = ["a@example.org", "b@example.org"], Counting()
    run(tmp_path, Counting(), drafts(["a@example.org"]))
    (path,) = tmp_path.rglob("*.json")
    path.write_text("{half")

    said = [d.kept.state.status for d in run(tmp_path, counting, drafts(readers))]

    assert said == [Status.UNCLEAR, Status.SENT]
    assert counting.taken == ["b@example.org"]


def test_two_processes_cannot_send_at_once(tmp_path: Path) -> None:
    with Letterbox(tmp_path, FakeClock()).locked():
        with pytest.raises(GuardError, match="mail-busy"):
            run(tmp_path, Counting(), [])


def test_letters_are_private(tmp_path: Path) -> None:
    run(tmp_path / "box", Counting(), drafts(["a@example.org"]))

    (one,) = kept(tmp_path / "box")
    for path in (one.path, one.letter_path, one.path.parent, tmp_path / "box"):
        assert path.stat().st_mode & 0o077 == 0
