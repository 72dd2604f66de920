"""Owners of connections to outside and of none nearby: a tunnel looks so until somebody comes by it.

Somebody may come and go between two looks. So these connections are asked for in each round, all in one go,
and where something came by one after it was quiet, what its owner has opened to this node since is looked
for.
"""

from __future__ import annotations

from slurm_guard.light import TYPE_CHECKING, Mapping
from slurm_guard.sampler.fair import numbers, share_out

if TYPE_CHECKING:
    from slurm_guard.sampler.flows import Flow
    from slurm_guard.sampler.tcpsample import Sample

MOST = 8  # owners of a node, each run its share. Judgement
MOST_EACH = 4  # connections of one: clients of a web have many. Judgement
STIRRED_B = 64  # that came in since the round before: less are keep-alives. Judgement
ROUNDS = 2  # one after the other in which something came and somebody is looked for. Judgement

Key = tuple[int, int]


class Waiting:
    """Chosen at each look."""

    def __init__(self) -> None:
        self.owners: list[tuple[Key, list[Flow]]] = []
        self._in_b: dict[int, int] = {}  # of each connection, when it was last asked for
        self._rounds: dict[Key, int] = {}  # one after the other in which something came

    def choose(self, owners: list[tuple[Key, list[Flow]]]) -> None:
        """From those that may be; the oldest come first, since clients come and go."""
        few = [(key, flows) for key, flows in owners if 0 < len(flows) <= MOST_EACH]
        few.sort(key=lambda owner: (owner[1][0].first_at, owner[0]))
        left = share_out(numbers(flows[0].run for _, flows in few), MOST)
        self.owners = []
        for key, flows in few:
            if left[flows[0].run] > 0:
                left[flows[0].run] -= 1
                self.owners.append((key, flows))
        names = {flow.sample.ident for _, flows in self.owners for flow in flows}
        self._in_b = {ident: in_b for ident, in_b in self._in_b.items() if ident in names}
        keys = {key for key, _ in self.owners}
        self._rounds = {key: n for key, n in self._rounds.items() if key in keys}

    def drop(self, key: Key) -> None:
        """One that is looked at closely from now on."""
        self.owners = [owner for owner in self.owners if owner[0] != key]

    def stirred(self, rows: Mapping[int, Sample]) -> list[tuple[Key, list[Flow]]]:
        """Those by whose connections something has come, as they are now."""
        found: list[tuple[Key, list[Flow]]] = []
        for key, flows in self.owners:
            came_b = 0
            for flow in flows:
                ident = flow.sample.ident
                in_b = rows[ident].in_b or 0 if ident in rows else 0
                came_b += max(0, in_b - self._in_b.get(ident, flow.sample.in_b or 0))
                self._in_b[ident] = in_b
            n = self._rounds[key] = self._rounds.get(key, 0) + 1 if came_b >= STIRRED_B else 0
            if 0 < n <= ROUNDS:
                found.append((key, flows))
        return found
