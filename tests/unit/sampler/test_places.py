"""Far ends to which a process opens one connection after the other."""

from slurm_guard.config import NetworkConfig
from slurm_guard.networks import OUTSIDE
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.places import IDLE_S, MOST_PLACES, Places
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc, Stat
from slurm_guard.sampler.relaywatch import RelayWatch
from slurm_guard.sampler.tcpdiag import Sample
from slurm_guard.sampler.writer import Instant

_NOW = Instant(0.0, 0.0)
_OWNER = Process(Stat(1, "x", "S", 1, 1, 0, False), 0.0, _NOW)


def _flow(ident: int, peer: str = "203.0.113.1:443", opened: bool = True) -> Flow:
    sample = Sample(ident, "tcp", f"10.0.0.1:{ident}", peer, "ESTABLISHED", 1000, 1, ident, None, opened)
    flow = Flow(sample, _OWNER, "r", _NOW, began=True)
    flow.near = OUTSIDE
    return flow


def test_two_connections_to_one_place_are_looked_at_together() -> None:
    places = Places()
    assert places.note(_OWNER, [_flow(1)], 0.0) == []
    assert places.note(_OWNER, [_flow(1)], 10.0) == []
    (place,) = places.note(_OWNER, [_flow(2)], 20.0)
    assert (place.peer, place.near) == ("203.0.113.1:443", OUTSIDE)
    assert places.note(_OWNER, [], 30.0) == [place]


def test_accepted_connections_lead_nowhere() -> None:
    places = Places()
    assert places.note(_OWNER, [_flow(1, opened=False), _flow(2, opened=False)], 0.0) == []
    assert places.peers() == set()


def test_places_go_when_idle_and_with_their_run() -> None:
    places = Places()
    places.note(_OWNER, [_flow(1), _flow(2, "203.0.113.2:22")], 0.0)
    places.note(_OWNER, [_flow(3)], IDLE_S)
    assert [place.peer for place in places.drop_idle(IDLE_S + 1)] == ["203.0.113.2:22"]
    assert [place.peer for place in places.drop_run("other")] == []
    assert [place.peer for place in places.drop_run("r")] == ["203.0.113.1:443"]
    assert places.peers() == set()


def test_they_are_bounded_and_have_names_of_their_own() -> None:
    places = Places()
    flows = [_flow(k, f"203.0.{k // 200}.{k % 200}:443") for k in range(2 * MOST_PLACES)]
    again = [_flow(10_000 + k, flow.sample.peer) for k, flow in enumerate(flows)]
    found = places.note(_OWNER, [*flows, *again], 0.0)
    assert len({place.ident for place in found}) == len(found) == MOST_PLACES
    places.drop_run("r")
    assert len(places.note(_OWNER, [*flows, *again], 0.0)) == MOST_PLACES


def test_an_address_that_a_listener_was_bound_to_is_not_the_nodes() -> None:
    """IP_FREEBIND: any process may listen at any address, here the tunnel's far end."""
    watch = RelayWatch(NetworkConfig(), Proc())
    door = Sample(8, "tcp", "203.0.113.1:9", "0.0.0.0:0", "LISTEN", 1000, 8, 8)
    tunnel = _flow(9)
    tunnel.near = None
    watch.look(_NOW, [Flow(door, _OWNER, "r", _NOW, began=True), tunnel])
    assert tunnel.near == OUTSIDE


def _of(run: str, ident: int, peer: str) -> Flow:
    flow = _flow(ident, peer)
    flow.run = run
    return flow


def test_a_run_that_fills_all_places_makes_room_for_others_and_is_said() -> None:
    places = Places()
    places.note(_OWNER, [_of("big", k, f"203.0.{k // 200}.{k % 200}:443") for k in range(MOST_PLACES)], 0.0)
    mine = [_of("small", 9001, "198.51.100.1:22"), _of("small", 9002, "198.51.100.1:22")]

    (found,) = places.note(_OWNER, mine, 10.0)

    assert found.peer == "198.51.100.1:22"
    assert places.take_truncated() == {"big"}
    assert places.take_truncated() == set()


def test_places_that_were_silent_make_room_and_nobody_is_short() -> None:
    places = Places()
    places.note(_OWNER, [_of("r", k, f"203.0.{k // 200}.{k % 200}:443") for k in range(MOST_PLACES)], 0.0)
    places.note(_OWNER, [_of("r", 9001, "198.51.100.1:22")], 100.0)

    assert "198.51.100.1:22" in places.peers()
    assert len(places.peers()) == MOST_PLACES
    assert places.take_truncated() == set()
