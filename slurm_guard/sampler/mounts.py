"""Mount tables of the processes' namespaces, kept within a look, and how much of such text it reads.

Users make namespaces and mounts at will, and a table costs the kernel and us some milliseconds per 100 KiB.
So a look has a budget, of which a part is kept for those that NVML lists (`devnodes.py` asks them closely).
"""

from __future__ import annotations

from slurm_guard.light import NamedTuple
from slurm_guard.sampler.patterns import pattern
from slurm_guard.sampler.procfs import Proc

MOST_TEXT = 2 << 20  # bytes of mount tables and mappings in one look: judgement
KEPT = 1 << 20  # … of it not for mount tables of those that nobody lists: judgement
MOST_MOUNTS = 1 << 18  # bytes of a mount table: judgement; a container engine's node has some 100 KiB
MOST_TABLES = 64  # mount tables kept: judgement, one a container
MADE_ON = frozenset({"devtmpfs", "tmpfs"})
FILE = pattern(r"nvidia(?:([0-9]{1,3})|(-uvm)|ctl)")
_OCTAL = pattern(r"\\([0-7]{3})")


class Mounts(NamedTuple):
    """A mount namespace as one process sees it."""

    kinds: dict[str, str]  # mount id -> file system
    names: dict[str, str]  # mount point -> device file behind it
    files: frozenset[str]  # mount ids of those
    points: dict[str, list[str]]  # device number of a file system -> its mount points
    whole: bool  # all of it was read


NOT_READ = Mounts({}, {}, frozenset(), {}, False)


class MountTables:
    """Tables by namespace, until `begin`."""

    def __init__(self, proc: Proc) -> None:
        self._proc = proc
        self._left_b = MOST_TEXT
        self._tables: dict[str, Mounts] = {}
        # The sampler's and the node's own: users mount nothing there, and they are read whatever is left.
        self._own = frozenset(
            s for s in (proc.link("self", "ns/mnt"), proc.link(1, "ns/mnt")) if s is not None
        )

    def begin(self) -> None:
        """A new look: mounts may have changed."""
        self._left_b = MOST_TEXT
        self._tables.clear()

    def affords(self, pid: int) -> bool:
        """Whether the process's table is known or there is something left to read it with."""
        space = self._proc.link(pid, "ns/mnt")
        return space in self._own or space in self._tables or self._left_b >= KEPT + MOST_MOUNTS

    def is_own(self, pid: int) -> bool | None:
        """Whether the process is in a namespace where users mount nothing; null: gone or refused."""
        space = self._proc.link(pid, "ns/mnt")
        return None if space is None else space in self._own

    def of(self, pid: int | str) -> Mounts:
        """The table of a process's namespace."""
        space = self._proc.link(pid, "ns/mnt") or f"of {pid}"
        known = self._tables.get(space)
        if known is not None:
            return known
        if space not in self._own and self._left_b < MOST_MOUNTS:
            return NOT_READ
        text = self._proc.read_all(f"{pid}/mountinfo", MOST_MOUNTS)
        self.spend(len(text or ""))
        if len(self._tables) >= MOST_TABLES:
            self._tables.clear()
        self._tables[space] = known = NOT_READ if text is None else _parse(text)
        return known

    def read(self, name: str, most: int) -> str | None:
        """A process's mappings, as far as the budget goes; null: refused, or longer."""
        most = min(most, self._left_b)
        text = self._proc.read_locked(name, most) if most > 0 else None
        self.spend(len(text or ""))
        return None if text is None or len(text) >= most else text

    def spend(self, n_b: int) -> bool:
        """Takes so much from the budget; whether there was something left."""
        had, self._left_b = self._left_b > 0, self._left_b - n_b
        return had


def _parse(text: str) -> Mounts:
    """A mountinfo: id, parent, device, root, mount point, options …, `-`, file system, …"""
    kinds: dict[str, str] = {}
    names: dict[str, str] = {}
    files: set[str] = set()
    points: dict[str, list[str]] = {}
    for line in text.splitlines():
        cells = line.split(" ")
        if "-" not in cells[6:-1]:
            continue
        kinds[cells[0]] = kind = cells[cells.index("-", 6) + 1]
        point = cells[4]
        if "\\" in point:
            point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), point)
        points.setdefault(cells[2], []).append(point)
        if kind in MADE_ON and FILE.fullmatch(cells[3].rsplit("/", 1)[-1]):
            names[point] = cells[3]
            files.add(cells[0])
    return Mounts(kinds, names, frozenset(files), points, len(text) < MOST_MOUNTS)
