"""Sockets asked for one by one, and those that lead to some ports: no whole table has to be read."""

from __future__ import annotations

import _socket

from slurm_guard import netlink
from slurm_guard.light import Callable, Iterable
from slurm_guard.sampler.tcpends import key_of
from slurm_guard.sampler.tcpsample import (
    COOKIE,
    COOKIE_AT,
    STATES,
    U32,
    UID_AT,
    Attributes,
    Sample,
    read_again,
    read_sample,
)

MOST_AT = 512  # sockets that lead to some ports, in one answer. Judgement
MOST_NEAR = 2048  # the same over loopback, where nothing but their names is read. Judgement
Wanted = Callable[[int, int], bool]  # user and cookie: whether to read it
_GONE = (2, 116)  # ENOENT; ESTALE: another has its places by now
_OPEN = 1 << netlink.ESTABLISHED | 1 << netlink.CLOSE_WAIT
_WANT_INFO = 1 << (netlink.INFO - 1)


def ask_again(asked: _socket.socket, before: Iterable[Sample], attributes: Attributes) -> dict[int, Sample]:
    """These sockets as they are now, by cookie; what is gone, or closing, is missing. One of which nothing
    moved is the same object. Raises OSError."""
    found: dict[int, Sample] = {}
    for sample in before:
        local, peer = key_of(sample.local)[1:], key_of(sample.peer)[1:]
        asked.send(netlink.socket_request(sample.proto, local, peer, sample.cookie or 0, _WANT_INFO))
        data = asked.recv(1 << 15)
        try:
            spans, _ = netlink.spans(data)
        except OSError as error:
            if error.errno in _GONE:
                continue
            raise
        for begin, end in spans:
            is_it = COOKIE.unpack_from(data, begin + COOKIE_AT)[0] == sample.cookie
            if is_it and STATES.get(data[begin + 1]) == sample.state:
                found[sample.ident] = read_again(data, begin, attributes.info(data, begin, end), sample)
    return found


def ask_ports(
    asked: _socket.socket, table: str, ports: list[int], attributes: Attributes
) -> list[Sample] | None:
    """Open sockets that lead to one of these ports; null: they are too many. Raises OSError."""
    return _take(asked, table, netlink.ports_request(table, _OPEN, ports, _WANT_INFO), attributes, _anybodys)


def ask_loopback(
    asked: _socket.socket, table: str, is_wanted: Wanted, attributes: Attributes
) -> list[Sample] | None:
    """Open sockets of connections over loopback, of which `is_wanted` says by user and cookie which to read;
    null: they are too many. Raises OSError."""
    return _take(asked, table, netlink.loopback_request(table, _OPEN, _WANT_INFO), attributes, is_wanted)


def ask_outward(
    asked: _socket.socket, table: str, nets: list[tuple[int, bytes, int]]
) -> list[tuple[int, int]] | None:
    """User and cookie of open sockets whose far end is in none of these networks; null: they are too many.
    Raises OSError."""
    return _names(asked, netlink.outward_request(table, _OPEN, nets), MOST_AT)


def ask_near(asked: _socket.socket, table: str) -> list[tuple[int, int]] | None:
    """The same of connections over loopback."""
    return _names(asked, netlink.loopback_request(table, _OPEN), MOST_NEAR)


def _names(asked: _socket.socket, request: bytes, most: int) -> list[tuple[int, int]] | None:
    asked.send(request)
    found: list[tuple[int, int]] = []
    done = False
    while not done:
        data = asked.recv(1 << 15)
        spans, done = netlink.spans(data)
        if len(found) <= most:
            found += [
                (U32.unpack_from(data, a + UID_AT)[0], COOKIE.unpack_from(data, a + COOKIE_AT)[0])
                for a, _ in spans
            ]
    return found if len(found) <= most else None


def _take(
    asked: _socket.socket, table: str, request: bytes, attributes: Attributes, is_wanted: Wanted
) -> list[Sample] | None:
    asked.send(request)
    found: list[Sample] = []
    n, done = 0, False
    while not done:
        data = asked.recv(1 << 15)
        spans, done = netlink.spans(data)
        n += len(spans)
        if n <= MOST_AT:
            found += [
                read_sample(table, data, a, attributes.info(data, a, b))
                for a, b in spans
                if is_wanted(U32.unpack_from(data, a + UID_AT)[0], COOKIE.unpack_from(data, a + COOKIE_AT)[0])
            ]
    return found if n <= MOST_AT else None


def _anybodys(_: int, __: int) -> bool:
    return True
