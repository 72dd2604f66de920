"""A chat message through the real apprise to a real web server; skipped, and said, where that is missing."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from slurm_guard.report import chat, mail
from slurm_guard.report.drafts import Sender, chat_drafts
from slurm_guard.report.letterbox import Status
from slurm_guard.report.page import Options
from tests.postal import free_port, run
from tests.unit.report import builders

pytest.importorskip("apprise", reason="apprise is not installed: pip install 'slurm-guard[chat]'")
# apprise and what it imports use what later Pythons will not have
pytestmark = pytest.mark.filterwarnings("default")


class Hook(HTTPServer):
    """Keeps what is posted; answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.taken: list[dict[str, object]] = []
        self.status = 200


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """A webhook."""
        assert isinstance(self.server, Hook)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A web server on a free port."""
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def _send(folder: Path, url: str) -> tuple[Status, bool]:
    urls = {chat.key_of(url): url}
    drafts = chat_drafts(builders.night(), urls, Sender("g@x.org", "", Options(site="Aurora"), 0.0), False)
    (done,) = run(folder, chat.ChatTransport(urls), drafts)
    return done.kept.state.status, done.now


def test_a_message_arrives_once_without_names(hook: Hook, tmp_path: Path) -> None:
    url = f"json://127.0.0.1:{hook.server_port}/secret-token"

    first, second = _send(tmp_path, url), _send(tmp_path, url)

    assert (first, second) == ((Status.SENT, True), (Status.SENT, False))
    (message,) = hook.taken
    assert message["title"] == "Aurora, 2026-09-22"
    assert str(message["message"]).startswith(mail.counts(builders.night()))
    assert builders.alert().run.user not in str(message)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"secret-token" not in kept


@pytest.mark.parametrize("fault", ["refuses", "absent"])
def test_what_is_not_confirmed_is_unclear_and_tells_no_secret(
    fault: str, hook: Hook, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hook.status = 500
    port = hook.server_port if fault == "refuses" else free_port()

    said = [_send(tmp_path, f"json://127.0.0.1:{port}/secret-token") for _ in range(2)]

    assert said == [(Status.UNCLEAR, True), (Status.UNCLEAR, False)]
    assert len(hook.taken) == (fault == "refuses")
    assert "secret-token" not in "".join(capfd.readouterr())
