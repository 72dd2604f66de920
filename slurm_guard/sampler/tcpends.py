"""What the kernel tells of TCP sockets that are destroyed in a network namespace: each with its last counts,
to whoever listens to a multicast group; whose it was it no longer says.

Read more often than the tables are looked at, as there is room for some thousand alone, and each is read
once: what is known or may be of a relay is kept, the rest is counted by far end.
"""

from __future__ import annotations

import _socket
import struct
import time

from slurm_guard import netlink
from slurm_guard.light import TYPE_CHECKING, Callable, Mapping
from slurm_guard.sampler.tally import Tally
from slurm_guard.sampler.tcpsample import (
    ACKED,
    COOKIE,
    COOKIE_AT,
    MESSAGE,
    MIN_RTT,
    NO_RTT,
    PAIR_U64,
    SENT,
    U32,
    Attributes,
    Sample,
    read_sample,
)

if TYPE_CHECKING:
    from slurm_guard.sampler.tcpdiag import Passed

MOST_KEPT = 4096  # kept singly between two looks, of known ones and those within the node. Judgement
MOST_NEAR = (
    512  # of those that nobody knows and that lead to other nodes, beyond which they are counted. Judgement
)
MOST_READ = 100_000  # in one go. Judgement
SO_RCVBUFFORCE = getattr(_socket, "SO_RCVBUFFORCE", 33)
_ROOM_B = 4 << 20  # which the kernel doubles: 6,500 sockets (measured). Judgement
_DESTROYED = 0b101  # groups SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY
_SOL_NETLINK, _NO_ENOBUFS = 270, 5
_SO_MEMINFO, _DROPS = 55, struct.Struct("=32xI")
_NOWHERE = bytes(16)
_MAPPED_127, _ONE = bytes(10) + b"\xff\xff\x7f", bytes(15) + b"\1"
_PORT_0 = b"\0\0"
_HEADER_B = 16
EPHEMERAL = 32_768  # ports from here on are given to clients. Documented default of ip_local_port_range


class Wanted:
    """What is wanted of what is heard, and what was. `is_known`: followed connections, by cookie; `passed`:
    others of which is known whose they are; `places`: far ends whose connections are wanted singly;
    `is_near`: whether a far end (key_of) is another node of the cluster, to which those that nobody knows are
    wanted as well; `doors`: ports on which somebody listens, as they stand in a message."""

    def __init__(
        self,
        is_known: Callable[[int], bool],
        passed: Mapping[int, Passed],
        places: set[str] | frozenset[str] = frozenset(),
        is_near: Callable[[bytes], bool] | None = None,
    ) -> None:
        self.is_known, self.passed, self._is_near = is_known, passed, is_near
        self._n_near = 0
        self.doors: set[bytes] = set()
        self.samples: list[Sample] = []
        self.left_out = 0  # of these, beyond MOST_KEPT
        self.tally = Tally()  # opened outwards, by far end; nobody knows by whom
        self.tallies: dict[Passed, Tally] = {}  # of the passed ones
        self.over: list[int] = []  # of these, which have ended
        self.n_unknown = 0  # counted in `tally` since the beginning
        self._places: set[bytes] = set()
        self._named: dict[str, bytes] = {}
        self.want_places(places)

    def want_places(self, places: set[str] | frozenset[str]) -> None:
        """From now on these."""
        self._named = {text: self._named.get(text) or key_of(text) for text in places}
        self._places = set(self._named.values())

    def take(self) -> tuple[list[Sample], Tally, dict[Passed, Tally]]:
        """What was heard since this was last asked."""
        found = self.samples, self.tally, self.tallies
        self.samples, self.tally, self.tallies, self.left_out, self._n_near = [], Tally(), {}, 0, 0
        return found

    def note(self, data: bytes, attributes: Attributes) -> None:
        """One message."""
        end = len(data)
        dest = data[_HEADER_B + 24 : _HEADER_B + 40]
        if end < _HEADER_B + MESSAGE.size or dest == _NOWHERE:
            return  # a listener, or one that was never connected
        (cookie,) = COOKIE.unpack_from(data, _HEADER_B + COOKIE_AT)
        family, port = data[_HEADER_B : _HEADER_B + 1], data[_HEADER_B + 6 : _HEADER_B + 8]
        key = family + dest + port
        info = attributes.info(data, _HEADER_B, end)
        passed = self.passed.get(cookie)
        within = dest[0] == 127 if family == b"\x02" else dest[:13] == _MAPPED_127 or dest == _ONE
        is_known = self.is_known(cookie)
        if is_known or within or key in self._places:
            if len(self.samples) >= MOST_KEPT:
                self.left_out += 1
            elif port != _PORT_0:
                table = "tcp" if family == b"\x02" else "tcp6"
                self.samples.append(read_sample(table, data, _HEADER_B, info))
        elif self._is_near is not None and self._n_near < MOST_NEAR and self._leads_near(key, data):
            self._n_near += 1
            table = "tcp" if family == b"\x02" else "tcp6"
            self.samples.append(read_sample(table, data, _HEADER_B, info))
        if within or is_known or not info:
            return
        if passed is not None:
            self.over.append(cookie)
        self._count(data, info, key, passed)

    def _leads_near(self, key: bytes, data: bytes) -> bool:
        """Whether it may have been opened to another node of the cluster."""
        here = data[_HEADER_B + 4 : _HEADER_B + 6]
        is_door = here in self.doors or _may_be_door(here, key[-2:])
        return not is_door and key[-2:] != _PORT_0 and self._is_near is not None and self._is_near(key)

    def _count(self, data: bytes, info: int, key: bytes, passed: Passed | None) -> None:
        acked, in_b = PAIR_U64.unpack_from(data, info + ACKED)
        sent, again = PAIR_U64.unpack_from(data, info + SENT)
        out_b = sent - again
        failed = acked == 0 and in_b == 0 and U32.unpack_from(data, info + MIN_RTT)[0] == NO_RTT
        # Its own SYN and FIN were acknowledged; else the port decides: clients take one without a listener,
        # and nobody accepts what is not answered.
        here = data[_HEADER_B + 4 : _HEADER_B + 6]
        if not failed and acked < out_b + 2 and (here in self.doors or _may_be_door(here, key[-2:])):
            return
        if acked == out_b and not failed and key[-2:] != _PORT_0:
            return  # accepted here
        if passed is None:
            self.n_unknown += 1
            tally = self.tally
        else:
            tally = self.tallies.get(passed) or self.tallies.setdefault(passed, Tally())
        tally.add(key, failed=failed, out_b=out_b, in_b=max(0, in_b))


def _may_be_door(here: bytes, there: bytes) -> bool:
    """Whether the near end may have been a listener's, which has gone or was not looked at yet: its port is
    none that a client is given, or the far end's is one, too."""
    return not int.from_bytes(here, "big") >= EPHEMERAL > int.from_bytes(there, "big")


class Ends:
    """The multicast group of one network namespace."""

    def __init__(self, heard: _socket.socket) -> None:
        self.n_lost = 0  # messages that there was no room for
        self._heard = heard
        self._n_drops = 0
        self._attributes = Attributes()
        heard.setblocking(False)

    def take(self, wanted: Wanted, most_s: float) -> bool:
        """Read for so long; whether all was read."""
        until_s = time.thread_time() + most_s
        receive, note, attributes = self._heard.recv, wanted.note, self._attributes
        is_empty = False
        for n in range(MOST_READ):
            if n & 63 == 63 and time.thread_time() > until_s:
                break
            try:
                data = receive(1 << 12)
            except BlockingIOError:
                is_empty = True
                break
            except OSError:  # ENOBUFS, where the kernel cannot be asked not to say it
                continue
            note(data, attributes)
        self._note_drops()
        return is_empty

    def _note_drops(self) -> None:
        try:
            (n,) = _DROPS.unpack(self._heard.getsockopt(_socket.SOL_SOCKET, _SO_MEMINFO, _DROPS.size))
        except (OSError, struct.error):  # a kernel before 4.12
            return
        self.n_lost += (n - self._n_drops) & 0xFFFFFFFF
        self._n_drops = n

    def close(self) -> None:
        """Hear no more."""
        self._heard.close()


def hear_ends() -> _socket.socket:
    """A socket that hears of each TCP connection that ends in this network namespace. Raises OSError."""
    heard = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, netlink.NETLINK_SOCK_DIAG)
    try:
        try:
            heard.setsockopt(_socket.SOL_SOCKET, SO_RCVBUFFORCE, _ROOM_B)
        except PermissionError:
            heard.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, _ROOM_B)
        # Else a socket that was full once takes nothing more until it is empty.
        heard.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)
        heard.bind((0, _DESTROYED))
    except OSError:
        heard.close()
        raise
    return heard


def key_of(place: str) -> bytes:
    """A far end as text in the bytes that a message has: family, address, port."""
    host, _, port = place.rpartition(":")
    number = int(port).to_bytes(2, "big")
    if host.startswith("["):
        return b"\x0a" + _socket.inet_pton(_socket.AF_INET6, host[1:-1]) + number
    return b"\x02" + _socket.inet_aton(host) + bytes(12) + number
