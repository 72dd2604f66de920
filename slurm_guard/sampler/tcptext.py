"""TCP sockets from the kernel's text tables, where it has no socket diagnostics: no bytes, and slower."""

from __future__ import annotations

import _socket
import struct

from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.tcpsample import Sample

MOST_LINES = 20_000  # of each kernel table: judgement; 500 sockets are a busy training node (budget)
_STATES = {b"01": "ESTABLISHED", b"0A": "LISTEN"}
_LENGTHS = {"tcp": 13, "tcp6": 37}  # of an address and its port, in hex


def read_tables(proc: Proc, uids: set[int], folder: str = "net") -> tuple[list[Sample], bool]:
    """(established sockets of these users and all listeners, whether lines were left out). `folder`: below
    /proc; that of a process tells of its network namespace."""
    rows: list[Sample] = []
    cut = False
    for proto in ("tcp", "tcp6"):
        for place, text in enumerate(proc.lines(f"{folder}/{proto}", MOST_LINES * 200)):
            if place > MOST_LINES:  # the first line is the heading
                cut = True
                break
            row = read_line(text, proto)
            if row is not None and (row.uid in uids or row.state == "LISTEN"):
                rows.append(row)
    return rows, cut


def read_line(line: bytes, proto: str) -> Sample | None:
    """An established or listening socket; null: another line."""
    cells = line.split(None, 10)
    if len(cells) < 10 or cells[3] not in _STATES or cells[9] == b"0":
        return None
    if not len(cells[1]) == len(cells[2]) == _LENGTHS[proto]:
        return None
    try:
        inode, uid = int(cells[9]), int(cells[7])
        return Sample(~inode, proto, address(cells[1]), address(cells[2]), _STATES[cells[3]], uid, inode)
    except (ValueError, OSError, struct.error):
        return None


def address(text: bytes) -> str:
    """`0100007F:1F90` as `127.0.0.1:8080`; the kernel prints 32-bit words in host order."""
    raw, port = text.split(b":")
    words = struct.pack(f"={len(raw) // 8}I", *(int(raw[i : i + 8], 16) for i in range(0, len(raw), 8)))
    if len(words) == 4:
        return f"{_socket.inet_ntop(_socket.AF_INET, words)}:{int(port, 16)}"
    return f"[{_socket.inet_ntop(_socket.AF_INET6, words)}]:{int(port, 16)}"
