"""Who has a GPU's device file open, beside NVML's list: a process that one of them misses shows in the other.

A look at every descriptor of every process is dear, so a process is looked at when it is new, and then in
every sixth look at the tables; of one that holds a device only the descriptors that showed it are asked
again. What could not be reached in time is marked. Measured: 7.5 ms a look at 400 processes (docs/node.md).
"""

from slurm_guard.light import Iterable
from slurm_guard.sampler.devnodes import DeviceFiles
from slurm_guard.sampler.process import SYSTEM_UID, Key, Process
from slurm_guard.sampler.processes import ProcessTable

CYCLE = 6  # looks at the tables between two looks at all descriptors of a process: judgement, a minute
SLOW = 30  # the same for daemons of the system, whose holds are nobody's work: judgement, five minutes
YOUNG = 3  # looks in which a new process is looked at each time: judgement
MOST_LINKS = 8192  # link texts read in one look at the tables: measured, some 25 ms


class Holders:
    """State between looks. `proven`: a holder was found here once, so that to find none says something."""

    def __init__(self, files: DeviceFiles) -> None:
        self.files = files
        self.proven = False
        self.n_left = 0  # processes that may hold a device without our knowing
        self._n = 0
        self._late: set[Key] = set()  # left out of the last look: its budget of text was spent

    def look(self, processes: Iterable[Process]) -> None:
        """Once after each look at /proc."""
        self.files.begin()
        self._n += 1
        links, asked = MOST_LINKS, [p for p in processes if not p.kernel]
        late, self._late = self._late, set()
        for process in sorted(asked, key=lambda p: (p.key not in late, *_rank(p))):
            was_late = process.key in late
            if not (was_late or self._is_due(process)):
                continue
            affords = self.files.affords(process.pid)
            if affords and links > 0:
                links -= self._look_at(process)
            elif was_late or not affords:
                self._late.add(process.key)
        self.n_left = sum(self._is_left(process) for process in asked)

    def _is_due(self, process: Process) -> bool:
        """New ones at each look, others in turn, and those whose hold is not as it was."""
        if process.looked_n is None or process.n_looked < YOUNG:
            return True
        cycle = _cycle(process)
        if (self._n + process.pid) % cycle == 0 or self._n - process.looked_n >= 2 * cycle:
            return True
        holds = process.open is not None and process.open.any
        return holds and process.open is not None and not self.files.still(process.pid, process.open)

    def _look_at(self, process: Process) -> int:
        """One whole look; returns what it cost in links."""
        process.looked_n, process.n_looked = self._n, process.n_looked + 1
        process.open = self.files.look(process.pid)
        if process.open is None:
            return 1
        self.proven = self.proven or process.open.real
        return process.open.n + 1

    def _is_left(self, process: Process) -> bool:
        """Whether it may hold a device without our knowing."""
        if process.looked_n is None or self._n - process.looked_n > 2 * _cycle(process):
            return True
        if process.key in self._late:
            return True
        return process.open is None or not process.open.whole

    def holds(self, process: Process) -> bool | None:
        """Whether a process that NVML lists has any device file, open or mapped; null: it cannot be told.

        No is only said where it means something: on a node on which holders are found at all.
        """
        if process.open is None or not process.open.any:
            if process.bare_n is None or self._n - process.bare_n >= CYCLE:
                self._look_at(process)
                if not self._is_bare(process):
                    return None if process.open is None or not process.open.any else True
                process.bare_n = self._n
            return False if self.proven else None
        return True

    def _is_bare(self, process: Process) -> bool:
        """Surely without a device file: each of its descriptors and mappings was told, and is another's."""
        opened = process.open
        return (
            opened is not None
            and opened.whole
            and not opened.any
            and self.files.hides_any(process.pid) is False
            and self.files.maps_any(process.pid) is False
        )

    # -- a GPU's holders

    def of_gpu(self, gpu: str, minor: int, table: ProcessTable) -> list[Process]:
        """All that have the file of this GPU open, but for jobs of another slurmd on the host: its sampler
        knows which GPUs are theirs.
        """
        found = [p for p in table.by_pid.values() if p.open is not None and minor in p.open.at]
        found = [p for p in found if not table.is_other_nodes(p)]
        for process in found:
            table.mark_device(process, gpu)
        return found

    def unlisted(self, holders: list[Process], listed: set[int]) -> list[Process]:
        """Those of them that NVML lists nowhere and whose hold nothing explains.

        CUDA opens every GPU's file that it may, and what a process forks has them open too: where a listed
        process of the same run (or, outside runs, of the same user) has the file, the others' is explained.
        """
        known = {_group(p) for p in holders if p.pid in listed}
        return [p for p in holders if p.pid not in listed and _group(p) not in known]

    def is_whole(self, table: ProcessTable) -> bool:
        """Whether no process was left out."""
        return not (table.truncated or self.n_left)


def _cycle(process: Process) -> int:
    """Looks at the tables from one look at all its descriptors to the next."""
    daemon = process.run is None and process.uid is not None and process.uid < SYSTEM_UID
    return SLOW if daemon else CYCLE


def _rank(process: Process) -> tuple[int, int]:
    """Those that were looked at longest ago first; never: before all."""
    return (process.looked_n if process.looked_n is not None else -1, process.pid)


def _group(process: Process) -> tuple[str, object]:
    return ("run", process.run) if process.run is not None else ("uid", process.uid)
