"""Processes joined over loopback: what lies beyond the joint, and never the joint's own other end."""

from slurm_guard.networks import LOOPBACK, OUTSIDE
from slurm_guard.sampler.chains import MOST_PARTNERS, chained
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Stat
from slurm_guard.sampler.tcpdiag import Sample
from slurm_guard.sampler.writer import Instant

_NOW = Instant(0.0, 0.0)


def _process(pid: int) -> Process:
    process = Process(Stat(pid, "x", "S", 1, pid, 0, False), 0.0, _NOW)
    process.run = "r"
    return process


def _flow(process: Process, local: str, peer: str, state: str = "ESTABLISHED", run: str = "r") -> Flow:
    flow = Flow(
        Sample(hash((local, peer)), "tcp", local, peer, state, 1000, 1), process, run, _NOW, began=True
    )
    flow.near = OUTSIDE if peer.startswith("203.") else LOOPBACK
    return flow


def test_what_the_client_of_a_proxy_opened_beyond_it_belongs_to_the_proxys_far_connection() -> None:
    proxy, client = _process(1), _process(2)
    far = _flow(proxy, "10.0.0.1:500", "203.0.113.1:443")
    accepted, joint = (
        _flow(proxy, "127.0.0.1:8080", "127.0.0.1:600"),
        _flow(client, "127.0.0.1:600", "127.0.0.1:8080"),
    )
    beyond = _flow(client, "127.0.0.1:700", "127.0.0.1:22")
    of_owner = {proxy.key: [far, accepted], client.key: [joint, beyond]}

    assert chained(of_owner, []) == {proxy.key: [beyond]}


def test_other_connections_of_the_client_to_the_proxy_are_joints_too() -> None:
    proxy, client = _process(1), _process(2)
    far, door = (
        _flow(proxy, "10.0.0.1:500", "203.0.113.1:443"),
        _flow(proxy, "127.0.0.1:8080", "0.0.0.0:0", "LISTEN"),
    )
    accepted, joint = (
        _flow(proxy, "127.0.0.1:8080", "127.0.0.1:600"),
        _flow(client, "127.0.0.1:600", "127.0.0.1:8080"),
    )
    unseen = _flow(client, "127.0.0.1:601", "127.0.0.1:8080")  # its other end came after the look
    of_owner = {proxy.key: [far, accepted], client.key: [joint, unseen]}

    assert chained(of_owner, [door]) == {}


def test_without_a_far_connection_or_a_joint_there_is_nothing() -> None:
    one, two = _process(1), _process(2)
    far = _flow(one, "10.0.0.1:500", "203.0.113.1:443")
    alone = _flow(two, "127.0.0.1:700", "127.0.0.1:22")
    assert chained({two.key: [alone]}, []) == {}
    assert chained({one.key: [far], two.key: [alone]}, []) == {}


def test_another_runs_process_is_no_partner() -> None:
    proxy, client = _process(1), _process(2)
    far, accepted = (
        _flow(proxy, "10.0.0.1:500", "203.0.113.1:443"),
        _flow(proxy, "127.0.0.1:80", "127.0.0.1:6"),
    )
    joint = _flow(client, "127.0.0.1:6", "127.0.0.1:80", run="s")
    beyond = _flow(client, "127.0.0.1:700", "127.0.0.1:22", run="s")
    assert chained({proxy.key: [far, accepted], client.key: [joint, beyond]}, []) == {}


def test_partners_are_bounded() -> None:
    proxy = _process(1)
    of_owner = {proxy.key: [_flow(proxy, "10.0.0.1:500", "203.0.113.1:443")]}
    for k in range(2, 4 * MOST_PARTNERS):
        client = _process(k)
        of_owner[proxy.key].append(_flow(proxy, "127.0.0.1:80", f"127.0.0.1:{k}"))
        joint = _flow(client, f"127.0.0.1:{k}", "127.0.0.1:80")
        of_owner[client.key] = [joint, _flow(client, f"127.0.0.1:9{k}", "127.0.0.1:22")]
    assert len(chained(of_owner, [])[proxy.key]) == MOST_PARTNERS
