"""Where no bytes of connections are told, and so no tunnel can be, that is said; once of each run."""

import socket
from pathlib import Path

import pytest

from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.tcpdiag import TcpDiag
from slurm_guard.sampler.tcpsample import Attributes, Sample
from slurm_guard.sampler.uncounted import KERNEL, NAMESPACE, TEXT, WAIT_S, uncounted
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import Node

SLURM = "0::/system.slice/slurmstepd.scope"


def _flow(run: str, out_b: int | None, state: str = "ESTABLISHED", proto: str = "tcp") -> Flow:
    sample = Sample(~9, proto, "10.0.0.1:5", "203.0.113.1:443", state, 1000, 9, None, 7, None, out_b)
    flow = Flow(sample, None, run, Instant(0.0, 0.0), began=True)
    flow.record(Instant(0.0, 0.0), gone=False)
    return flow


@pytest.mark.parametrize(("tells", "said"), [(True, {}), (None, {}), (False, {"a": KERNEL, "b": KERNEL})])
def test_a_kernel_without_counts_is_said_of_all_runs(tells: bool | None, said: dict[str, str]) -> None:
    diag = TcpDiag()
    diag.tells_bytes = tells
    assert uncounted(diag, [], {"a", "b"}, 0.0) == said
    assert uncounted(None, [], {"a"}, 0.0) == {"a": TEXT}


def test_a_network_namespace_that_is_read_as_text_is_said_of_its_run_after_a_while() -> None:
    flows = [_flow("a", None), _flow("b", 5), _flow("c", None, "LISTEN"), _flow("d", None, proto="udp")]
    runs = {"a", "b", "c", "d"}
    assert uncounted(TcpDiag(), flows, runs, WAIT_S - 1) == {}
    assert uncounted(TcpDiag(), flows, runs, WAIT_S) == {"a": NAMESPACE}
    assert uncounted(TcpDiag(), flows, {"b"}, WAIT_S) == {}


@pytest.mark.parametrize("tells", [True, False])
def test_the_kernels_first_connection_says_whether_it_counts(
    tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tells:  # as before Linux 4.19, whose tcp_info ends before the bytes that were sent
        monkeypatch.setattr(Attributes, "info", lambda *_: 0)
    diag = TcpDiag()
    assert diag.tells_bytes is None
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_connection(door.getsockname()):
        diag.dump(set())
    assert diag.tells_bytes is tells


def test_each_run_has_one_word_of_it_in_its_stream(tmp_path: Path) -> None:
    node = Node(tmp_path)  # whose /proc has text tables alone
    node.proc.start(50, 1000, f"{SLURM}/job_7/step_0")
    node.proc.start(60, 2000, f"{SLURM}/job_8/step_0")
    runs = [node.ticket(7, 1000, [0]), node.ticket(8, 2000, [1])]
    node.turn(45)

    told = node.events("flows-uncounted")
    assert sorted((event["run"], event["detail"]["reason"]) for event in told) == sorted(
        (run, "text") for run in runs
    )
