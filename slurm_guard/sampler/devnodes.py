"""Which GPUs' device files a process has open: link texts and the kernel's own tables, no file is asked.

A link's text is a name, and in a mount namespace of its own a user chooses names. So what lies behind a
mount point is taken from the mount table, and a name counts where device files are made: on devtmpfs, on a
container's tmpfs, or in a folder that the site names. The device number itself would say more, but asking a
file for it can hang in a user's file system, and what is open can be another file by then. A file that only
is called so speaks against nobody but the process that opened it.
"""

import re
from typing import NamedTuple

from slurm_guard.sampler.procfs import Proc

MOST_FDS = 4096  # of one process, as in the epilog's look
MOST_MOUNTS = 1 << 18  # bytes of a mount table: judgement; a container engine's node has some 100 KiB
MOST_MAPS = 8 << 20  # bytes of a process's mappings; the kernel's usual limit of 65,530 are about as many
MOST_TABLES = 64  # mount tables kept: judgement, one a container
_MADE_ON = frozenset({"devtmpfs", "tmpfs"})
_FILE = re.compile(r"nvidia(?:([0-9]{1,3})|(-uvm)|ctl)")
_OCTAL = re.compile(r"\\([0-7]{3})")
_DELETED = " (deleted)"


class Open(NamedTuple):
    """What one look found. `at`: minor -> a descriptor that shows it, with its text."""

    at: dict[int, tuple[str, str]]
    uvm: bool  # nvidia-uvm, which CUDA opens
    any: bool  # any of the driver's files, nvidiactl too
    whole: bool  # every descriptor was looked at
    n: int  # links read

    @property
    def minors(self) -> frozenset[int]:
        """Of the GPUs whose files are open."""
        return frozenset(self.at)


NOTHING = Open({}, False, False, True, 0)


class _Mounts(NamedTuple):
    """A mount namespace. `kinds`: mount id -> file system; `names`: mount point -> device file behind it."""

    kinds: dict[str, str]
    names: dict[str, str]


class DeviceFiles:
    """Looks at processes one by one; mount tables are kept between looks until `begin`. `folders`: the
    site's own, where its device files need not lie on devtmpfs.
    """

    def __init__(self, proc: Proc, folders: frozenset[str] = frozenset()) -> None:
        self._proc, self._folders = proc, folders
        self._tables: dict[str, _Mounts] = {}
        self._own = proc.link("self", "ns/mnt")

    def begin(self) -> None:
        """A new round: mounts may have changed."""
        self._tables.clear()

    def look(self, pid: int) -> Open | None:
        """The device files that a process has open now; null: it may not be looked at."""
        links = self._proc.fds(pid, MOST_FDS)
        if links is None:
            return None if self._proc.stat(pid) is not None else NOTHING  # gone
        moved = self._moved(pid)
        told: dict[str, tuple[int | None, bool] | None] = {}  # one file is often open many times
        at: dict[int, tuple[str, str]] = {}
        for fd, text in links[0]:
            if "nvidia" not in text and text not in moved:
                continue
            if text not in told:
                told[text] = self._judge(pid, fd, moved.get(text, text), moved=text in moved)
            found = told[text]
            if found is not None and found[0] is not None:
                at.setdefault(found[0], (fd, text))
        uvm = any(found is not None and found[1] for found in told.values())
        some = any(found is not None for found in told.values())
        return Open(at, uvm, some, links[1] <= MOST_FDS, min(links[1], MOST_FDS))

    def still(self, pid: int, before: Open) -> bool:
        """Whether the descriptors that showed what was open show it still; a few links instead of all."""
        return bool(before.at) and all(
            self._proc.link(pid, f"fd/{fd}") == text for fd, text in before.at.values()
        )

    def maps_any(self, pid: int) -> bool | None:
        """Whether one of the driver's files is mapped, as it stays after its descriptor was closed; null: it
        could not be seen to the end.
        """
        text = self._proc.read_all(f"{pid}/maps", MOST_MAPS)
        if text is None or len(text) >= MOST_MAPS:
            return None
        moved = self._moved(pid)
        cells = (line.split(None, 5) for line in text.splitlines())
        names = {moved.get(parts[5], parts[5]) for parts in cells if len(parts) == 6}
        return any(_FILE.fullmatch(name.removesuffix(_DELETED).rsplit("/", 1)[-1]) for name in names)

    # -- one file

    def _judge(self, pid: int, fd: str, text: str, *, moved: bool) -> tuple[int | None, bool] | None:
        """(minor of a GPU, whether it is nvidia-uvm) of a file by its name; null: another file."""
        folder, _, base = text.removesuffix(_DELETED).rpartition("/")
        name = _FILE.fullmatch(base)
        if name is None or not (moved or folder in self._folders or self._kind(pid, fd) in _MADE_ON):
            return None
        return (int(name[1]) if name[1] is not None else None), name[2] is not None

    def _kind(self, pid: int, fd: str) -> str | None:
        """The file system that an open file lies on, from the kernel's tables; null: not told."""
        info = self._proc.read(pid, f"fdinfo/{fd}", 1024) or ""
        mount = next((line.split()[1] for line in info.splitlines() if line.startswith("mnt_id:\t")), None)
        return None if mount is None else self._mounts(pid).kinds.get(mount)

    # -- mounts

    def _moved(self, pid: int) -> dict[str, str]:
        """Mount points of device files; none in the node's own namespace, where users mount nothing."""
        space = self._proc.link(pid, "ns/mnt")
        return {} if space is None or space == self._own else self._mounts(pid).names

    def _mounts(self, pid: int) -> _Mounts:
        space = self._proc.link(pid, "ns/mnt") or f"of {pid}"
        known = self._tables.get(space)
        if known is None:
            known = _parse(self._proc.read_all(f"{pid}/mountinfo", MOST_MOUNTS) or "")
            if len(self._tables) >= MOST_TABLES:
                self._tables.clear()
            self._tables[space] = known
        return known


def folders_of(site: list[str]) -> frozenset[str]:
    """The folders of the device files that the site names (node.gres_devices)."""
    return frozenset(path.rpartition("/")[0] for path in site if path.startswith("/"))


def _parse(text: str) -> _Mounts:
    """A mountinfo: id, parent, device, root, mount point, options …, `-`, file system, …"""
    kinds, names = {}, {}
    for line in text.splitlines():
        cells = line.split(" ")
        if "-" not in cells[6:-1]:
            continue
        kinds[cells[0]] = kind = cells[cells.index("-", 6) + 1]
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), cells[4])
        if kind == "devtmpfs" and _FILE.fullmatch(cells[3].rsplit("/", 1)[-1]):
            names[point] = cells[3]
    return _Mounts(kinds, names)
