"""Who waits for somebody to come by: few, and asked about only when something has come after quiet."""

from slurm_guard.networks import OUTSIDE
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Stat
from slurm_guard.sampler.tcpdiag import Sample
from slurm_guard.sampler.waiting import MOST, MOST_EACH, ROUNDS, STIRRED_B, Waiting
from slurm_guard.sampler.writer import Instant


def _sample(ident: int, in_b: int = 0) -> Sample:
    ends = f"10.0.0.5:{ident}", "203.0.113.1:443"
    return Sample(ident, "tcp", *ends, "ESTABLISHED", 1, ident, ident, None, True, 0, in_b, 0, 0)


def _owner(pid: int, run: str = "r", at: float = 0.0, n: int = 1) -> tuple[tuple[int, int], list[Flow]]:
    now = Instant(at, at)
    process = Process(Stat(pid, "x", "S", 1, pid, 0, False), 0.0, now)
    flows = [Flow(_sample(100 * pid + k), process, run, now, began=True) for k in range(n)]
    for flow in flows:
        flow.near = OUTSIDE
    return process.key, flows


def _pids(waiting: Waiting) -> set[int]:
    return {flows[0].process.pid for _, flows in waiting.owners if flows[0].process is not None}


def test_the_oldest_wait_and_each_run_has_its_share() -> None:
    waiting = Waiting()
    waiting.choose([_owner(pid, at=1000.0 - pid) for pid in range(1, 100)])
    assert _pids(waiting) == set(range(100 - MOST, 100))
    waiting.choose([*(_owner(pid) for pid in range(1, 100)), _owner(500, "other", 900.0)])
    assert len(waiting.owners) == MOST
    assert 500 in _pids(waiting)


def test_who_has_many_connections_is_a_client() -> None:
    waiting = Waiting()
    waiting.choose([_owner(1, n=MOST_EACH), _owner(2, n=MOST_EACH + 1)])
    assert _pids(waiting) == {1}


def _stirred(waiting: Waiting, in_b: int) -> bool:
    return bool(waiting.stirred({100: _sample(100, in_b)}))


def test_what_comes_after_quiet_is_told_and_what_goes_on_is_not() -> None:
    waiting = Waiting()
    waiting.choose([_owner(1)])
    assert not _stirred(waiting, STIRRED_B - 1)
    told = [_stirred(waiting, 1000 * k) for k in range(1, 6)]
    assert told == [k < ROUNDS for k in range(5)]
    assert not _stirred(waiting, 5000)
    assert _stirred(waiting, 6000)


def test_who_still_waits_at_the_next_look_is_not_told_for_what_came_before() -> None:
    waiting = Waiting()
    waiting.choose([_owner(1)])
    assert _stirred(waiting, 1000)
    waiting.choose([_owner(1)])
    assert not _stirred(waiting, 1000)
    assert _stirred(waiting, 2000)


def test_a_connection_that_is_gone_or_closely_looked_at_is_nobodys_that_waits() -> None:
    waiting = Waiting()
    owner = _owner(1)
    waiting.choose([owner])
    assert waiting.stirred({}) == []
    waiting.drop(owner[0])
    assert waiting.owners == []
    assert not _stirred(waiting, 1000)
