"""The kernel's words about real sockets of this process."""

import os
import socket
import time

import pytest

from bench import opener
from slurm_guard import netlink
from slurm_guard.sampler import tcpdiag
from slurm_guard.sampler.tcpdiag import Sample, TcpDiag, tcp_diag
from slurm_guard.sampler.tcpends import key_of


@pytest.fixture
def diag() -> TcpDiag:
    found = tcp_diag("/proc")
    if found is None:
        pytest.skip("the kernel has no socket diagnostics")
    return found


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        return one, server.accept()[0]


def _of(rows: list[Sample], end: socket.socket) -> Sample:
    host, port = end.getsockname()
    return next(row for row in rows if row.local == f"{host}:{port}" and row.state != "LISTEN")


def test_bytes_and_opener_of_both_ends(diag: TcpDiag) -> None:
    one, other = _pair()
    one.sendall(b"x" * 500)
    other.sendall(b"y" * 70)
    assert len(other.recv(1000)) == 500
    assert len(one.recv(1000)) == 70
    time.sleep(0.05)
    rows, cut = diag.dump({os.getuid()})
    here, there = _of(rows, one), _of(rows, other)
    assert not cut
    assert (here.opened, here.out_b, here.in_b, there.opened, there.out_b, there.in_b) == (
        True,
        500,
        70,
        False,
        70,
        500,
    )
    assert here.cookie != there.cookie
    assert here.inode == os.fstat(one.fileno()).st_ino
    one.close()
    other.close()
    diag.close()


def test_connected_udp_is_told_without_counts_and_bound_udp_is_not(diag: TcpDiag) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as bound, socket.socket(type=socket.SOCK_DGRAM) as one:
        bound.bind(("127.0.0.1", 0))
        one.connect(bound.getsockname())
        rows, _ = diag.dump({os.getuid()})
        (found,) = [row for row in rows if row.inode == os.fstat(one.fileno()).st_ino]
        host, port = bound.getsockname()
        assert (found.proto, found.state, found.peer) == ("udp", "ESTABLISHED", f"{host}:{port}")
        assert (found.opened, found.out_b, found.in_b) == (None, None, None)
        assert os.fstat(bound.fileno()).st_ino not in {row.inode for row in rows}
        again, _ = diag.dump({os.getuid()}, {row.ident: row for row in rows}.get)
        assert found in again
    diag.close()


def test_a_kernel_without_udp_diagnostics_tells_of_tcp(
    diag: TcpDiag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(netlink.PROTOCOLS, "udp", (254, 2))
    one, other = _pair()
    for _ in range(2):
        rows, cut = diag.dump({os.getuid()})
        assert not cut
        assert _of(rows, one).proto == "tcp"
    one.close()
    other.close()
    diag.close()


def test_other_users_connections_are_left_out(diag: TcpDiag) -> None:
    one, other = _pair()
    rows, _ = diag.dump({os.getuid() + 12_345})
    assert all(row.state == "LISTEN" for row in rows)
    one.close()
    other.close()
    diag.close()


@pytest.mark.root
def test_a_connection_that_came_and_went_is_told_with_its_bytes(diag: TcpDiag) -> None:
    diag.closed(lambda _: False)
    one, other = _pair()
    name = "{}:{}".format(*one.getsockname())
    one.sendall(b"x" * 1234)
    other.recv(5000)
    one.close()
    other.close()
    time.sleep(0.2)
    ended = [row for row in diag.closed(lambda _: False) if row.local == name]
    assert [(row.state, row.out_b, row.opened) for row in ended] == [("CLOSED", 1234, True)]
    diag.close()


@pytest.mark.parametrize("name", opener.PATTERNS)
def test_who_opened_it_is_never_said_wrongly(name: str, diag: TcpDiag) -> None:
    diag.close()
    for family in opener.FAMILIES:
        try:
            row = opener._row(name, opener.PATTERNS[name], family, 5)
        except OSError:
            pytest.skip(f"no {family} here")
        assert row["ends"] >= 5
        assert row["wrong"] == 0


def test_it_says_whether_ends_are_heard(diag: TcpDiag, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: TcpDiag) -> None:
        raise PermissionError(1, "Operation not permitted")

    assert diag.hears_ends
    diag.close()
    assert not diag.hears_ends
    monkeypatch.setattr(TcpDiag, "listen", refuse)
    deaf = tcp_diag("/proc")
    assert deaf is not None
    assert not deaf.hears_ends


def test_no_diagnostics_for_a_proc_that_is_not_the_kernels() -> None:
    assert tcp_diag("/nowhere") is None


def test_a_users_crowd_is_cut_and_the_listeners_are_not(
    diag: TcpDiag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcpdiag, "MOST_ROWS", 4)
    monkeypatch.setattr(tcpdiag, "LEAST_ROWS", 2)
    pairs = [_pair() for _ in range(5)]
    rows, cut = diag.dump({os.getuid(), os.getuid() + 12_345})
    assert cut
    assert diag.crowded - {-1} == {os.getuid()}  # -1: listeners of everybody else
    assert sum(row.uid == os.getuid() for row in rows) == 2
    known = {row.ident: row for row in rows}
    again, _ = diag.dump({os.getuid(), os.getuid() + 12_345}, known.get)
    assert known.keys() <= {row.ident for row in again}
    for end in [end for pair in pairs for end in pair]:
        end.close()
    diag.close()


def test_what_is_passed_over_is_met_and_not_read(diag: TcpDiag) -> None:
    one, other = _pair()
    rows, _ = diag.dump({os.getuid()})
    here = _of(rows, one)
    passed = {here.ident: tcpdiag.Passed(None, None, None, tcpdiag.ORPHAN, os.getuid())}
    rows, _ = diag.dump({os.getuid()}, passed=passed)
    assert here.ident not in {row.ident for row in rows}
    assert diag.there == {here.ident}
    one.close()
    other.close()
    diag.close()


def test_a_peek_leaves_out_what_its_process_has_closed(diag: TcpDiag) -> None:
    """It has no user any more; as root's it would make the port of a run's scan several owners'."""
    open_one, answering = _pair()
    closed, other = _pair()  # its far end goes on, so it lingers
    far = [":".join(map(str, end.getpeername())) for end in (open_one, closed)]
    closed.close()
    seen = {key: uid for key, uid, _ in diag.peek(lambda ident: False)}
    for end in (other, open_one, answering):
        end.close()
    diag.close()
    assert seen[key_of(far[0])] == os.getuid()
    assert key_of(far[1]) not in seen


def test_a_connection_that_is_not_answered_is_told() -> None:
    diag = tcp_diag("/proc")
    if diag is None:
        pytest.skip("the kernel has no socket diagnostics")
    with socket.create_server(("127.0.0.1", 0), backlog=0) as door:
        waiting = [socket.socket() for _ in range(4)]  # more than the queue has room for
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(door.getsockname())
        rows, _ = diag.dump({os.getuid()})
        host, port = door.getsockname()
        states = {row.state for row in rows if row.peer == f"{host}:{port}" and row.opened}
        for one in waiting:
            one.close()
    diag.close()
    assert "SYN_SENT" in states
