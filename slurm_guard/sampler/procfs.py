"""/proc, read bounded. Nothing here opens a file of a user's: only the kernel's own tables and link texts."""

from __future__ import annotations

import os
from itertools import islice

from slurm_guard.light import Iterator, NamedTuple
from slurm_guard.sampler.locked import FDS, LINK, MODE, READ, Locked

MAX_CMDLINE = 4096
MOST_NAMES = 32_768  # of a folder, where a caller knows no less. Judgement
_MAX_FILE = 1 << 16
_OF_ALL = ("stat", "status", "io", "task")  # told of the process as a whole, its first thread living or not
_FREE = ("status", "cgroup", "mountinfo")  # no lock of the process is taken for these
_MOST_THREADS = 256  # asked whether they live; those that ended are not listed, but for the first. Judgement
_MOST_HEADS = 4096
_PF_KTHREAD = 0x200000  # include/linux/sched.h


class Stat(NamedTuple):
    """From /proc/PID/stat."""

    pid: int
    comm: str
    state: str
    ppid: int
    start_ticks: int
    cpu_ticks: int
    kernel: bool  # a kernel thread


class Ids(NamedTuple):
    """From /proc/PID/status. Null: it could not be read."""

    uid: int | None  # real; the folder's owner is root for processes that are not dumpable
    euid: int | None
    gid: int | None
    groups: list[int]
    inner: int | None  # its pid in its own PID namespace; also null before Linux 4.1


class Moved(NamedTuple):
    """From /proc/PID/io: bytes so far, of all its threads and of the children that it has waited for.

    Null: not told. Of files that are read through a mapping, io_uring or libaio nobody counts the bytes.
    """

    read_b: int | None  # rchar: by read(2) and its kin, from pipes and memory as well as from storage
    written_b: int | None  # wchar: likewise by write(2)
    stored_b: int | None  # write_bytes: for storage, however they were written; nothing of tmpfs is


NOTHING_MOVED = Moved(None, None, None)


class Proc:
    """One /proc; tests hand in a folder that looks like one."""

    def __init__(self, root: str = "/proc") -> None:
        self.root = root
        # Processes whose first thread has ended while others live: /proc/PID shows no descriptor, program or
        # mapping of theirs, /proc/PID/task/TID of a living thread does. Nobody hides in that.
        self._heads: dict[int, str] = {}
        self.locked: Locked | None = None  # looks at what may hang; null: it is done here
        self._stats: dict[int, str] = {}
        self.ticks_per_s = os.sysconf("SC_CLK_TCK")

    def pids(self) -> list[int]:
        """All process ids, ascending; empty when /proc cannot be read."""
        try:
            return sorted(int(name) for name in os.listdir(self.root) if name.isdigit())
        except OSError:
            return []

    def read(self, pid: int | str, name: str, limit: int = _MAX_FILE) -> str | None:
        """The beginning of a file below /proc/PID; null: gone, refused, or nobody can say now."""
        if self.locked is not None and name.rpartition("/")[2] not in _FREE:
            raw = self.locked.ask(READ, limit, _pid_of(pid), self._path(pid, name))
        else:
            raw = read_file(self._path(pid, name), limit)
        return None if raw is None else raw.decode("utf-8", "surrogateescape")

    def _path(self, pid: int | str, name: str) -> str:
        head = self._heads.get(pid) if self._heads and isinstance(pid, int) and name not in _OF_ALL else None
        return f"{self.root}/{pid if head is None else head}/{name}"

    def _whole_path(self, name: str) -> str:
        """The same of a name that begins with the process."""
        whose, _, rest = name.partition("/")
        return self._path(int(whose), rest) if whose.isdigit() else f"{self.root}/{name}"

    def lines(self, name: str, limit: int) -> Iterator[bytes]:
        """A table of the kernel's, line by line up to `limit` bytes; none: refused."""
        try:
            with open(self._whole_path(name), "rb") as table:
                for line in table:
                    yield line
                    limit -= len(line)
                    if limit <= 0:
                        return
        except OSError:
            return

    def read_all(self, name: str, limit: int) -> str | None:
        """A file of the kernel's that takes several reads, up to `limit` bytes; null: refused or gone."""
        raw = read_file(self._whole_path(name), limit)
        return None if raw is None else raw.decode("utf-8", "surrogateescape")

    def read_locked(self, name: str, limit: int) -> str | None:
        """A file that takes several reads and may hang, by a name that begins with the process."""
        whose, _, rest = name.partition("/")
        if self.locked is None or not whose.isdigit():
            return self.read_all(name, limit)
        raw = self.locked.ask(READ, limit, int(whose), self._path(int(whose), rest))
        return None if raw is None else raw.decode("utf-8", "surrogateescape")

    @property
    def n_hung(self) -> int:
        """Readers of locked files that had to be killed."""
        return 0 if self.locked is None else self.locked.n_hung

    def hung(self) -> list[tuple[int, int | None]]:
        """(pid, uid) of processes that hung a reader since the last question."""
        return [] if self.locked is None else self.locked.hung()

    def rest(self) -> None:
        """A round is over."""
        self._stats = {}
        if self.locked is not None:
            self.locked.rest()

    def close(self) -> None:
        """The sampler ends."""
        if self.locked is not None:
            self.locked.close()

    def link(self, pid: int | str, name: str) -> str | None:
        """The text of a link below /proc/PID; null: gone or refused. No file system is asked."""
        raw = self._ask(LINK, 0, pid, name)
        return None if raw is None else raw.decode("utf-8", "surrogateescape")

    def link_mode(self, pid: int, name: str) -> int | None:
        """The permission bits of a link below /proc/PID (of an fd: how it is open); null: gone or refused."""
        raw = self._ask(MODE, 0, pid, name)
        return None if raw is None else int(raw)

    def _ask(self, kind: str, most: int, pid: int | str, name: str) -> bytes | None:
        path = self._path(pid, name)
        return (
            look(kind, most, path) if self.locked is None else self.locked.ask(kind, most, _pid_of(pid), path)
        )

    def names(self, pid: int, name: str, most: int = MOST_NAMES) -> list[str]:
        """The first names in a folder below /proc/PID; empty: gone or refused.

        The others are not listed, which is what costs: 200 processes may share a table of 20,000 descriptors.
        """
        if most <= 0:
            return []
        try:
            with os.scandir(self._path(pid, name)) as entries:
                return [entry.name for entry in islice(entries, most)]
        except OSError:
            return []

    def fds(self, pid: int | str, most: int, at: int = 0) -> tuple[list[tuple[str, str]], int] | None:
        """(descriptor, link text) of at most so many from the descriptor `at` on, ascending, and how many
        there are, as far as one more than that; null: gone or refused."""
        raw = self._ask(FDS, most, pid, f"fd:{at}" if at else "fd")
        if raw is None:
            return None
        number, *cells = raw.decode("utf-8", "surrogateescape").split("\0")
        return list(zip(cells[::2], cells[1::2], strict=False)), int(number)

    def prefetch(self, pids: list[int]) -> None:
        """Learn the numbers of these processes at once, for `stat` until the look's end."""
        if self.locked is not None:
            self._stats = self.locked.stats(pids, lambda pid: self._path(pid, "stat"))

    def is_left_alone(self, pid: int) -> bool:
        """Whether nobody can say now what the process does: it is there, and was not asked."""
        return self.locked is not None and self.locked.is_left_alone(pid)

    def stat(self, pid: int) -> Stat | None:
        """A process's numbers; null: gone, or a zombie of whose threads none lives."""
        text = self._stats.get(pid) or self.read(pid, "stat", 1024)
        if text is None:
            return None
        open_at, close_at = text.find("("), text.rfind(")")
        cells = text[close_at + 1 :].split()
        if open_at < 0 or len(cells) < 20:
            return None
        if cells[0] in "ZX":
            cells[0] = self._find_head(pid) if int(cells[17]) > 1 else ""
            if not cells[0]:
                return None
        elif self._heads:
            self._heads.pop(pid, None)
        cpu_ticks = int(cells[11]) + int(cells[12])
        kernel = bool(int(cells[6]) & _PF_KTHREAD)
        comm = text[open_at + 1 : close_at]
        return Stat(pid, comm, cells[0], int(cells[1]), int(cells[19]), cpu_ticks, kernel)

    def _find_head(self, pid: int) -> str:
        """The state of a living thread, whose folder shows the process's things from now on; empty: none."""
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()  # of those that are gone; the others come again
        for thread in self.names(pid, "task", _MOST_THREADS):
            state = (self.read(f"{pid}/task/{thread}", "stat", 1024) or "").rpartition(")")[2].split()[:1]
            if state and state[0] not in "ZX":
                self._heads[pid] = f"{pid}/task/{thread}"
                return state[0]
        self._heads.pop(pid, None)
        return ""

    def ids(self, pid: int) -> Ids:
        """Who a process is, from /proc/PID/status."""
        uid = euid = gid = inner = None
        groups: list[int] = []
        for line in (self.read(pid, "status", 4096) or "").splitlines():
            if line.startswith("Uid:"):
                cells = line.split()
                uid, euid = int(cells[1]), int(cells[2])
            elif line.startswith("Gid:"):
                gid = int(line.split()[1])
            elif line.startswith("Groups:"):
                groups = [int(part) for part in line.split()[1:]]
            elif line.startswith("NSpid:"):
                inner = int(line.split()[-1])
                break
        return Ids(uid, euid, gid, groups, inner)

    def moved(self, pid: int) -> Moved:
        """Bytes that it has read and written so far."""
        cells = (self.read(pid, "io", 1024) or "").split()
        told = dict(zip(cells[::2], cells[1::2], strict=False))
        read, written, stored = (told.get(name) for name in ("rchar:", "wchar:", "write_bytes:"))
        return Moved(
            None if read is None else int(read),
            None if written is None else int(written),
            None if stored is None else int(stored),
        )

    def cmdline(self, pid: int) -> str | None:
        """The arguments joined by spaces, bounded; null: gone or a kernel thread."""
        text = self.read_locked(f"{pid}/cmdline", MAX_CMDLINE)
        return text.rstrip("\0").replace("\0", " ") if text else None

    def memory_place(self) -> tuple[str, str] | None:
        """(mount id, device as in `maps`) of the kernel's own tmpfs for memory without a name, which is in no
        mount table; null: not told.
        """
        try:
            fd = os.memfd_create("slurm-guard")
        except (AttributeError, OSError):
            return None
        try:
            info, device = self.read("self", f"fdinfo/{fd}", 1024) or "", os.fstat(fd).st_dev
        finally:
            os.close(fd)
        mount = next((line.split()[1] for line in info.splitlines() if line.startswith("mnt_id:\t")), None)
        return None if mount is None else (mount, f"{os.major(device):02x}:{os.minor(device):02x}")

    def boot_id(self) -> str:
        """The boot's identity; empty: unreadable."""
        return (self.read("sys/kernel/random", "boot_id", 64) or "").strip()


def read_file(path: str, limit: int) -> bytes | None:
    """Up to `limit` bytes; null: refused or gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    parts, left = [], limit
    try:
        while left > 0:
            part = os.read(fd, min(left, _MAX_FILE))
            if not part:
                break
            parts.append(part)
            left -= len(part)
    except OSError:
        return None
    finally:
        os.close(fd)
    return b"".join(parts)


def look(kind: str, most: int, path: str) -> bytes | None:
    """One of the looks that may hang; null: refused or gone."""
    try:
        if kind == LINK:
            return os.fsencode(os.readlink(path))
        if kind == MODE:
            return b"%d" % (os.lstat(path).st_mode & 0o777)
        return _fds(path, most) if kind == FDS else read_file(path, most)
    except OSError:
        return None


def _fds(path: str, most: int) -> bytes:
    """How many descriptors there are, then name and link of at most so many, with NULs between. `path` may
    end with a colon and the descriptor to begin at: in /proc a descriptor's place in its folder is its
    number and two more, whatever others there are (fs/proc/fd.c), so that none before it is listed."""
    path, _, begin = path.rpartition(":") if ":" in path.rpartition("/")[2] else (path, "", "")
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    found, number = [], 0
    try:
        if begin:
            os.lseek(folder, int(begin) + 2, os.SEEK_SET)
        with os.scandir(folder) as entries:
            for entry in entries:
                number += 1
                if number > most:
                    break  # one more than is looked at says that there are more
                try:
                    found += [os.fsencode(entry.name), os.fsencode(os.readlink(entry.name, dir_fd=folder))]
                except OSError:  # closed meanwhile
                    continue
    finally:
        os.close(folder)
    return b"\0".join([b"%d" % number, *found])


def _pid_of(pid: int | str) -> int | str:
    """The process that a folder's name speaks of; a text: no other's than ours or the kernel's."""
    head = str(pid).partition("/")[0]
    return int(head) if head.isdigit() else head
