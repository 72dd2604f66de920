"""TCP sockets from the kernel's socket diagnostics: who opened each, its bytes, and those that came and went.
Of UDP the connected ones, of which the kernel keeps no counts.

A dump tells the sockets that are there; between two dumps the kernel tells of each that is destroyed
(tcpends.py). Neither needs eBPF.
"""

from __future__ import annotations

import _socket
import time

from slurm_guard import netlink
from slurm_guard.light import Callable, Mapping, NamedTuple
from slurm_guard.sampler.tcpask import ask_again, ask_loopback, ask_near, ask_outward, ask_ports
from slurm_guard.sampler.tcpends import Ends, Wanted, hear_ends
from slurm_guard.sampler.tcpsample import (
    COOKIE,
    COOKIE_AT,
    U32,
    UID_AT,
    Attributes,
    Known,
    read_again,
    read_sample,
)
from slurm_guard.sampler.tcpsample import STATES as _STATES
from slurm_guard.sampler.tcpsample import (
    Sample as Sample,
)

# New ones in one dump, of all users together and of each at least: judgement; 500 sockets are a busy training
# node (budget), and of eight runs as many are followed
MOST_ROWS, LEAST_ROWS = 8192, 1024
DUMP_S = 0.5  # CPU time of one dump, beyond which it is left off. Judgement
PEEK_S = 0.01  # of one look between two dumps. Judgement
MOST_PEEKED = 256  # sockets that such a look may tell. Judgement
_WANTED, _CONNECTED = sum(1 << state for state in _STATES), 1 << netlink.ESTABLISHED
# Of what comes and goes, whatever part of its life it is in: FIN_WAIT1 and 2, LAST_ACK and CLOSING too.
_PASSING = sum(1 << state for state in (1, 2, 4, 5, 8, 9, 11))
_WANT_INFO = 1 << (netlink.INFO - 1)
_FAMILY_OF = {"tcp": b"\x02", "tcp6": b"\x0a"}
MOST_OTHERS = 4096  # places of others that one dump tells. Judgement


class Passed(NamedTuple):
    """What is known of a socket that is not followed one by one: it need not be read again. `run`, null: not
    known whose; `pid`, `exe`: of a process that holds it, null: none was seen to; `kind`: LEFT, ORPHAN or
    TRYING."""

    run: str | None
    pid: int | None
    exe: str | None
    kind: int
    uid: int


LEFT, ORPHAN, TRYING = (
    0,
    1,
    2,
)  # beyond what is followed; in nobody's descriptors; its far end has not answered

_NO_GROUPS: Mapping[int, str] = {}
_NOBODY: Mapping[int, Passed] = {}


def _no_one(_: int) -> None:
    return None


class TcpDiag:
    """The kernel's words about the TCP sockets of a network namespace: the one that `asked` and `heard` were
    opened in, by default the sampler's own."""

    def __init__(self, asked: _socket.socket | None = None, heard: _socket.socket | None = None) -> None:
        self.crowded: set[int] = set()  # users of whom the last dump left some out
        self.late = False  # the last dump was left off: of anybody some may be missing
        self.there: set[int] = set()  # of the `passed` ones, those that the last dump met
        self.others: set[bytes] = set()  # far ends (tcpends.key) of users that were not asked for
        # Whether bytes are counted, as from Linux 4.19 on; null: no connection was met yet
        self.tells_bytes: bool | None = None
        self.n_met = 0  # sockets that the last dump met, anybody's
        self._asked = asked
        self._ends = None if heard is None else Ends(heard)
        self._tables = {"tcp": _WANTED, "tcp6": _WANTED, "udp": _CONNECTED, "udp6": _CONNECTED}
        self._attributes = {table: Attributes() for table in self._tables}

    def listen(self) -> None:
        """Begin to hear of destroyed sockets. Raises OSError: not allowed, or no such group.

        Without CAP_NET_ADMIN the room for them is what net.core.rmem_max allows.
        """
        self._ends = Ends(hear_ends())

    @property
    def hears_ends(self) -> bool:
        """Whether connections that end are told: those that come and go between two looks too."""
        return self._ends is not None

    @property
    def lost(self) -> int:
        """Ends that were not heard, as there was no room for them."""
        return 0 if self._ends is None else self._ends.n_lost

    def close(self) -> None:
        """Hear no more."""
        if self._ends is not None:
            self._ends.close()
        if self._asked is not None:
            self._asked.close()
        self._ends = self._asked = None

    def dump(
        self,
        uids: set[int],
        known: Known = _no_one,
        most_s: float = DUMP_S,
        groups: Mapping[int, str] = _NO_GROUPS,
        passed: Mapping[int, Passed] = _NOBODY,
    ) -> tuple[list[Sample], bool]:
        """(open sockets of these users and of these control groups, listeners of all; whether some were left
        out). Raises OSError.

        `known`: the samples of the look before, by cookie; what has not changed is the same object again.
        `passed`: sockets that need not be read; those that are still there are in `there` afterwards.
        """
        dump = _Dump(self, uids, known, groups, passed, time.thread_time() + most_s)
        self.crowded, self.there, self.others, self.late, self.n_met = set(), set(), set(), False, 0
        for table, states in list(self._tables.items()):
            try:
                self._ask(table, states, dump.take)
            except OSError as error:
                # after a late answer the rest of it would be taken for the next one's
                if table.startswith("tcp") or isinstance(error, TimeoutError):
                    raise
                del self._tables[table]  # a kernel without it
        return dump.rows, self.late or bool(self.crowded)

    def _ask(self, table: str, states: int, take: Callable[[str, Attributes, bytes], bool]) -> None:
        """One table's answer, part by part. Raises OSError."""
        with self._asking() as asked:
            asked.send(netlink.dump_request(table, states, _WANT_INFO))
            attributes = self._attributes[table]
            while not take(table, attributes, asked.recv(1 << 15)):
                pass

    def _asking(self) -> _Asking:
        return _Asking(self._asked)

    def peek(self, is_known: Callable[[int], bool]) -> list[tuple[bytes, int, int | None]]:
        """(far end as tcpends.key, user, control group) of sockets that are passing through just now and are
        not known: a sample of what comes and goes between two dumps. What its process has closed has no user
        any more, and is left out: taken for root's it would make a run's port nobody's. Raises OSError."""
        found: list[tuple[bytes, int, int | None]] = []
        until_s = time.thread_time() + PEEK_S

        def take(table: str, attributes: Attributes, data: bytes) -> bool:
            spans, done = netlink.spans(data)
            if len(found) >= MOST_PEEKED or time.thread_time() > until_s:
                return done
            for begin, end in spans:
                if _has_inode(data, begin) and not is_known(COOKIE.unpack_from(data, begin + COOKIE_AT)[0]):
                    at = attributes.find(data, begin, end, netlink.CGROUP)
                    group = COOKIE.unpack_from(data, at)[0] if at else None
                    found.append((far_end(table, data, begin), _uid(data, begin), group))
            return done

        for table in ("tcp", "tcp6"):
            self._ask(table, _PASSING, take)
        return found

    def again(self, before: list[Sample]) -> dict[int, Sample]:
        """These sockets as they are now, by cookie; what is gone, or closing, is missing. Raises OSError."""
        with self._asking() as asked:
            return ask_again(asked, before, self._attributes["tcp"])

    def ports(self, table: str, ports: list[int]) -> list[Sample] | None:
        """Open sockets of a table that lead to one of these ports; null: too many. Raises OSError."""
        with self._asking() as asked:
            return ask_ports(asked, table, ports, self._attributes[table])

    def loopback(self, table: str, is_wanted: Callable[[int, int], bool]) -> list[Sample] | None:
        """Open sockets of connections over loopback, those that `is_wanted` says by user and cookie; null:
        too many. Raises OSError."""
        with self._asking() as asked:
            return ask_loopback(asked, table, is_wanted, self._attributes[table])

    def outward(self, table: str, nets: list[tuple[int, bytes, int]]) -> list[tuple[int, int]] | None:
        """User and cookie of open sockets of connections beyond these networks; null: too many. Raises
        OSError."""
        with self._asking() as asked:
            return ask_outward(asked, table, nets)

    def near(self, table: str) -> list[tuple[int, int]] | None:
        """The same of connections over loopback. Raises OSError."""
        with self._asking() as asked:
            return ask_near(asked, table)

    def hear(self, wanted: Wanted, most_s: float) -> None:
        """Sort what was heard to end into `wanted`, for so long."""
        if self._ends is not None:
            self._ends.take(wanted, most_s)

    def closed(
        self, is_known: Callable[[int], bool], places: set[str] | frozenset[str] = frozenset()
    ) -> list[Sample]:
        """Connections that ended since the last call, with their last counts: the known ones, all within the
        node, and all to these places. The kernel no longer tells whose they were (uid 0)."""
        wanted = Wanted(is_known, _NOBODY, places)
        self.hear(wanted, DUMP_S)
        return wanted.samples


def far_end(table: str, data: bytes, begin: int) -> bytes:
    """A far end in few bytes: family, address and port, as tcpends tells it."""
    return _FAMILY_OF[table] + data[begin + 24 : begin + 40] + data[begin + 6 : begin + 8]


def _uid(data: bytes, begin: int) -> int:
    uid: int = U32.unpack_from(data, begin + UID_AT)[0]
    return uid


def _has_inode(data: bytes, begin: int) -> bool:
    """Whether a process still has it open."""
    return any(data[begin + UID_AT + 4 : begin + UID_AT + 8])


class _Asking:
    """A socket to ask through for a moment: a namespace's own stays open."""

    def __init__(self, kept: _socket.socket | None) -> None:
        self._kept, self._asked = kept, kept

    def __enter__(self) -> _socket.socket:
        if self._asked is None:
            self._asked = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, netlink.NETLINK_SOCK_DIAG)
        self._asked.settimeout(1.0)
        return self._asked

    def __exit__(self, *_: object) -> None:
        if self._kept is None and self._asked is not None:
            self._asked.close()


class _Dump:
    """One dump's answer, row by row. Each user may have so many rows, so that a crowd of one's leaves nobody
    else's out."""

    def __init__(
        self,
        diag: TcpDiag,
        uids: set[int],
        known: Known,
        groups: Mapping[int, str],
        passed: Mapping[int, Passed],
        until_s: float,
    ) -> None:
        self.rows: list[Sample] = []
        self._diag, self._uids, self._known, self._groups, self._passed = diag, uids, known, groups, passed
        self._until_s = until_s
        self._share = max(
            LEAST_ROWS, MOST_ROWS // max(1, len(uids))
        )  # listeners of all others are one more user's
        self._counts: dict[int, int] = {}

    def take(self, table: str, attributes: Attributes, data: bytes) -> bool:
        """One part of the answer; whether it was the last one."""
        spans, done = netlink.spans(data)
        if time.thread_time() > self._until_s:
            self._diag.late = self._diag.late or bool(spans)
            return done  # the rest of the dump has to leave the socket all the same
        self._diag.n_met += len(spans)
        known, passed, there = self._known, self._passed, self._diag.there
        unpack, uid_of, crowded = COOKIE.unpack_from, U32.unpack_from, self._diag.crowded
        for begin, end in spans:
            (cookie,) = unpack(data, begin + COOKIE_AT)
            state = data[begin + 1]
            before = known(cookie)
            if before is not None and before.state == _STATES.get(state):
                self.rows.append(read_again(data, begin, attributes.info(data, begin, end), before))
                continue
            told = passed.get(cookie)
            if told is not None and (told.kind == TRYING) is (state == netlink.SYN_SENT):
                there.add(cookie)
            elif not crowded or uid_of(data, begin + UID_AT)[0] not in crowded or state == netlink.LISTEN:
                self._take_new(table, attributes, data, (begin, end))
        return done

    def _take_new(self, table: str, attributes: Attributes, data: bytes, span: tuple[int, int]) -> None:
        begin, end = span
        if self._diag.tells_bytes is None and data[begin + 1] == netlink.ESTABLISHED and table in _FAMILY_OF:
            self._diag.tells_bytes = attributes.info(data, begin, end) > 0
        uid, is_door, run = _uid(data, begin), data[begin + 1] == netlink.LISTEN, None
        if self._groups and uid != 0:  # root's in a job's group are slurmstepd's and an admin's
            at = attributes.find(data, begin, end, netlink.CGROUP)
            run = self._groups.get(COOKIE.unpack_from(data, at)[0]) if at else None
        if uid not in self._uids and run is None:
            if not is_door:
                if table in _FAMILY_OF and len(self._diag.others) < MOST_OTHERS:
                    self._diag.others.add(far_end(table, data, begin))
                return
            uid = -1
        n = self._counts[uid] = self._counts.get(uid, 0) + 1
        if n > self._share:
            self._diag.crowded.add(uid)
        else:
            self.rows.append(read_sample(table, data, begin, attributes.info(data, begin, end), run))


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
