"""Which sockets of the node's own kind (AF_UNIX) are the two ends of one connection, from the kernel's
diagnostics."""

from __future__ import annotations

import _socket
import struct
import time

from slurm_guard import netlink

MOST_S = 0.02  # CPU time of a dump, beyond which it is left off: some 5,000 sockets. Judgement
_CONNECTED = 1 << netlink.ESTABLISHED
_SHOW_PEER, _PEER = 4, 2  # UDIAG_SHOW_PEER, UNIX_DIAG_PEER
_MESSAGE = struct.Struct("=BBBBI8x")  # unix_diag_msg: family, type, state; inode; cookie
_REQUEST = struct.Struct("=BBHIII8x")  # unix_diag_req: family, protocol; states; inode; what to show; cookie
_ATTRIBUTE = struct.Struct("=HH")
_U32 = struct.Struct("=I")


def peers() -> dict[int, int]:
    """Inode of one end to that of the other, both ways; what is not told is not in it."""
    found: dict[int, int] = {}
    try:
        asked = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, netlink.NETLINK_SOCK_DIAG)
    except OSError:
        return found
    deadline_s = time.thread_time() + MOST_S
    try:
        asked.settimeout(1.0)
        asked.send(netlink.request(_REQUEST.pack(_socket.AF_UNIX, 0, 0, _CONNECTED, 0, _SHOW_PEER)))
        done = False
        while not done and time.thread_time() < deadline_s:
            bodies, done = netlink.messages(asked.recv(1 << 15))
            for body in bodies:
                _add(body, found)
    except OSError:  # a kernel without them, or a table that changed while it was read
        pass
    finally:
        asked.close()
    return found


def _add(body: bytes, found: dict[int, int]) -> None:
    if len(body) < _MESSAGE.size:
        return
    inode, offset = _MESSAGE.unpack_from(body)[4], _MESSAGE.size
    while offset + 4 <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < 4:
            return
        if kind == _PEER and length >= 8:
            (found[inode],) = _U32.unpack_from(body, offset + 4)
        offset += (length + 3) & ~3
