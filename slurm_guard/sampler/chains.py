"""Processes of a run that are joined over loopback: ssh that leaves by a stunnel of the job's own, say."""

from __future__ import annotations

from slurm_guard.networks import LOOPBACK
from slurm_guard.sampler.flows import Flow

MOST_PARTNERS = 8  # of one process. Judgement: a proxy of many is looked at by its own connections

Key = tuple[int, int]
Owned = dict[Key, list[Flow]]


def chained(of_owner: Owned, doors: list[Flow]) -> Owned:
    """For each process with a far connection, those of the processes that it has one over loopback to.

    What leads back to it is left out: both ends of a connection carry the same bytes. `doors`: listeners.
    """
    far = [key for key, owned in of_owner.items() if any(flow.near != LOOPBACK for flow in owned)]
    if not far:
        return {}
    at = {
        (flow.sample.netns, flow.sample.local, flow.sample.peer): flow
        for owned in of_owner.values()
        for flow in owned
        if flow.near == LOOPBACK
    }
    found: Owned = {}
    for key in far:
        partners: dict[Key, None] = {}
        for flow in of_owner[key]:
            other = at.get((flow.sample.netns, flow.sample.peer, flow.sample.local))
            if other is not None and other.process is not None and other.run == flow.run:
                partners[other.process.key] = None
        partners.pop(key, None)
        ports = {_port(door.sample.local) for door in doors if door.process and door.process.key == key}
        mine = {flow.sample.local for flow in of_owner[key]}
        for partner in list(partners)[:MOST_PARTNERS]:
            beyond = [
                flow
                for flow in of_owner[partner]
                if flow.sample.peer not in mine
                and not (flow.near == LOOPBACK and _port(flow.sample.peer) in ports)
            ]
            found.setdefault(key, []).extend(beyond)
    return {key: flows for key, flows in found.items() if flows}


def _port(place: str) -> str:
    return place.rpartition(":")[2]
