"""The network as it stands: bounded in bytes, rows and time, whatever a node has open."""

import _socket  # the C module under `socket`, which would cost the hook 3 ms of imports
import os
import sys
import time

from slurm_guard.hooks.apart import MAX_ANSWER_S, Apart
from slurm_guard.hooks.environ import read_small
from slurm_guard.hooks.sockdiag import ESTABLISHED, LISTEN, UNCONNECTED, Dump, dump_sockets
from slurm_guard.light import Any, Callable, from_json, to_json
from slurm_guard.wire import Firewall, NetChain, NetState, Socket

MAX_ROWS = 256  # kept of each list; a compute node has tens (judgement)
MAX_TABLE_B = 1 << 20  # of one socket table: about 7,000 rows, 10 ms of kernel and Python time (measured)
# CPU time of our own per socket table, the kernel's part included: a busy node must not cost us rows, a huge
# table must not cost the job. 3 ms are about 2,500 sockets by sock_diag; the walk over the text tables takes
# 4.5 ms before its first row (measured on 6.18, 512 Ki buckets).
MAX_DUMP_S = 0.003
MAX_TEXT_S = 0.010
# A table that the kernel says is longer is left off in any case: MAX_ROWS of it are taken for a sample.
MOST_COUNTED = 2500
_LITTLE = sys.byteorder == "little"
_MAX_SMALL_B = 65_536
_MAX_NAMESERVERS = 16
_ASKED = ("firewall", "kinds", "routes", "rules")  # of the kernel, by a child
_TABLES = ("tcp", "tcp6", "udp", "udp6")
_STATES = {
    b"01": "ESTABLISHED",
    b"02": "SYN_SENT",
    b"03": "SYN_RECV",
    b"04": "FIN_WAIT1",
    b"05": "FIN_WAIT2",
    b"06": "TIME_WAIT",
    b"07": "CLOSE",
    b"08": "CLOSE_WAIT",
    b"09": "LAST_ACK",
    b"0A": "LISTEN",
    b"0B": "CLOSING",
}


class _Tables:
    """The socket tables on their way into a NetState. Counts turn null once a table was left off."""

    def __init__(self) -> None:
        self.listen: list[Socket] = []
        self.established: list[Socket] = []
        self.n_listen = 0
        self.n_established = 0
        self.listen_whole = True
        self.established_whole = True
        self.why: dict[str, str] = {}

    def add_dump(self, dump: Dump, *, listening: bool) -> None:
        """What sock_diag gave of one table."""
        if listening:
            self.listen += dump.rows[: MAX_ROWS - len(self.listen)]
            self.n_listen += dump.n
            self.listen_whole = self.listen_whole and dump.whole
        else:
            self.established += dump.rows[: MAX_ROWS - len(self.established)]
            self.n_established += dump.n
            self.established_whole = self.established_whole and dump.whole

    def add_row(self, table: str, row: bytes) -> None:
        """One line of a table. Unconnected UDP counts as listening, as `ss -l` has it."""
        cells = row.split(None, 10)
        if len(cells) < 10:
            return
        state = cells[3]
        if state == b"01":
            self.n_established += 1
            if len(self.established) < MAX_ROWS:
                self.established.append(parse_row(table, cells))
        elif state == b"0A" or (state == b"07" and table.startswith("udp")):
            self.n_listen += 1
            if len(self.listen) < MAX_ROWS:
                self.listen.append(parse_row(table, cells))


def parse_row(table: str, cells: list[bytes]) -> Socket:
    """One row of /proc/net/{tcp,tcp6,udp,udp6} as a Socket. Raises ValueError."""
    state = _STATES.get(cells[3], cells[3].decode("ascii", "replace"))
    if state == "CLOSE":
        state = "UNCONN"  # a UDP socket that is bound and not connected
    return Socket(
        table, parse_address(cells[1]), parse_address(cells[2]), state, int(cells[7]), int(cells[9])
    )


def parse_address(cell: bytes) -> str:
    """`0100007F:1F90` as `127.0.0.1:8080`: 32-bit words in the host's byte order."""
    words, _, port = cell.partition(b":")
    packed = bytes.fromhex(words.decode("ascii"))
    if _LITTLE:
        packed = b"".join(packed[i : i + 4][::-1] for i in range(0, len(packed), 4))
    if len(packed) == 4:
        return f"{packed[0]}.{packed[1]}.{packed[2]}.{packed[3]}:{int(port, 16)}"
    return f"[{_socket.inet_ntop(_socket.AF_INET6, packed)}]:{int(port, 16)}"


def tell_kernel(send: Callable[[bytes], None]) -> None:
    """The child: a line of JSON for each part, as soon as it is known.

    On kernels before 6.9 rtnetlink waits for a lock that a network card's driver may hold for long; the
    firewall, which waits for nobody, comes first. Imported here: the hook itself need not wait for it.
    """
    from slurm_guard.hooks.firewall import read_firewall

    send(f"{to_json(read_firewall())}\n".encode())
    from slurm_guard.hooks.routing import read_routing

    send(f"{to_json(read_routing())}\n".encode())


def ask_apart() -> Apart | None:
    """A child that asks the kernel for routes and filters; null: none can be made.

    Called first of all by a hook, so that it is done by the time it is asked.
    """
    try:
        return Apart(tell_kernel)
    except OSError:
        return None


def read_netstate(
    at: float, child: Apart | None, proc: str = "/proc", resolv: str = "/etc/resolv.conf"
) -> NetState:
    """A snapshot taken at `at`. Counts are whole or null; a part that could not be read is named in `why`."""
    tables = _Tables()
    in_use = _read_in_use(proc)
    for table in _TABLES:
        try:
            _ask_kernel(tables, table, in_use.get(table))
        except OSError:  # no sock_diag for this protocol: the text tables say the same, slower
            _read_text(tables, table, f"{proc}/net/{table}")
    n_established: int | None = tables.n_established
    if not tables.established_whole:
        n_established = _count_established(tables, f"{proc}/net/snmp")
    interfaces = _interfaces(tables, f"{proc}/net/dev")
    nameservers = _nameservers(tables, resolv)
    told = _hear(b"" if child is None else child.answer(), tables.why)
    if child is None:
        tables.why.update(dict.fromkeys(_ASKED, "no child to look"))
    return NetState(
        at=at,
        n_listen=tables.n_listen if tables.listen_whole else None,
        n_established=n_established,
        listen=sorted(tables.listen),
        established=sorted(tables.established),
        interfaces=interfaces,
        routes=told.get("routes") or [],
        nameservers=nameservers,
        truncated=not (tables.listen_whole and tables.established_whole)
        or max(tables.n_listen, tables.n_established) > MAX_ROWS,
        why=tables.why,
        kinds=told.get("kinds"),
        rules=told.get("rules"),
        firewall=told.get("firewall"),
    )


def _hear(answer: bytes, why: dict[str, str]) -> dict[str, Any]:
    """What the child told; parts that it did not come to are named in `why`."""
    told: dict[str, Any] = {}
    for line in answer.split(b"\n")[:-1]:  # what follows the last line's end is cut
        part = from_json(line)
        why.update(part.pop("why"))
        told.update(part)
    wall = told.get("firewall")
    if wall is not None:
        told["firewall"] = Firewall(**{**wall, "chains": [NetChain(**chain) for chain in wall["chains"]]})
    for name in _ASKED:
        if name not in told:
            why[name] = f"no answer within {MAX_ANSWER_S:g} s"
    return told


def _miss(tables: _Tables, part: str, error: Exception) -> None:
    """A part is missing. An absent tcp6 table is a kernel without IPv6: nothing is missing then."""
    if isinstance(error, FileNotFoundError) and part.endswith("6"):
        return
    tables.why[part] = (
        error.strerror or "unreadable" if isinstance(error, OSError) else "not in the known form"
    )
    if part in _TABLES:
        tables.listen_whole = tables.established_whole = False


def _ask_kernel(tables: _Tables, table: str, in_use: int | None) -> None:
    """Both lists of one table from sock_diag. Raises OSError before anything is added.

    The walk for connections passes every bucket of the kernel's hash, whatever is in it (2.6 ms for nothing):
    it is left out where all sockets in use are listed by then.
    """
    listening = LISTEN if table.startswith("tcp") else UNCONNECTED
    waiting = dump_sockets(table, listening, MAX_ROWS, MAX_DUMP_S)
    left = None if in_use is None else in_use - waiting.n
    connected = Dump([], 0, True)
    if left is None or left > 0 or not waiting.whole:
        to_end = left is None or left <= MOST_COUNTED
        connected = dump_sockets(table, ESTABLISHED, MAX_ROWS, MAX_DUMP_S, to_end=to_end)
    tables.add_dump(waiting, listening=True)
    tables.add_dump(connected, listening=False)
    if not (waiting.whole and connected.whole):
        of = "" if in_use is None else f" of {in_use}"
        tables.why[table] = f"left off after {waiting.n + connected.n}{of} sockets"


def _read_in_use(proc: str) -> dict[str, int]:
    """Sockets of each table that are bound or connected, by the kernel's counters; none: it does not say."""
    found: dict[str, int] = {}
    for name in ("sockstat", "sockstat6"):
        try:
            rows = read_small(f"{proc}/net/{name}", _MAX_SMALL_B).splitlines()
        except OSError:
            continue
        for cells in (row.split() for row in rows):
            if len(cells) > 2 and cells[1] == b"inuse" and cells[2].isdigit():
                found[cells[0][:-1].decode("ascii", "replace").lower()] = int(cells[2])
    return found


def _read_text(tables: _Tables, table: str, path: str) -> None:
    try:
        _read_table(tables, table, path)
    except (OSError, ValueError) as error:
        _miss(tables, table, error)


def _read_table(tables: _Tables, table: str, path: str) -> None:
    """Read one table by pieces until its end, MAX_TABLE_B or MAX_TEXT_S."""
    deadline_s = time.thread_time() + MAX_TEXT_S
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        read_b, rest, header = 0, b"", True
        while True:
            if read_b >= MAX_TABLE_B or time.thread_time() > deadline_s:
                tables.listen_whole = tables.established_whole = False
                tables.why[table] = f"left off after {read_b} bytes"
                return
            part = os.read(fd, _MAX_SMALL_B)
            if not part:
                return
            read_b += len(part)
            rows = (rest + part).split(b"\n")
            rest = rows.pop()
            for row in rows[1:] if header else rows:
                tables.add_row(table, row)
            header = header and not rows
    finally:
        os.close(fd)


def _count_established(tables: _Tables, path: str) -> int | None:
    """The kernel's own counter, which costs nothing however many sockets there are."""
    try:
        rows = [row.split() for row in read_small(path, _MAX_SMALL_B).splitlines() if row.startswith(b"Tcp:")]
        count = int(rows[1][rows[0].index(b"CurrEstab")])
    except (OSError, ValueError, IndexError):
        tables.why["n_established"] = "tables left off, and no CurrEstab"
        return None
    tables.why["n_established"] = "CurrEstab: TCP alone, CLOSE_WAIT included"
    return count


def _interfaces(tables: _Tables, path: str) -> list[str]:
    try:
        rows = read_small(path, _MAX_SMALL_B).decode("utf-8", "replace").splitlines()[2:]
    except OSError as error:
        _miss(tables, "interfaces", error)
        return []
    if len(rows) > MAX_ROWS:
        tables.why["interfaces"] = f"{MAX_ROWS} of {len(rows)} kept"
    return sorted(row.partition(":")[0].strip() for row in rows)[:MAX_ROWS]


def _nameservers(tables: _Tables, path: str) -> list[str]:
    try:
        rows = [row.split() for row in read_small(path, _MAX_SMALL_B).decode("utf-8", "replace").splitlines()]
    except OSError as error:
        _miss(tables, "nameservers", error)
        return []
    found = [row[1][:64] for row in rows if len(row) > 1 and row[0] == "nameserver"]
    if len(found) > _MAX_NAMESERVERS:
        tables.why["nameservers"] = f"{_MAX_NAMESERVERS} of {len(found)} kept"
    return found[:_MAX_NAMESERVERS]
