"""What of a relay is an event: none until it is seen that the far end leads."""

import pytest

from slurm_guard import wire
from slurm_guard.config import NetworkConfig
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.initiative import SURE_RESTS
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc, Stat
from slurm_guard.sampler.relays import MOST_GROUPS
from slurm_guard.sampler.relaywatch import RelayWatch
from slurm_guard.sampler.tcpdiag import Sample
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import Descriptors

_NOW = Instant(0.0, 0.0)
_OWNER = Process(Stat(1, "x", "S", 1, 1, 0, False), 0.0, _NOW)
_OUTER = Sample(1, "tcp", "10.0.0.5:5000", "203.0.113.1:443", "ESTABLISHED", 1, 1, 1, None, True, 0, 0, 0, 0)
_INNER = Sample(2, "tcp", "127.0.0.1:6000", "127.0.0.1:9000", "ESTABLISHED", 1, 2, 2, None, True, 0, 0, 0, 0)


def _more(flow: Flow, out_b: int, in_b: int, ages: tuple[int, int]) -> None:
    was = flow.sample
    flow.update(
        was._replace(
            out_b=(was.out_b or 0) + out_b,
            in_b=(was.in_b or 0) + in_b,
            out_n=(was.out_n or 0) + 2,
            in_n=(was.in_n or 0) + 2,
            min_rtt_us=20_000,
            sent_ms=ages[0],
            recv_ms=ages[1],
        )
    )


def _play(
    outers: list[Flow],
    looks: list[tuple[int, int, tuple[int, int], tuple[int, int]]],
    proc: Proc = Descriptors(1, 51, 52, 2),  # noqa: B008 - the outer ones were opened first
) -> list[list[wire.RelaySeen | wire.Event]]:
    """Looks: bytes in and out, ages of both sides. With several outer connections what comes in comes by the
    first, and what goes out goes by the last."""
    watch = RelayWatch(NetworkConfig(), proc)
    inner = Flow(_INNER, _OWNER, "r", _NOW, began=True)
    told = []
    for k, (in_b, out_b, outer_ages, inner_ages) in enumerate(looks):
        if len(outers) == 1:
            _more(outers[0], out_b + 100, in_b + 100, outer_ages)
        else:
            _more(outers[0], 0, in_b + 100, (90_000, outer_ages[1]))
            _more(outers[-1], out_b + 100, 0, (outer_ages[0], 90_000))
        _more(inner, in_b, out_b, inner_ages)
        told.append(watch.look(Instant(10.0 * k, 10.0 * k), [*outers, inner]))
    return told


def _names(told: list[list[wire.RelaySeen | wire.Event]]) -> list[str]:
    return [t.name if isinstance(t, wire.Event) else "relay" for look in told for t in look]


_ASKING = ((2030, 2000), (2500, 2031))  # the far end has the last word, and it goes nowhere
_LED = ((900, 900), (900, 900))
_SIZES = [(2000 * (k % 7 + 1), 5000 * (k % 5 + 1)) for k in range(40)]


def test_a_worker_is_told_without_the_event_and_a_tunnel_with_it() -> None:
    def outer() -> list[Flow]:
        return [Flow(_OUTER, _OWNER, "r", _NOW, began=True)]

    worker = _names(_play(outer(), [(*size, *_ASKING) for size in _SIZES]))
    assert worker == ["relay"]
    tunnel = _names(_play(outer(), [(*size, *_LED) for size in _SIZES]))
    assert tunnel == ["relay", "relay", "bridge"]


def test_a_master_that_had_its_queue_before_it_asked_outside_is_told_without_the_event() -> None:
    def names(*inodes: int) -> list[str]:
        outer = [Flow(_OUTER, _OWNER, "r", _NOW, began=True)]
        return _names(_play(outer, [(*size, *_LED) for size in _SIZES], Descriptors(*inodes)))

    assert names(1, 2) == ["relay", "relay", "bridge"]
    assert names(2, 1) == ["relay"]
    assert names() == ["relay"]  # nobody can tell any more


def test_a_relay_that_turns_out_to_be_led_is_told_again() -> None:
    looks = [(*size, *((900, 880), (900, 900))) for size in _SIZES[:6]] + [
        (*s, *_LED) for s in _SIZES[6 : 8 + SURE_RESTS]
    ]
    told = _play([Flow(_OUTER, _OWNER, "r", _NOW, began=True)], looks)
    assert _names(told) == ["relay", "relay", "bridge"]
    said = [t.led for look in told for t in look if isinstance(t, wire.RelaySeen)]
    assert said == [False, True]


def test_what_comes_in_by_one_connection_and_goes_out_by_another_is_told() -> None:
    def outer(k: int, port: int) -> Flow:
        sample = _OUTER._replace(ident=50 + k, cookie=50 + k, inode=50 + k, peer=f"203.0.113.{k}:{port}")
        return Flow(sample, _OWNER, "r", _NOW, began=True)

    told = _play([outer(1, 443), outer(2, 8443)], [(*size, *_LED) for size in _SIZES])
    assert _names(told) == ["relay", "relay", "bridge"]


def test_a_connection_that_stands_still_grows_older() -> None:
    flow = Flow(_INNER, _OWNER, "r", _NOW, began=True)
    _more(flow, 10, 10, (40, 30))
    flow.start_look(10.0)
    flow.update(flow.sample)
    assert flow.ages(10.0) == (40, 30)
    assert flow.ages(25.5) == (15_540, 15_530)
    _more(flow, 10, 10, (7, 5))
    assert flow.ages(30.0) == (7, 5)


def test_only_the_run_whose_pairs_were_left_out_is_told_to_be_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = RelayWatch(NetworkConfig(), Proc())
    other = Process(Stat(2, "y", "S", 1, 1, 0, False), 0.0, _NOW)
    beside = Flow(_OUTER._replace(ident=90, cookie=90, inode=90), other, "small", _NOW, began=True)
    doors = [
        Flow(
            _INNER._replace(ident=100 + k, inode=100 + k, peer=f"127.0.0.1:{2000 + k}"), _OWNER, "big", _NOW,
            began=True,
        )
        for k in range(3 * MOST_GROUPS)
    ]  # fmt: skip
    flows = [Flow(_OUTER, _OWNER, "big", _NOW, began=True), *doors, beside]

    watch.look(_NOW, flows)

    assert watch.take_truncated() == {"big"}
    assert watch.take_truncated() == set()
    monkeypatch.setattr("slurm_guard.sampler.relaywatch.MOST_S", -1.0)
    watch.look(Instant(10.0, 10.0), flows)
    assert watch.take_truncated() == {"big", "small"}
