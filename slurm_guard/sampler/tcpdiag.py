"""TCP sockets from the kernel's socket diagnostics: who opened each, its bytes, and those that came and went.
Of UDP the connected ones, of which the kernel keeps no counts.

A dump tells the sockets that are there; between two dumps the kernel tells of each that is destroyed, with
its last counts, to whoever listens to a multicast group. Neither needs eBPF.
"""

from __future__ import annotations

import _socket
import struct
import time

from slurm_guard import netlink
from slurm_guard.light import Callable, NamedTuple

MOST_ROWS = 20_000  # of one dump: judgement; 500 sockets are a busy training node (budget)
DUMP_S = 0.5  # CPU time of one dump, beyond which it is left off. Judgement
MOST_CLOSED = 20_000  # heard between two looks. Judgement
SO_RCVBUFFORCE = getattr(_socket, "SO_RCVBUFFORCE", 33)
_ROOM_B = 4 << 20  # for what closes between two looks: some thousand sockets. Judgement
_STATES = {netlink.ESTABLISHED: "ESTABLISHED", netlink.LISTEN: "LISTEN", netlink.CLOSE_WAIT: "CLOSE_WAIT"}
_WANTED, _CONNECTED = sum(1 << state for state in _STATES), 1 << netlink.ESTABLISHED
_WANT_INFO = 1 << (netlink.INFO - 1)
_DESTROYED = 0b101  # groups SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY
# inet_diag_msg: family, state, timer, retrans; ports in network order; addresses; if, cookie; expires,
# queues, uid, inode
_MESSAGE = struct.Struct("=BBBB2s2s16s16s4xQ12xII")
_ATTRIBUTE = struct.Struct("=HH")
# tcp_info by its offsets, which never move: unacked; ages of the last data sent and received; bytes acked and
# received; min_rtt; data segments in and out; bytes sent and retransmitted (kernel 4.19).
_UNACKED, _LAST, _ACKED, _MIN_RTT, _SEGMENTS, _SENT = 24, 44, 120, 148, 152, 200
_WITHIN = ("127.", "[::1]", "[::ffff:127.")
_NO_RTT = 0xFFFFFFFF
_COOKIE, _COOKIE_AT = struct.Struct("=Q"), 44
_AGES = struct.Struct("=III")
_U32, _PAIR_U32, _PAIR_U64 = struct.Struct("=I"), struct.Struct("=II"), struct.Struct("=QQ")


class Sample(NamedTuple):
    """One TCP socket at one moment. Null: the kernel does not say.

    `opened`: this end opened the connection. Its SYN counts among the acknowledged bytes, the answer to
    another's SYN does not; with data on its way the difference can only hide, so false needs none on its way
    (`python -m bench opener`: 4,680 ends of ten patterns of traffic, none wrong).
    """

    ident: int  # cookie, or the inode's complement where there is no cookie
    proto: str
    local: str
    peer: str
    state: str
    uid: int
    inode: int
    cookie: int | None = None
    netns: int | None = None  # inode of its network namespace; null: the sampler's own
    opened: bool | None = None
    out_b: int | None = None
    in_b: int | None = None
    out_n: int | None = None  # data segments
    in_n: int | None = None
    min_rtt_us: int | None = None
    sent_ms: int | None = None  # since data was last sent, when this was read; null: it has ended
    recv_ms: int | None = None  # since data was last received


Known = Callable[[int], Sample | None]  # cookie -> its sample in the look before; null: it was not there


def _no_one(_: int) -> None:
    return None


_COUNTS_AT = Sample._fields.index("opened")
_STILL = Sample._fields.index("sent_ms") - _COUNTS_AT  # the counts that stand still where nothing moves


class TcpDiag:
    """The kernel's words about the TCP sockets of a network namespace: the one that `asked` and `heard` were
    opened in, by default the sampler's own."""

    def __init__(self, asked: _socket.socket | None = None, heard: _socket.socket | None = None) -> None:
        self.lost = 0  # times that more closed than there was room for
        self._asked = asked
        self._closed = heard
        self._tables = {"tcp": _WANTED, "tcp6": _WANTED, "udp": _CONNECTED, "udp6": _CONNECTED}
        if heard is not None:
            heard.setblocking(False)

    def listen(self) -> None:
        """Begin to hear of destroyed sockets. Raises OSError: not allowed, or no such group.

        Without CAP_NET_ADMIN the room for them is what net.core.rmem_max allows.
        """
        self._closed = hear_ends()
        self._closed.setblocking(False)

    @property
    def hears_ends(self) -> bool:
        """Whether connections that end are told: those that come and go between two looks too."""
        return self._closed is not None

    def close(self) -> None:
        """Hear no more."""
        for one in (self._closed, self._asked):
            if one is not None:
                one.close()
        self._closed = self._asked = None

    def dump(
        self, uids: set[int], known: Known = _no_one, most_s: float = DUMP_S
    ) -> tuple[list[Sample], bool]:
        """(open sockets of these users, listeners of all; whether some were left out). Raises OSError.

        `known`: the samples of the look before, by cookie; what has not changed is the same object again.
        """
        rows: list[Sample] = []
        deadline_s = time.thread_time() + most_s
        cut = False
        asked = self._asked
        if asked is None:
            asked = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, netlink.NETLINK_SOCK_DIAG)
        try:
            asked.settimeout(1.0)
            for table, states in list(self._tables.items()):
                try:
                    cut = self._take(asked, (table, states), uids, known, rows, deadline_s) or cut
                except OSError as error:
                    # after a late answer the rest of it would be taken for the next one's
                    if table.startswith("tcp") or isinstance(error, TimeoutError):
                        raise
                    del self._tables[table]  # a kernel without it
        finally:
            if asked is not self._asked:
                asked.close()
        return rows[:MOST_ROWS], cut or len(rows) > MOST_ROWS

    def _take(
        self,
        asked: _socket.socket,
        what: tuple[str, int],
        uids: set[int],
        known: Known,
        rows: list[Sample],
        deadline_s: float,
    ) -> bool:
        """One table's sockets into `rows`; whether some were left out. Raises OSError."""
        table, states = what
        asked.send(netlink.dump_request(table, states, _WANT_INFO))
        cut = done = False
        while not done:
            bodies, done = netlink.messages(asked.recv(1 << 15))
            if len(rows) >= MOST_ROWS or time.thread_time() > deadline_s:
                cut = cut or bool(bodies)
                continue  # the rest of the dump has to leave the socket all the same
            for body in bodies:
                sample = _again(body, known) or _sample(table, body, uids)
                if sample is not None:
                    rows.append(sample)
        return cut

    def closed(
        self, is_known: Callable[[int], bool], places: set[str] | frozenset[str] = frozenset()
    ) -> list[Sample]:
        """Connections that ended since the last call, with their last counts: the known ones, all within the
        node, and all to these places. The kernel no longer tells whose they were (uid 0)."""
        if self._closed is None:
            return []
        rows: list[Sample] = []
        for _ in range(MOST_CLOSED):
            try:
                data = self._closed.recv(1 << 15)
            except BlockingIOError:
                return rows
            except OSError:  # ENOBUFS: more than there was room for
                self.lost += 1
                continue
            for body in netlink.messages(data)[0]:
                table = "tcp" if body[:1] == b"\x02" else "tcp6"
                sample = _sample(table, body, None)
                if sample is None or sample.state == "LISTEN" or sample.peer.endswith(":0"):
                    continue
                if is_known(sample.ident) or sample.peer.startswith(_WITHIN) or sample.peer in places:
                    rows.append(sample)
        self.lost += 1
        return rows


def hear_ends() -> _socket.socket:
    """A socket that hears of each TCP connection that ends in this network namespace. Raises OSError."""
    heard = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, netlink.NETLINK_SOCK_DIAG)
    try:
        try:
            heard.setsockopt(_socket.SOL_SOCKET, SO_RCVBUFFORCE, _ROOM_B)
        except PermissionError:
            heard.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, _ROOM_B)
        heard.bind((0, _DESTROYED))
    except OSError:
        heard.close()
        raise
    return heard


def _sample(table: str, body: bytes, uids: set[int] | None) -> Sample | None:
    """One inet_diag_msg; null: of another user than `uids` (null: of any)."""
    if len(body) < _MESSAGE.size:
        return None
    family, state, _, _, sport, dport, source, dest, cookie, uid, inode = _MESSAGE.unpack_from(body)
    if uids is not None and uid not in uids and state != netlink.LISTEN:
        return None
    known = _STATES.get(state)
    return Sample(
        cookie,
        table,
        _place(family, source, sport),
        _place(family, dest, dport),
        "CLOSED" if known is None else known,
        uid,
        inode,
        cookie,
        None,
        *_counts(_tcp_info(body), is_open=known is not None),
    )


def _again(body: bytes, known: Known) -> Sample | None:
    """A socket that was there before, its places kept and its counts new; null: another one."""
    if len(body) < _MESSAGE.size:
        return None
    before = known(_COOKIE.unpack_from(body, _COOKIE_AT)[0])
    if before is None or before.state != _STATES.get(body[1]):
        return None
    counts = _counts(_tcp_info(body), is_open=True)
    if counts[:_STILL] == before[_COUNTS_AT:][:_STILL]:
        return before
    return Sample._make((*before[:_COUNTS_AT], *counts))


def _place(family: int, packed: bytes, port: bytes) -> str:
    if family == _socket.AF_INET:
        return f"{packed[0]}.{packed[1]}.{packed[2]}.{packed[3]}:{port[0] << 8 | port[1]}"
    return f"[{_socket.inet_ntop(_socket.AF_INET6, packed)}]:{port[0] << 8 | port[1]}"


def _tcp_info(body: bytes) -> bytes:
    """The attribute with tcp_info; empty: not given."""
    offset = _MESSAGE.size
    while offset + 4 <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < 4:
            break
        if kind == netlink.INFO:
            return body[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return b""


class _Counts(NamedTuple):
    opened: bool | None = None
    out_b: int | None = None
    in_b: int | None = None
    out_n: int | None = None
    in_n: int | None = None
    min_rtt_us: int | None = None
    sent_ms: int | None = None
    recv_ms: int | None = None


def _counts(info: bytes, *, is_open: bool) -> _Counts:
    if len(info) < _SENT + 16:
        return _Counts()
    acked, received = _PAIR_U64.unpack_from(info, _ACKED)
    (rtt_us,) = _U32.unpack_from(info, _MIN_RTT)
    segments_in, segments_out = _PAIR_U32.unpack_from(info, _SEGMENTS)
    sent, again = _PAIR_U64.unpack_from(info, _SENT)
    (unacked,) = _U32.unpack_from(info, _UNACKED)
    data = sent - again
    if is_open:
        opened = True if acked > data else False if unacked == 0 else None
    else:  # an acknowledged FIN counts one more
        opened = True if acked >= data + 2 else False if acked == data and unacked == 0 else None
    # of one that ended they are as old as its end
    sent_ms, _, recv_ms = _AGES.unpack_from(info, _LAST) if is_open else (None, None, None)
    rtt = None if rtt_us == _NO_RTT else rtt_us
    return _Counts(opened, data, received, segments_out, segments_in, rtt, sent_ms, recv_ms)


def tcp_diag(proc: str) -> TcpDiag | None:
    """The kernel's diagnostics, for the real /proc; null: it has none. Without the rights to hear what ends,
    only the open sockets are told."""
    if proc != "/proc":
        return None
    diag = TcpDiag()
    try:
        diag.dump(set())
    except OSError:
        return None
    try:
        diag.listen()
    except OSError:
        pass
    return diag
