"""A datagram socket that a test listens on; its path is short, as the kernel wants it."""

import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Listener:
    """What was sent so far."""

    def __init__(self, address: str) -> None:
        self.path = address
        self.end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.end.bind(address)
        self.end.setblocking(False)

    def take(self) -> list[bytes]:
        """The datagrams since the last call."""
        found = []
        while True:
            try:
                found.append(self.end.recv(1 << 16))
            except BlockingIOError:
                return found

    def bodies(self) -> list[dict[str, Any]]:
        """The JSON of syslog lines since the last call."""
        return [json.loads(line.split(b": ", 1)[1]) for line in self.take()]


@contextmanager
def listening(address: str | None = None) -> Iterator[Listener]:
    """A listener at a path of its own, or at an address given."""
    folder = tempfile.mkdtemp(prefix="sg")
    listener = Listener(f"{folder}/s" if address is None else address)
    try:
        yield listener
    finally:
        listener.end.close()
        shutil.rmtree(folder)
