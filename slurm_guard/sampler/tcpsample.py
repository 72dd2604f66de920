"""One TCP socket as the kernel's socket diagnostics describe it: read from the bytes of a message."""

from __future__ import annotations

import _socket
import struct

from slurm_guard import netlink
from slurm_guard.light import Callable, NamedTuple

STATES = {
    netlink.ESTABLISHED: "ESTABLISHED",
    netlink.SYN_SENT: "SYN_SENT",
    netlink.LISTEN: "LISTEN",
    netlink.CLOSE_WAIT: "CLOSE_WAIT",
}
NO_RTT = 0xFFFFFFFF  # no answer was ever timed
# inet_diag_msg: family, state, timer, retrans; ports in network order; addresses; if, cookie; expires,
# queues, uid, inode
MESSAGE = struct.Struct("=BBBB2s2s16s16s4xQ12xII")
COOKIE, COOKIE_AT, UID_AT = struct.Struct("=Q"), 44, 64
_ATTRIBUTE = struct.Struct("=HH")
# tcp_info by its offsets, which never move: unacked; ages of the last data sent and received; bytes acked and
# received; min_rtt; data segments in and out; bytes sent and retransmitted (kernel 4.19).
_UNACKED, _LAST, ACKED, MIN_RTT, _SEGMENTS, SENT = 24, 44, 120, 148, 152, 200
_AGES = struct.Struct("=III")
U32, _PAIR_U32, PAIR_U64 = struct.Struct("=I"), struct.Struct("=II"), struct.Struct("=QQ")


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
    run: str | None = None  # in whose control group it was made; null: in none of a run's, or not told


Known = Callable[[int], Sample | None]  # cookie -> its sample in the look before; null: it was not there
COUNTS_AT = Sample._fields.index("opened")
_STILL = Sample._fields.index("sent_ms") - COUNTS_AT  # the counts that stand still where nothing moves


class Attributes:
    """Where a message's attributes lie. A kernel puts them into each in the same order: where one was found
    it is looked for first in the next."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: dict[int, int] = {}

    def find(self, data: bytes, begin: int, end: int, kind: int) -> int:
        """Where the value of an attribute begins in the body at [begin, end); 0: it is not there."""
        at = begin + self._at.get(kind, MESSAGE.size)
        if at + 4 <= end:
            length, found = _ATTRIBUTE.unpack_from(data, at)
            if found == kind and at + length <= end:
                return at + 4
        return self._search(data, begin, end, kind)

    def info(self, data: bytes, begin: int, end: int) -> int:
        """Where a tcp_info begins that has all that is read; 0: there is none, or an older kernel's."""
        at = self.find(data, begin, end, netlink.INFO)
        return at if at and at + SENT + 16 <= end else 0

    def _search(self, data: bytes, begin: int, end: int, kind: int) -> int:
        at = begin + MESSAGE.size
        while at + 4 <= end:
            length, found = _ATTRIBUTE.unpack_from(data, at)
            if length < 4:
                break
            if found == kind and at + length <= end:
                self._at[kind] = at - begin
                return at + 4
            at += (length + 3) & ~3
        return 0


def read_sample(table: str, data: bytes, begin: int, info: int, run: str | None = None) -> Sample:
    """One inet_diag_msg; `info`: where its tcp_info begins, 0: it has none."""
    family, state, _, _, sport, dport, source, dest, cookie, uid, inode = MESSAGE.unpack_from(data, begin)
    known = STATES.get(state)
    counts = read_counts(data, info, is_open=known is not None)
    return Sample(
        cookie,
        table,
        place(family, source, sport),
        place(family, dest, dport),
        "CLOSED" if known is None else known,
        uid,
        inode,
        cookie,
        None,
        *(counts if state != netlink.SYN_SENT else counts._replace(opened=True)),
        run,
    )


def read_again(data: bytes, begin: int, info: int, before: Sample) -> Sample:
    """A socket that was there before, its places kept and its counts new; the same object if none moved."""
    if info and before.out_b is not None:  # what most do: nothing
        acked, received = PAIR_U64.unpack_from(data, info + ACKED)
        sent, again = PAIR_U64.unpack_from(data, info + SENT)
        if (
            received == before.in_b
            and sent - again == before.out_b
            and (acked > before.out_b) is before.opened
        ):
            return before
    counts = read_counts(data, info, is_open=True)
    if counts[:_STILL] == before[COUNTS_AT:][:_STILL]:
        return before
    return Sample._make((*before[:COUNTS_AT], *counts, before.run))


def place(family: int, packed: bytes, port: bytes) -> str:
    """`127.0.0.1:80`, `[::1]:80`."""
    if family == _socket.AF_INET:
        return f"{packed[0]}.{packed[1]}.{packed[2]}.{packed[3]}:{port[0] << 8 | port[1]}"
    return f"[{_socket.inet_ntop(_socket.AF_INET6, packed)}]:{port[0] << 8 | port[1]}"


class Counts(NamedTuple):
    """The counts of a Sample."""

    opened: bool | None = None
    out_b: int | None = None
    in_b: int | None = None
    out_n: int | None = None
    in_n: int | None = None
    min_rtt_us: int | None = None
    sent_ms: int | None = None
    recv_ms: int | None = None


_NO_COUNTS = Counts()


def read_counts(data: bytes, info: int, *, is_open: bool) -> Counts:
    """Of a tcp_info that begins there and is known to be long enough; 0: none."""
    if not info:
        return _NO_COUNTS
    acked, received = PAIR_U64.unpack_from(data, info + ACKED)
    (rtt_us,) = U32.unpack_from(data, info + MIN_RTT)
    segments_in, segments_out = _PAIR_U32.unpack_from(data, info + _SEGMENTS)
    sent, again = PAIR_U64.unpack_from(data, info + SENT)
    (unacked,) = U32.unpack_from(data, info + _UNACKED)
    moved = sent - again
    if is_open:
        opened = True if acked > moved else False if unacked == 0 else None
    else:  # an acknowledged FIN counts one more
        opened = True if acked >= moved + 2 else False if acked == moved and unacked == 0 else None
    # of one that ended they are as old as its end
    sent_ms, _, recv_ms = _AGES.unpack_from(data, info + _LAST) if is_open else (None, None, None)
    rtt = None if rtt_us == NO_RTT else rtt_us
    return Counts(opened, moved, received, segments_out, segments_in, rtt, sent_ms, recv_ms)
