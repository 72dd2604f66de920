"""Questions to the kernel over netlink, answered datagram by datagram; for the hook's child alone."""

from __future__ import annotations

import _socket
import struct
import sys

from slurm_guard.light import Iterator

DUMP, ONE = 0x301, 0x001  # NLM_F_REQUEST with NLM_F_ROOT and NLM_F_MATCH, or alone
_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE = 2, 3
_TORN = 0x10  # NLM_F_DUMP_INTR: what is listed changed meanwhile
_EINTR, _EPROTO = 4, 71


def walk(protocol: int, kind: int, body: bytes, flags: int = DUMP) -> Iterator[list[bytes]]:
    """The messages' bodies, one list a datagram. Raises OSError: refused, out of form, changed meanwhile."""
    sock = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol)
    try:
        sock.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
        while True:
            bodies, done = _messages(sock.recv(65_536))
            yield bodies
            if done or flags == ONE:
                return
    finally:
        sock.close()


def _messages(data: bytes) -> tuple[list[bytes], bool]:
    bodies: list[bytes] = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, _, _ = _HEADER.unpack_from(data, offset)
        body = data[offset + _HEADER.size : offset + length]
        if length < _HEADER.size:
            raise OSError(_EPROTO, "answered out of form")
        if flags & _TORN:
            raise OSError(_EINTR, "changed while it was read")
        if kind == _DONE:
            return bodies, True
        if kind == _ERROR:
            number = -int.from_bytes(body[:4], sys.byteorder, signed=True)
            raise OSError(number, _WORDS.get(number, f"refused with error {number}"))
        bodies.append(body)
        offset += (length + 3) & ~3
    return bodies, not bodies


_WORDS = {1: "Operation not permitted", 2: "No such file or directory", 95: "Operation not supported"}


def attributes(body: bytes, offset: int) -> dict[int, bytes]:
    """Attributes from `offset` on by their number, the last of each; cut where one is out of form."""
    found: dict[int, bytes] = {}
    end = len(body)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = body[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def number(value: bytes) -> int:
    """A number in the machine's byte order."""
    return int.from_bytes(value, sys.byteorder)


def text(value: bytes) -> str:
    """A name as the kernel keeps it."""
    return value.partition(b"\0")[0].decode("utf-8", "replace")
