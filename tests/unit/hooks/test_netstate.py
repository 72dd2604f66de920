"""The network snapshot: both ways agree, and neither can run away."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from slurm_guard.hooks import apart, netstate
from slurm_guard.hooks.netstate import parse_address, read_netstate
from slurm_guard.hooks.sockdiag import ESTABLISHED, Dump
from slurm_guard.wire import NetState, Socket

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def _row(n: int, state: str = "01") -> str:
    return (
        f"{n:4d}: 0100007F:{n % 65536:04X} 0200007F:0050 {state} 00000000:00000000 00:00000000 00000000"
        f"  1000        0 {n} 1 0000000000000000 20 4 30 10 -1\n"
    )


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """A listener, a connection over it, and a bound UDP socket; bounds off, for the machine may be busy."""
    for name, value in (
        ("MAX_ROWS", 10**6),
        ("MAX_TABLE_B", 10**9),
        ("MAX_TEXT_S", 60.0),
        ("MAX_DUMP_S", 60.0),
    ):
        monkeypatch.setattr(netstate, name, value)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        served = stack.enter_context(listener.accept()[0])
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        yield [listener, client, served, udp]


def _end(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def _find(state: NetState, local: str) -> list[Socket]:
    return [s for s in [*state.listen, *state.established] if s.local == local]


@pytest.mark.parametrize("by_text", [False, True])
def test_sockets_are_seen_with_both_ends(
    pair: list[socket.socket], by_text: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_text:
        monkeypatch.setattr(netstate, "dump_sockets", _no_sock_diag)
    listener, client, _, udp = pair

    state = read_netstate(5.0, None)

    local, peer = _end(client.getsockname()), _end(client.getpeername())
    assert [(s.proto, s.peer, s.state) for s in _find(state, local)] == [("tcp", peer, "ESTABLISHED")]
    assert {s.state for s in _find(state, _end(listener.getsockname()))} == {"LISTEN", "ESTABLISHED"}
    # somebody's TCP connection may have the same number
    found = [s for s in _find(state, _end(udp.getsockname())) if s.proto == "udp"]
    assert [s.state for s in found] == ["UNCONN"]
    assert state.at == 5.0


def test_both_ways_give_the_same_rows(pair: list[socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    local = _end(pair[1].getsockname())
    by_kernel = _find(read_netstate(0.0, None), local)
    monkeypatch.setattr(netstate, "dump_sockets", _no_sock_diag)

    assert _find(read_netstate(0.0, None), local) == by_kernel


def test_ipv6_ends_are_in_brackets() -> None:
    assert parse_address(b"00000000000000000000000001000000:1F90") == "[::1]:8080"
    assert parse_address(b"0100007F:1F90") == "127.0.0.1:8080"


class _Asked:
    """sock_diag that gives 300 rows a time and remembers what it was asked."""

    def __init__(self) -> None:
        self.walks: list[tuple[str, bool]] = []

    def __call__(self, table: str, states: int, most: int, cpu_s: float, *, to_end: bool = True) -> Dump:
        if states != ESTABLISHED:
            return Dump([], 2, True)
        self.walks.append((table, to_end))
        return Dump([Socket(table, "a", "b", "ESTABLISHED", 0, n) for n in range(most)], 300, to_end)


@pytest.mark.parametrize(
    ("tcp", "walks", "whole"),
    [
        ("2", [], True),
        ("302", [("tcp", True)], True),
        ("50002", [("tcp", False)], False),
        ("?", ["tcp"], True),
    ],
)
def test_the_kernels_count_says_which_walks_are_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tcp: str, walks: list[object], whole: bool
) -> None:
    proc = _proc(tmp_path, "")
    (tmp_path / "net/sockstat").write_text(
        f"sockets: used 9\nTCP: inuse {tcp} orphan 0\nUDP: inuse 2 mem 0\n"
    )
    (tmp_path / "net/sockstat6").write_text("TCP6: inuse 2\nUDP6: inuse 1\n")
    monkeypatch.setattr(netstate, "dump_sockets", asked := _Asked())

    state = read_netstate(0.0, None, proc, f"{proc}/resolv.conf")

    assert asked.walks == (walks if walks != ["tcp"] else [("tcp", True)])
    assert state.n_established == (50_000 if not whole else 300 if walks else 0)
    assert state.truncated is (bool(walks))  # 300 are more than are kept
    assert state.why.get("tcp") == (None if whole else "left off after 302 of 50002 sockets")
    assert state.n_listen == 8


def _no_sock_diag(*_: object, **__: object) -> None:
    raise OSError(2, "No such file or directory")


def _proc(folder: Path, tcp: str, snmp: str = "Tcp: A CurrEstab\nTcp: 1 50000\n") -> str:
    net = folder / "net"
    net.mkdir()
    (net / "tcp").write_text(HEADER + tcp)
    (net / "udp").write_text(HEADER)
    (net / "dev").write_text("h1\nh2\n  eth0: 1 2\n    lo: 3 4\n")
    (net / "snmp").write_text(snmp)
    (folder / "resolv.conf").write_text(
        "# x\nnameserver 10.0.0.53\nsearch a b\nnameserver\nnameserver fe80::1%eth0\n"
    )
    return str(folder)


@pytest.fixture
def no_diag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netstate, "dump_sockets", _no_sock_diag)
    monkeypatch.setattr(netstate, "MAX_TEXT_S", 60.0)  # the bound on bytes is what these look at


@pytest.mark.usefixtures("no_diag")
def test_text_tables_and_resolvers_are_read(tmp_path: Path) -> None:
    proc = _proc(tmp_path, _row(1, "0A") + _row(2) + _row(3, "06"))

    state = read_netstate(0.0, None, proc, f"{proc}/resolv.conf")

    assert (state.n_listen, state.n_established, state.truncated) == (1, 1, False)
    assert state.interfaces == ["eth0", "lo"]
    assert state.nameservers == ["10.0.0.53", "fe80::1%eth0"]
    assert not {"tcp6", "udp6"} & state.why.keys()  # a kernel without IPv6 misses nothing


@pytest.mark.usefixtures("no_diag")
def test_fifty_thousand_sockets_are_bounded_and_the_kernels_count_serves(tmp_path: Path) -> None:
    proc = _proc(tmp_path, "".join(_row(n) for n in range(50_000)))

    state = read_netstate(0.0, None, proc, f"{proc}/resolv.conf")

    assert len(state.established) == netstate.MAX_ROWS
    assert state.truncated
    assert (state.n_listen, state.n_established) == (None, 50_000)
    assert "left off after" in state.why["tcp"]


@pytest.mark.usefixtures("no_diag")
def test_more_rows_than_kept_are_still_counted(tmp_path: Path) -> None:
    proc = _proc(tmp_path, "".join(_row(n) for n in range(1000)))

    state = read_netstate(0.0, None, proc, f"{proc}/resolv.conf")

    assert (len(state.established), state.n_established, state.truncated) == (netstate.MAX_ROWS, 1000, True)


@pytest.mark.usefixtures("no_diag")
def test_missing_proc_is_null_with_reasons_and_no_error(tmp_path: Path) -> None:
    state = read_netstate(0.0, None, str(tmp_path / "no"), str(tmp_path / "none"))

    assert (state.n_listen, state.n_established) == (None, None)
    assert {"tcp", "udp", "interfaces", "nameservers"} <= state.why.keys()


@pytest.mark.usefixtures("no_diag")
@pytest.mark.parametrize(
    "text", ["garbage\n" * 10, "a b c d e f g h i j k\n", "\x00" * 100, "0: Z:1 Z:1 01 " + "x " * 9]
)
def test_unknown_form_of_a_table_misses_that_part_alone(tmp_path: Path, text: str) -> None:
    proc = _proc(tmp_path, text)

    state = read_netstate(0.0, None, proc, f"{proc}/resolv.conf")

    assert state.interfaces == ["eth0", "lo"]
    assert state.listen == state.established == []


def _silent(send: object) -> None:
    time.sleep(30)


def _half(send: Callable[[bytes], None]) -> None:
    send(b'{"firewall":null,"why":{"firewall":"Operation not permitted"}}\n{"routes":["cut"')
    time.sleep(30)


@pytest.mark.parametrize(
    ("work", "said"), [(_silent, "no answer within"), (_half, "Operation not permitted")]
)
def test_a_kernel_that_does_not_answer_costs_its_parts_and_no_more_time_than_given(
    work: Callable[[Callable[[bytes], None]], None], said: str
) -> None:
    begin_s = time.monotonic()

    state = read_netstate(0.0, apart.Apart(work))

    assert time.monotonic() - begin_s < apart.MAX_ANSWER_S + 1
    assert (state.firewall, state.kinds, state.rules, state.routes) == (None, None, None, [])
    assert said in state.why["firewall"]
    assert all("no answer within" in state.why[part] for part in ("kinds", "routes", "rules"))
    assert state.n_listen is not None


def test_where_no_child_can_be_made_the_sockets_are_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_child(_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(netstate, "Apart", no_child)

    state = read_netstate(0.0, netstate.ask_apart())

    assert (state.firewall, state.routes, state.n_listen is not None) == (None, [], True)
    assert {"firewall", "routes", "kinds", "rules"} <= state.why.keys()
