"""Services nearby that one process alone was seen to open connections to: short ones to them are its own.

A connection that came and went between two looks is told without its owner. Where a process was seen to hold
two connections to a service, one after the other or at once, and no other process of a run was ever seen to,
what else came and went there is taken for that process's. Whether its bytes fit is asked all the same.
"""

from __future__ import annotations

from slurm_guard.light import Iterable
from slurm_guard.networks import OUTSIDE
from slurm_guard.sampler.flows import Flow

SEEN = 2  # connections: one may be another program's turn at a door. Judgement
MOST_DOORS = 1024  # of a node. Judgement: who scans it fills it, and what was there stays

Key = tuple[int, int]
Name = tuple[int | None, int]  # network namespace, port


class Callers:
    """By port, in each network namespace."""

    def __init__(self) -> None:
        self._by: dict[Name, dict[Key, set[int]]] = {}
        self._of: dict[Key, set[Name]] = {}  # the same by visitor

    def look(self, flows: Iterable[Flow]) -> None:
        """Connections as they are now."""
        for flow in flows:
            if not (flow.opened and flow.is_connection and flow.process and flow.near != OUTSIDE):
                continue
            name = (flow.sample.netns, _port(flow.sample.peer))
            if name not in self._by and len(self._by) >= MOST_DOORS:
                continue
            idents = self._by.setdefault(name, {}).setdefault(flow.process.key, set())
            self._of.setdefault(flow.process.key, set()).add(name)
            if len(idents) < SEEN:
                idents.add(flow.sample.ident)

    def of(self, owned: list[Flow]) -> set[int]:
        """The doors that these connections' processes alone were seen at, often enough."""
        keys = {flow.process.key for flow in owned if flow.process is not None}
        names = {name for key in keys for name in self._of.get(key, ())}
        return {name[1] for name in names if self._is_theirs(self._by[name], keys)}

    def _is_theirs(self, by: dict[Key, set[int]], keys: set[Key]) -> bool:
        return by.keys() <= keys and sum(map(len, by.values())) >= SEEN

    def forget_gone(self, alive: set[Key]) -> None:
        """Doors whose every visitor has ended. One that another still visits stays shared."""
        self._by = {name: by for name, by in self._by.items() if by.keys() & alive}
        self._of = {
            key: left
            for key, names in self._of.items()
            if (left := {name for name in names if name in self._by})
        }


def _port(place: str) -> int:
    port = place.rpartition(":")[2]
    return int(port) if port.isdecimal() else 0
