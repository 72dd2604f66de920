"""Who opened a connection, by the kernel's counts: right, wrong and unknown, over patterns of traffic.

Both ends of each connection are asked while it is open, over IPv4 and IPv6. Needs no rights.
"""

import argparse
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from bench.pace import wilson
from slurm_guard.sampler.tcpdiag import TcpDiag

Ends = tuple[socket.socket, socket.socket]  # opener, accepter


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--n", type=int, default=130, help="connections of each pattern and family")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each pattern and family, then all."""
    rows = [_row(name, play, family, options.n) for name, play in PATTERNS.items() for family in FAMILIES]
    keys = ("ends", "right", "unknown", "wrong")
    total = {"what": "all", "family": "both", **{key: sum(row[key] for row in rows) for key in keys}}
    low, high = wilson(total["wrong"], total["ends"])
    return [*rows, {**total, "wrong_lo_pct": 100 * low, "wrong_hi_pct": 100 * high}]


FAMILIES = {"IPv4": (socket.AF_INET, "127.0.0.1"), "IPv6": (socket.AF_INET6, "::1")}


def _row(name: str, play: Callable[[Ends], None], family: str, n: int) -> dict[str, Any]:
    kind, host = FAMILIES[family]
    with socket.create_server((host, 0), family=kind, backlog=n) as server:
        pairs: list[Ends] = []
        for _ in range(n):
            opener = socket.socket(kind)
            opener.connect(server.getsockname()[:2])
            pairs.append((opener, server.accept()[0]))
            play(pairs[-1])
        time.sleep(0.3)
        said = {(s.local, s.peer): s.opened for s in TcpDiag().dump({os.getuid()})[0] if s.state != "LISTEN"}
    truth = {_name(end): k == 0 for pair in pairs for k, end in enumerate(pair)}
    found = [(said[place], opened) for place, opened in truth.items() if place in said]
    for pair in pairs:
        for end in pair:
            end.close()
    wrong = sum(word is not None and word != opened for word, opened in found)
    low, high = wilson(wrong, len(found))
    return {
        "what": name,
        "family": family,
        "ends": len(found),
        "right": sum(word == opened for word, opened in found),
        "unknown": sum(word is None for word, _ in found),
        "wrong": wrong,
        "wrong_lo_pct": 100 * low,
        "wrong_hi_pct": 100 * high,
    }


def _name(end: socket.socket) -> tuple[str, str]:
    """As the kernel's table has both places."""
    places = (end.getsockname()[:2], end.getpeername()[:2])
    here, there = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in places)
    return here, there


def _silent(ends: Ends) -> None:
    """Nobody says anything."""


def _opener_first(ends: Ends) -> None:
    ends[0].sendall(b"x" * 100)
    ends[1].recv(1000)


def _accepter_first(ends: Ends) -> None:
    ends[1].sendall(b"x" * 100)
    ends[0].recv(1000)


def _to_and_fro(ends: Ends) -> None:
    for _ in range(5):
        _opener_first(ends)
        _accepter_first(ends)


def _bulk_out(ends: Ends) -> None:
    for _ in range(4):
        ends[0].sendall(bytes(20_000))
        _drain(ends[1], 20_000)


def _bulk_in(ends: Ends) -> None:
    _bulk_out((ends[1], ends[0]))


def _drain(end: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(end.recv(1 << 16))


def _closed_window(ends: Ends) -> None:
    """More than the far end takes: data stays on its way."""
    ends[0].setblocking(False)
    try:
        while True:
            ends[0].send(bytes(1 << 16))
    except BlockingIOError:
        ends[0].setblocking(True)


def _closed_window_back(ends: Ends) -> None:
    _closed_window((ends[1], ends[0]))


def _half_closed_by_opener(ends: Ends) -> None:
    _to_and_fro(ends)
    ends[0].shutdown(socket.SHUT_WR)


def _half_closed_by_accepter(ends: Ends) -> None:
    _to_and_fro(ends)
    ends[1].shutdown(socket.SHUT_WR)


PATTERNS: dict[str, Callable[[Ends], None]] = {
    "silent": _silent,
    "the opener speaks": _opener_first,
    "the accepter speaks": _accepter_first,
    "to and fro": _to_and_fro,
    "bulk outwards": _bulk_out,
    "bulk inwards": _bulk_in,
    "closed window": _closed_window,
    "closed window, other way": _closed_window_back,
    "half closed by the opener": _half_closed_by_opener,
    "half closed by the accepter": _half_closed_by_accepter,
}
