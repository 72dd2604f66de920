"""An S3 server over HTTP (moto's), and what stands before it when a network or a server is in trouble."""

import http.client
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BUCKET = "slurm-guard"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@contextmanager
def serving() -> Iterator[str]:
    """Its address, while it runs; with one bucket."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, **KEYS}, **quiet) as server:  # type: ignore[call-overload]
        try:
            _await(port, server)
            call(f"http://127.0.0.1:{port}", "PUT", f"/{BUCKET}")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _await(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise AssertionError(f"moto's server ended with {server.returncode}")
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("moto's server did not begin to listen")


def call(address: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """One request, not signed."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    # moto takes who signs at all for somebody with an account
    scope = "Credential=a/20260101/us-east-1/s3/aws4_request"
    signed = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
    connection.request(method, path, body, signed)
    answer = connection.getresponse()
    return answer.status, answer.read()


@dataclass
class Trouble:
    """What becomes of a request: `fault(method, path)` is null (it goes on), an HTTP status, or ("cut", n):
    the connection ends after n bytes of the answer's body, or of the request's where it has one."""

    target: str
    fault: Callable[[str, str], "int | tuple[str, int] | None"] = lambda method, path: None
    seen: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def before(target: str) -> Iterator[tuple[str, Trouble]]:
    """The address of a proxy before the server, and what it does."""
    trouble = Trouble(target)

    class Handler(_Handler):
        state = trouble

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}", trouble
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


@contextmanager
def answering(listing: str | None) -> Iterator[str]:
    """The address of a server that has this answer to listings, `{n}` with another number each time, knows no
    object, and says nothing of what it was given. Null: it answers 404 to everything."""
    numbers = itertools.count()

    class Handler(BaseHTTPRequestHandler):
        def _say(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_known = self.command == "PUT" or "list-type" in self.path
            self.send_response(200 if is_known and listing is not None else 404)
            self.end_headers()
            if self.command == "GET" and is_known and listing is not None:
                body = listing.replace("{n}", str(next(numbers)))
                self.wfile.write(f"<ListBucketResult>{body}</ListBucketResult>".encode())

        do_GET = do_PUT = do_DELETE = _say

        def log_message(self, format: str, *args: object) -> None:
            """To nobody."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Trouble
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        state = self.state
        fault = state.fault(self.command, self.path)
        state.seen.append((self.command, self.path))
        if self.headers.get("Expect", "").lower() == "100-continue" and not isinstance(fault, int):
            self.send_response_only(100)
            self.end_headers()
        length = int(self.headers.get("Content-Length") or 0)
        if isinstance(fault, tuple) and length:
            self.rfile.read(min(length, fault[1]))
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = self.rfile.read(length)
        if isinstance(fault, int):
            self._answer(fault, {}, b"<Error><Code>SlowDown</Code><Message>slow</Message></Error>")
            return
        to = http.client.HTTPConnection(state.target.removeprefix("http://"), timeout=60)
        hop = {"connection", "expect", "transfer-encoding"}
        to.request(
            self.command, self.path, body, {k: v for k, v in self.headers.items() if k.lower() not in hop}
        )
        got = to.getresponse()
        content = got.read()
        headers = {
            k: v for k, v in got.getheaders() if k.lower() not in hop | {"content-length", "date", "server"}
        }
        if isinstance(fault, tuple):
            self._answer(got.status, headers, content, cut=fault[1])
        else:
            size = got.headers["Content-Length"] if self.command == "HEAD" else None
            self._answer(got.status, headers, content, size=size)

    def _answer(
        self,
        status: int,
        headers: dict[str, str],
        content: bytes,
        *,
        cut: int | None = None,
        size: Any = None,
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if status != 204:
            self.send_header("Content-Length", size or str(len(content)))
        self.end_headers()
        self.wfile.write(content if cut is None else content[:cut])
        if cut is not None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

    def log_message(self, *_: Any) -> None:
        """Nothing."""
