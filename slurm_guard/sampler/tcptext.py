"""TCP sockets from the kernel's text tables, where it has no socket diagnostics: no bytes, and slower."""

import socket
import struct

from slurm_guard.sampler.tcpdiag import Sample

MOST_LINES = 20_000  # of each kernel table: judgement; 500 sockets are a busy training node (budget)
_STATES = {"01": "ESTABLISHED", "0A": "LISTEN"}


def parse_table(text: str, proto: str, most: int = MOST_LINES) -> tuple[list[Sample], bool]:
    """(established and listening sockets, whether lines were left out)."""
    rows = []
    lines = text.splitlines()[1:]
    for line in lines[:most]:
        cells = line.split()
        if len(cells) < 10 or cells[3] not in _STATES or cells[9] == "0":
            continue
        try:
            local, peer, state = address(cells[1]), address(cells[2]), _STATES[cells[3]]
            row = Sample(~int(cells[9]), proto, local, peer, state, int(cells[7]), int(cells[9]))
        except (ValueError, OSError, struct.error):
            continue
        rows.append(row)
    return rows, len(lines) > most


def address(text: str) -> str:
    """`0100007F:1F90` as `127.0.0.1:8080`; the kernel prints 32-bit words in host order."""
    raw, port = text.split(":")
    words = struct.pack(f"={len(raw) // 8}I", *(int(raw[i : i + 8], 16) for i in range(0, len(raw), 8)))
    if len(words) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, words)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, words)}]:{int(port, 16)}"
