"""Maintenance windows by node: when silence was to be expected, and administrators at work are no finding.

They change what is said of nodes, and of what administrators did outside jobs on GPUs that nobody held. Runs
are judged in them as ever.
"""

from collections.abc import Iterable

from slurm_guard.audit.outside import Stint
from slurm_guard.hostlist import expand
from slurm_guard.sitemodel import IN_MAINTENANCE, Maintenance

Stretch = tuple[float, float]


class Upkeep:
    """The night's windows. `admins`: uids of those who may work on GPUs meanwhile."""

    def __init__(self, windows: Iterable[Maintenance] = (), admins: frozenset[int] = frozenset()) -> None:
        self._admins = admins
        self._by_node: dict[str, list[Maintenance]] = {}
        for window in sorted(windows, key=lambda w: (w.from_at, w.until_at, w.reason)):
            for node in expand(window.nodes):
                self._by_node.setdefault(node, []).append(window)

    def covers(self, node: str, from_at: float, until_at: float) -> bool:
        """Whether the node was in maintenance all the while."""
        return any(low <= from_at and until_at <= high for low, high in self._stretches(node))

    def overlap_s(self, node: str, from_at: float, until_at: float) -> float:
        """For how long it was."""
        return sum(max(0.0, min(high, until_at) - max(low, from_at)) for low, high in self._stretches(node))

    def note(self, node: str) -> str:
        """What is said of a node that was silent, and in maintenance whenever it was to be heard."""
        reasons = dict.fromkeys(window.reason for window in self._by_node.get(node, ()))
        return f"{IN_MAINTENANCE}: {'; '.join(reasons)}"

    def excuses(self, stint: Stint, slack_s: float) -> bool:
        """Whether it is an administrator's work on a GPU that no run held, of no job, within a window; the
        slack is a sampler's window that straddles the edge."""
        of_nobody = stint.own is None and stint.host is None and stint.job is None
        return (
            of_nobody
            and stint.uid is not None
            and stint.uid in self._admins
            and self.overlap_s(stint.node, stint.from_at, stint.until_at) > 0
            and self.covers(stint.node, stint.from_at + slack_s, stint.until_at - slack_s)
        )

    def _stretches(self, node: str) -> list[Stretch]:
        """Without overlaps, in order; windows that touch are one."""
        found: list[Stretch] = []
        for window in self._by_node.get(node, ()):
            if found and window.from_at <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], window.until_at))
            else:
                found.append((window.from_at, window.until_at))
        return found
