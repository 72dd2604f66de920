"""A server on this machine that answers as it is told, answer after answer."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# (status, headers, body); a body that is None breaks the connection in the middle.
Reply = tuple[int, dict[str, str], bytes]


class Talker(ThreadingHTTPServer):
    """`answer` is asked for each query; what was asked and with which headers is kept."""

    daemon_threads = True

    def __init__(self, answer: Callable[[str, float], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked: list[tuple[str, float]] = []
        self.authorizations: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Talker)
        words = parse_qs(urlsplit(self.path).query)
        asked = (words.get("query", [""])[0], float(words.get("time", ["0"])[0]))
        server.asked.append(asked)
        server.authorizations.append(self.headers.get("Authorization"))
        status, headers, body = server.answer(*asked)
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass  # the client had enough

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def talking(answer: Callable[[str, float], Reply]) -> Iterator[Talker]:
    server = Talker(answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
