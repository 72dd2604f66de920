"""The kernel, asked for single sockets and for those that lead to some ports."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from slurm_guard.sampler import tcpask
from slurm_guard.sampler.tcpdiag import Sample, TcpDiag

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with ExitStack() as opened:
        try:
            server = opened.enter_context(socket.create_server((request.param, 0), family=family))
        except OSError:
            pytest.skip("no such address here")
        client = opened.enter_context(socket.create_connection(server.getsockname()[:2]))
        yield client, opened.enter_context(server.accept()[0])


def _sample(diag: TcpDiag, one: socket.socket) -> Sample:
    rows, _ = diag.dump({os.getuid()})
    (row,) = [row for row in rows if row.inode == os.fstat(one.fileno()).st_ino]
    return row


def test_a_socket_is_told_again_and_is_the_same_object_where_nothing_moved(pair: Pair) -> None:
    diag = TcpDiag()
    before = _sample(diag, pair[0])
    assert diag.again([before])[before.ident] is before
    pair[0].sendall(b"x" * 1000)
    now = diag.again([before])[before.ident]
    assert (now.out_b, now.in_b, now.opened) == (1000, 0, True)
    assert now.sent_ms is not None
    assert now.sent_ms < 1000


def test_what_is_gone_or_another_by_now_is_missing(pair: Pair) -> None:
    diag = TcpDiag()
    before = _sample(diag, pair[0])
    assert diag.again([before._replace(cookie=(before.cookie or 0) + 1)]) == {}
    pair[1].close()
    pair[0].close()
    assert diag.again([before]) == {}


@pytest.mark.parametrize("n_before", [0, 1, 7])
def test_those_that_lead_to_some_ports(pair: Pair, n_before: int) -> None:
    diag, table = TcpDiag(), "tcp" if pair[0].family == socket.AF_INET else "tcp6"
    port = pair[0].getpeername()[1]
    found = diag.ports(table, [*range(1, 1 + n_before), port])
    assert found is not None
    assert [row.inode for row in found] == [os.fstat(pair[0].fileno()).st_ino]
    assert diag.ports(table, [*range(1, 2 + n_before)]) == []


def test_a_crowd_at_a_port_is_not_read(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcpask, "MOST_AT", 0)
    table = "tcp" if pair[0].family == socket.AF_INET else "tcp6"
    assert TcpDiag().ports(table, [pair[0].getpeername()[1]]) is None


def test_connections_over_loopback_by_both_their_ends(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcpask, "MOST_AT", 1_000_000)  # other tests may have some beside these
    diag, table = TcpDiag(), "tcp" if pair[0].family == socket.AF_INET else "tcp6"
    inodes = {os.fstat(end.fileno()).st_ino for end in pair}
    found = diag.loopback(table, lambda uid, _: uid == os.getuid())
    assert found is not None
    assert inodes <= {row.inode for row in found}
    opened = {row.inode: row.opened for row in found}
    assert opened[os.fstat(pair[0].fileno()).st_ino] is True
    assert opened[os.fstat(pair[1].fileno()).st_ino] is not True
    known = {row.ident for row in found}
    again = diag.loopback(table, lambda _, cookie: cookie not in known)
    assert again is not None
    assert not inodes & {row.inode for row in again}


def test_ipv4_in_ipv6_is_loopback_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcpask, "MOST_AT", 1_000_000)
    with socket.socket(socket.AF_INET6) as server, socket.socket(socket.AF_INET6) as client:
        server.bind(("::ffff:127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname()[:2])
        found = TcpDiag().loopback("tcp6", lambda uid, _: uid == os.getuid())
        assert found is not None
        assert os.fstat(client.fileno()).st_ino in {row.inode for row in found}


def test_too_many_over_loopback_are_told_as_such(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcpask, "MOST_AT", 0)
    table = "tcp" if pair[0].family == socket.AF_INET else "tcp6"
    assert TcpDiag().loopback(table, lambda _, __: True) is None
