"""Which GPUs' device files a process has open: link texts and the kernel's own tables, no file is asked.

A link's text is a name, and in a mount namespace of its own a user chooses names. So what lies behind a
mount point is taken from the mount table, and a name counts where device files are made: on devtmpfs, on a
container's tmpfs, or in a folder that the site names. The device number itself would say more, but asking a
file for it can hang in a user's file system, and what is open can be another file by then. A file that only
is called so speaks against nobody but the process that opened it, and shows nothing of the node.

A mount that was detached is in no table, and what is open on it has any name or none. So that a process has
no device file is only said where each of its descriptors and mappings lies on a mount that is known.
"""

from __future__ import annotations

from slurm_guard.light import NamedTuple
from slurm_guard.sampler.mounts import FILE, MADE_ON, Mounts, MountTables
from slurm_guard.sampler.procfs import Proc

MOST_FDS = 4096  # of one process, as in the epilog's look
MOST_THREAD_LINKS = 16_384  # of all its other threads: judgement, 40 ms for one that is listed and has none
MOST_THREADS = 4096  # of one process that are asked: judgement; a thread without descriptors costs 20 us
MOST_MAPS = 1 << 20  # bytes of a process's mappings, some 10,000; a CUDA process has one to three thousand
_INFO_B = 256  # what the look at one descriptor's mount counts in the budget of text
_DELETED = " (deleted)"


class Open(NamedTuple):
    """What one look found. `at`: minor -> a descriptor that shows it, with its text."""

    at: dict[int, tuple[str, str]]
    uvm: bool  # nvidia-uvm, which CUDA opens
    any: bool  # any of the driver's files, nvidiactl too
    whole: bool  # every descriptor was looked at
    n: int  # links read
    real: bool  # one lies where no user makes a file

    @property
    def minors(self) -> frozenset[int]:
        """Of the GPUs whose files are open."""
        return frozenset(self.at)


NOTHING = Open({}, False, False, True, 0, False)


class _File(NamedTuple):
    minor: int | None  # of a GPU's
    uvm: bool
    real: bool


class DeviceFiles:
    """Looks at processes one by one; mount tables are kept between looks until `begin`. `folders`: the
    site's own, where its device files need not lie on devtmpfs.
    """

    def __init__(self, proc: Proc, folders: frozenset[str] = frozenset()) -> None:
        self._proc, self._folders = proc, folders
        self._mounts = MountTables(proc)
        self._memory = proc.memory_place()

    def begin(self) -> None:
        """A new round: mounts may have changed."""
        self._mounts.begin()

    def affords(self, pid: int) -> bool:
        """Whether enough of this look's budget is left to look at it."""
        return self._mounts.affords(pid)

    def look(self, pid: int) -> Open | None:
        """The device files that a process has open now; null: it may not be looked at."""
        links = self._proc.fds(pid, MOST_FDS)
        if links is None:
            return None if self._proc.stat(pid) is not None else NOTHING  # gone
        moved = self._moved(pid)
        told: dict[str, _File | None] = {}  # one file is often open many times
        at: dict[int, tuple[str, str]] = {}
        for fd, text in links[0]:
            if "nvidia" not in text and text not in moved:
                continue
            if text not in told:
                told[text] = self._judge(pid, fd, moved.get(text, text))
            found = told[text]
            if found is not None and found.minor is not None:
                at.setdefault(found.minor, (fd, text))
        files = [found for found in told.values() if found is not None]
        uvm, real = any(found.uvm for found in files), any(found.real for found in files)
        return Open(at or NOTHING.at, uvm, bool(files), links[1] <= MOST_FDS, min(links[1], MOST_FDS), real)

    def still(self, pid: int, before: Open) -> bool:
        """Whether the descriptors that showed what was open show it still; a few links instead of all."""
        return bool(before.at) and all(
            self._proc.link(pid, f"fd/{fd}") == text for fd, text in before.at.values()
        )

    # -- one that NVML lists and that seems to have none

    def hides_any(self, pid: int) -> bool | None:
        """Whether a descriptor lies on a device file, under whatever name; null: not each could be told.

        A thread may have descriptors of its own, which the process's folder does not show.
        """
        links = self._proc.fds(pid, MOST_FDS)
        if links is None or links[1] > MOST_FDS:
            return None
        found = self._holds_device(pid, links[0])
        return self._hides_in_threads(pid, set(links[0])) if found is False else found

    def _hides_in_threads(self, pid: int, known: set[tuple[str, str]]) -> bool | None:
        """The same of descriptors that the first thread does not have."""
        left, untold = MOST_THREAD_LINKS, False
        threads = self._proc.names(pid, "task", MOST_THREADS + 1)
        if len(threads) > MOST_THREADS:
            return None
        for thread in threads:
            whose = f"{pid}/task/{thread}"
            links = self._proc.fds(whose, left) if thread != str(pid) else None
            if links is None:
                continue  # that has ended
            if links[1] > left:
                return None
            left -= links[1]
            found = self._holds_device(whose, [link for link in links[0] if link not in known])
            if found:
                return True
            untold = untold or found is None
        return None if untold else False

    def _holds_device(self, whose: int | str, links: list[tuple[str, str]]) -> bool | None:
        untold = False
        for fd, text in links:
            if text and not text.startswith("/"):
                continue  # the kernel's own: sockets, pipes, anon inodes
            told = self._is_device(whose, fd, text)
            if told:
                return True
            untold = untold or told is None
        return None if untold else False

    def _is_device(self, pid: int | str, fd: str, text: str) -> bool | None:
        """Whether a mount shows that the driver's file is behind a descriptor; null: its mount is unknown."""
        mount = self._mount_of(pid, fd) if self._mounts.spend(_INFO_B) else None
        if mount is None or text in ("", "/"):
            return None
        table = self._mounts.of(pid)
        if mount in table.kinds:
            return mount in table.files
        if self._memory is not None and mount == self._memory[0]:
            return False
        # Handed on from the node's own namespace, as a job's output is.
        own = any(mount in self._mounts.of(whose).kinds for whose in ("self", 1))
        return False if own and _name(text) is None else None

    def maps_any(self, pid: int) -> bool | None:
        """Whether one of the driver's files is mapped, as it stays after its descriptor was closed; null: not
        each mapping could be told.
        """
        text = self._mounts.read(f"{pid}/maps", MOST_MAPS)
        table = self._mounts.of(pid)
        if text is None or not table.whole:
            return None
        moved = self._moved(pid)
        cells = (line.split(None, 5) for line in text.splitlines())
        seen = {(parts[5], parts[3], parts[1][-1:]) for parts in cells if len(parts) == 6}
        if any(_name(moved.get(name, name)) is not None for name, _, _ in seen):
            return True
        tables = (table, self._mounts.of("self"))
        return False if all(self._is_told(tables, *one) for one in seen) else None

    def _is_told(self, tables: tuple[Mounts, ...], name: str, device: str, mode: str) -> bool:
        """Whether a mapping's name means what it says; of files on disks it does. A private mapping of a file
        system without a mount is one below an overlay, as a container's libraries are.
        """
        if not name.startswith("/"):
            return True
        if name.removesuffix(_DELETED) == "/":
            return False
        if not device.startswith("00:") or (self._memory is not None and device == self._memory[1]):
            return True
        points = [point for table in tables for point in table.points.get(_plain(device), ())]
        if not points:
            return mode != "s"
        return any(name == point or name.startswith(f"{point.rstrip('/')}/") for point in points)

    # -- one file

    def _judge(self, pid: int, fd: str, text: str) -> _File | None:
        """What a file is by its name; null: another file."""
        name = _name(text)
        if name is None:
            return None
        minor, uvm = name
        folder = text.removesuffix(_DELETED).rpartition("/")[0]
        mount = self._mount_of(pid, fd)
        kind = None if mount is None else self._mounts.of(pid).kinds.get(mount)
        real = kind == "devtmpfs" or folder in self._folders
        return _File(minor, uvm, real) if real or kind in MADE_ON else None

    def _mount_of(self, pid: int | str, fd: str) -> str | None:
        """The mount that an open file lies on; null: not told."""
        info = self._proc.read(pid, f"fdinfo/{fd}", 1024) or ""
        return next((line.split()[1] for line in info.splitlines() if line.startswith("mnt_id:\t")), None)

    def _moved(self, pid: int) -> dict[str, str]:
        """Mount points of device files; none in the node's own namespace, where users mount nothing."""
        return {} if self._mounts.is_own(pid) is not False else self._mounts.of(pid).names


def folders_of(site: list[str]) -> frozenset[str]:
    """The folders of the device files that the site names (node.gres_devices)."""
    return frozenset(path.rpartition("/")[0] for path in site if path.startswith("/"))


def _name(text: str) -> tuple[int | None, bool] | None:
    """(minor of a GPU, whether it is nvidia-uvm) by a path's last part; null: not the driver's."""
    name = FILE.fullmatch(text.removesuffix(_DELETED).rpartition("/")[2])
    return None if name is None else (int(name[1]) if name[1] is not None else None, name[2] is not None)


def _plain(device: str) -> str:
    """A device number of `maps`, which is hexadecimal, as mountinfo writes it."""
    major, _, minor = device.partition(":")
    return f"{int(major, 16)}:{int(minor, 16)}"
