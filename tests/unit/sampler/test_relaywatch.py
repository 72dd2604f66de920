"""What of a relay is an event: bytes that go inwards alone are none until answers go out."""

from slurm_guard import wire
from slurm_guard.config import NetworkConfig
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc, Stat
from slurm_guard.sampler.relaywatch import RelayWatch
from slurm_guard.sampler.tcpdiag import Sample
from slurm_guard.sampler.writer import Instant

_NOW = Instant(0.0, 0.0)
_OWNER = Process(Stat(1, "x", "S", 1, 1, 0, False), 0.0, _NOW)
_OUTER = Sample(1, "tcp", "10.0.0.5:5000", "203.0.113.1:443", "ESTABLISHED", 1, 1, 1, None, True, 0, 0, 0, 0)
_INNER = Sample(2, "tcp", "127.0.0.1:6000", "127.0.0.1:9000", "ESTABLISHED", 1, 2, 2, None, True, 0, 0, 0, 0)


def _more(flow: Flow, out_b: int, in_b: int) -> None:
    was = flow.sample
    flow.update(
        was._replace(
            out_b=(was.out_b or 0) + out_b,
            in_b=(was.in_b or 0) + in_b,
            out_n=(was.out_n or 0) + 2,
            in_n=(was.in_n or 0) + 2,
        )
    )


def test_a_copy_inwards_is_told_without_the_event_and_with_it_once_answers_go_out() -> None:
    watch = RelayWatch(NetworkConfig(), Proc())
    outer, inner = (Flow(sample, _OWNER, "r", _NOW, began=True) for sample in (_OUTER, _INNER))
    names: list[str] = []
    n_copied = 0
    for k in range(40):
        size = 1000 * (k % 7 + 1)
        into, out = (300 * size, 2 * size) if k < 20 else (2 * size, 300 * size)
        _more(outer, out + 100, into + 100)
        _more(inner, into, out)
        told = watch.look(Instant(10.0 * k, 10.0 * k), [outer, inner])
        names += [t.name if isinstance(t, wire.Event) else "relay" for t in told]
        n_copied = len(names) if k == 19 else n_copied

    assert names[:n_copied] == ["relay"]
    assert names[n_copied:] == ["relay", "bridge"]
