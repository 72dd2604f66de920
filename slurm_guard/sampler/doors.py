"""Where somebody listens, and what that says of who opened a connection."""

from __future__ import annotations

from slurm_guard.light import Iterable, Iterator, Mapping
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.tcpsample import Sample


class Doors:
    """Listening sockets of runs by where they listen."""

    def __init__(self, flows: Iterable[Flow]) -> None:
        self._at: dict[str, list[Flow]] = {}
        for flow in flows:
            self._at.setdefault(flow.sample.local, []).append(flow)

    def of(self, place: str) -> Flow | None:
        """Who listens there, by the address first and by any address then; null: nobody, or several runs'."""
        for name in (place, *_everywhere(place)):
            flows = self._at.get(name)
            if flows:
                return flows[0] if len({flow.run for flow in flows}) == 1 else None
        return None


def accepted(short: Iterable[Sample], flows: Iterable[Flow]) -> Iterator[tuple[Flow, Sample]]:
    """Which of these connections one of these processes accepted, with the listener that it has."""
    doors = Doors(flow for flow in flows if flow.sample.state == "LISTEN")
    for sample in short:
        door = doors.of(sample.local) if sample.opened is False else None
        if door is not None:
            yield door, sample


def _everywhere(place: str) -> tuple[str, str]:
    """The places that a listener of any address has for a port."""
    port = place.rpartition(":")[2]
    return f"0.0.0.0:{port}", f"[::]:{port}"


def guess_opener(sample: Sample, doors: set[str]) -> Sample:
    """Who opened a connection, where its counts do not say: not the end whose port somebody listens on."""
    if sample.opened is not None or sample.state == "LISTEN":
        return sample
    here = not doors.isdisjoint((sample.local, *_everywhere(sample.local)))
    within = sample.peer.rpartition(":")[0] == sample.local.rpartition(":")[0]
    there = within and not doors.isdisjoint((sample.peer, *_everywhere(sample.peer)))
    return sample._replace(opened=not here) if here != there else sample


def ports_of(doors: set[str]) -> set[bytes]:
    """Their ports as they stand in a message of the kernel's."""
    return {int(door.rpartition(":")[2]).to_bytes(2, "big") for door in doors}


def who_fills(
    samples: list[Sample], flows: Mapping[int, Flow], whose: dict[str | None, int]
) -> list[str | None]:
    """The runs whose ends took the room that there was not for others': a quarter of all is theirs.
    `whose`: how many are theirs of those that are only counted; changed here."""
    mine = Doors(flow for flow in flows.values() if flow.sample.state == "LISTEN")
    for sample in samples:
        flow = flows.get(sample.ident) or mine.of(sample.local) or mine.of(sample.peer)
        run = None if flow is None else flow.run
        whose[run] = whose.get(run, 0) + 1
    return [run for run, n in whose.items() if 4 * n >= sum(whose.values())]
