"""New connections outwards, by the real kernel: what stands for outside here is another loopback address."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from slurm_guard.sampler import outward
from slurm_guard.sampler.outward import EVERY_S, Outward
from slurm_guard.sampler.tcpdiag import TcpDiag
from slurm_guard.sampler.tcpsample import Sample

_NEAR = ("127.0.0.1/32", "::1")


class _Ends(ExitStack):
    """Connections of this process."""

    def connect(self, host: str, family: int = socket.AF_INET) -> int:
        """Both ends of one; the cookie of the end that opened it."""
        listener = self.enter_context(socket.socket(family))
        listener.bind((host, 0))
        listener.listen(1)
        end = self.enter_context(socket.socket(family))
        end.connect(listener.getsockname()[:2])
        self.enter_context(listener.accept()[0])
        return int.from_bytes(end.getsockopt(socket.SOL_SOCKET, 57, 8), "little")  # SO_COOKIE


@pytest.fixture
def ends() -> Iterator[_Ends]:
    with _Ends() as stack:
        yield stack


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Outward:
    """To which 127.0.0.2 is outside."""
    monkeypatch.setattr(outward, "_LOOPBACK", _NEAR)
    monkeypatch.setattr(outward, "SHARE", 1.0)
    return Outward(("10.0.0.0/8", "fd00::/8", "192.0.2.1:80"))


def test_the_kernel_leaves_out_what_is_nearby(ends: _Ends) -> None:
    near, far = ends.connect("127.0.0.1"), ends.connect("127.0.0.2")
    near_6 = ends.connect("::1", socket.AF_INET6)
    mapped, far_mapped = (ends.connect(f"::ffff:127.0.0.{n}", socket.AF_INET6) for n in (1, 2))
    watch = Outward(())
    nets = {
        "loopback": watch._nets,
        "one": [(32, bytes((127, 0, 0, 1)), 32)],
        "both": [
            (32, bytes((127, 0, 0, 1)), 32),
            (128, bytes(15) + b"\1", 128),
            (32, bytes((10, 0, 0, 0)), 8),
        ],
    }
    diag = TcpDiag()

    def found(which: str) -> set[int]:
        rows = [diag.outward(table, nets[which]) or [] for table in ("tcp", "tcp6")]
        return {ident for row in rows for _, ident in row} & {near, far, near_6, mapped, far_mapped}

    assert found("loopback") == set()
    assert found("one") == {far, near_6, far_mapped}
    assert found("both") == {far, far_mapped}


def test_a_round_tells_what_was_there_before(watch: Outward, ends: _Ends) -> None:
    diag = TcpDiag()
    before = ends.connect("127.0.0.1")
    watch.round(0.0, diag)
    far = ends.connect("127.0.0.2")
    watch.round(0.1, diag)
    assert watch.before(far, None) is None  # too soon after the last
    watch.round(EVERY_S, diag)
    after = ends.connect("127.0.0.1")
    watch.round(2 * EVERY_S, diag)
    told = watch.before(far, None)
    assert told is not None
    assert before in told
    assert watch.before(far, 4026531840) is None  # the same number in another namespace
    assert after not in told
    ends.close()
    watch.round(3 * EVERY_S, diag)
    assert watch.before(far, None) is None


def test_a_round_that_takes_long_is_made_more_rarely(ends: _Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outward, "_LOOPBACK", _NEAR)
    monkeypatch.setattr(outward, "SHARE", 1e-9)
    watch = Outward(())
    watch.round(0.0, TcpDiag())
    far = ends.connect("127.0.0.2")
    watch.round(3600.0, TcpDiag())
    assert watch.before(far, None) is None


def test_what_is_remembered_is_bounded(watch: Outward, ends: _Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        ends.connect("127.0.0.1")
    together = [ends.connect("127.0.0.2") for _ in range(2)]
    watch.round(0.0, TcpDiag())
    first, second = (watch.before(ident, None) for ident in together)
    assert first is not None
    assert first is second  # one set for both
    monkeypatch.setattr(outward, "MOST_KEPT", len(first) + 1)
    later = ends.connect("127.0.0.2")
    watch.round(1000.0, TcpDiag())
    assert watch.before(later, None) is None
    assert watch.before(together[0], None) is first


def test_what_had_ended_before_was_there_before(watch: Outward, ends: _Ends) -> None:
    """A service that was asked whether it is there, by a connection that was closed again."""
    watch.round(0.0, TcpDiag())
    far = ends.connect("127.0.0.2")
    probe = Sample(77, "tcp", "127.0.0.1:6000", "127.0.0.1:9000", "CLOSED", 0, 0, 77, None, True)
    watch.round(1.0, TcpDiag(), [probe])
    assert probe.ident in (watch.before(far, None) or ())
    later = ends.connect("127.0.0.3")
    watch.round(2.0, TcpDiag())
    assert probe.ident not in (watch.before(later, None) or {probe.ident})


class _Crowded(TcpDiag):
    def near(self, table: str) -> None:
        return None


class _Silent(TcpDiag):
    def outward(self, table: str, nets: object) -> list[tuple[int, int]]:
        raise OSError


def test_where_too_many_are_there_or_the_kernel_is_silent_nothing_is_told(
    watch: Outward, ends: _Ends
) -> None:
    far = ends.connect("127.0.0.2")
    watch.round(0.0, _Silent())
    watch.round(1.0, _Crowded())
    assert watch.before(far, None) is None
    watch.round(2.0, TcpDiag())
    assert watch.before(far, None) is None  # by now it is not new any more
