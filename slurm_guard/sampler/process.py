"""One process as the node's table knows it, and the record that speaks of it."""

from sys import intern

from slurm_guard import wire
from slurm_guard.sampler.attribution import Started
from slurm_guard.sampler.cgroups import JobRef
from slurm_guard.sampler.devnodes import Open
from slurm_guard.sampler.procfs import NOTHING_MOVED, Stat
from slurm_guard.sampler.writer import Instant

# Records of changed facts per process; then only its end is told. A worker that sets its title for each task
# would write one at every look: judgement.
MOST_CHANGES = 16
SYSTEM_UID = 1000  # below: daemons of the system (login.defs UID_MIN). Documented
_TMP = ("/tmp/", "/var/tmp/", "/dev/shm/", "/run/user/")  # noqa: S108  we look at paths, we write none
Key = tuple[int, int]


class Process:
    """One process as it is known now. `start_at` derives from the boot clock."""

    __slots__ = (
        "bare_n", "cgroup", "changed", "cmdline", "comm", "cpu_ms", "devices", "euid", "exe", "exe_flags",
        "exe_hash", "first_at", "flags", "gid", "gpus", "groups", "holds", "how", "inner", "kernel",
        "last_at", "last_s", "listed_s", "looked_n", "moved", "n_changes", "n_looked", "open", "parents",
        "pid", "ppid", "read_n", "ref", "renamed", "run", "start_at", "start_s", "start_ticks", "state",
        "stepd", "stopped", "uid", "words_hash",
    )  # fmt: skip

    def __init__(self, stat: Stat, start_at: float, now: Instant) -> None:
        self.pid, self.start_ticks, self.ppid, self.comm = (
            stat.pid,
            stat.start_ticks,
            stat.ppid,
            intern(stat.comm),
        )
        self.kernel = stat.kernel
        self.start_at = start_at
        self.start_s = start_at - (now.at - now.mono_s)  # since boot, as start_ticks
        self.state = stat.state
        self.stopped = False  # by a signal, or frozen with its cgroup
        self.first_at = self.last_at = now.at
        self.last_s = now.mono_s
        self.uid: int | None = None
        self.euid: int | None = None  # effective
        self.gid: int | None = None
        self.groups: list[int] = []
        self.inner: int | None = None  # its own pid, in its PID namespace; null: not told
        self.ref: JobRef | None = None
        self.stepd: JobRef | None = None  # root's slurmstepd of that job
        self.run: str | None = None
        self.how: str | None = None
        self.cgroup: str | None = None
        self.exe: str | None = None
        self.exe_flags: list[str] = []
        self.cmdline: str | None = None
        self.exe_hash: int | None = None  # of the exe's link, and of it with the command line, when they were
        self.words_hash: int | None = None  # last read; null: not yet
        self.read_n = 0  # the look at which they were; 0: never
        self.parents: list[str] = []
        self.gpus: frozenset[str] = frozenset()
        self.cpu_ms = 0
        self.moved = NOTHING_MOVED  # of those on a GPU
        self.flags: list[str] = []  # ProcessSeen.flags, and euid-<n> where it differs from the uid
        self.renamed = False  # its comm changed since the command line was read: perhaps another program
        self.changed = False
        self.n_changes = 0
        self.devices: frozenset[str] = frozenset()  # UUIDs of GPUs whose device file it had open
        self.open: Open | None = None  # at the last look; null: not looked at, gone or refused
        self.listed_s: float | None = None  # monotonic second of the last look in which NVML listed it
        self.holds: bool | None = None  # any device file, where NVML lists it; null: it cannot be told
        self.looked_n: int | None = None  # the look at which it was looked at (holders.py)
        self.bare_n: int | None = None  # … at which it surely had no device file
        self.n_looked = 0

    @property
    def key(self) -> Key:
        """(pid, start_ticks): unique within a boot."""
        return self.pid, self.start_ticks

    @property
    def started(self) -> Started:
        """When it started, on both clocks."""
        return Started(self.start_at, self.start_s)

    @property
    def told(self) -> bool:
        """Whether records speak of it: a run's process, one on a GPU, or with a GPU's device file open."""
        return self.run is not None or bool(self.gpus) or bool(self.devices)

    @property
    def on_device(self) -> bool:
        """Whether what it has open is a GPU's device file, and not one that a user made and called so."""
        return bool(self.devices) and self.open is not None and self.open.real

    @property
    def due(self) -> bool:
        """Whether a record is due because facts changed; not before its program was read."""
        read = self.words_hash is not None
        return self.changed and self.told and read and self.n_changes < MOST_CHANGES

    def take_change(self) -> bool:
        """As `due`; the record is taken for told."""
        if not self.due:
            return False
        self.changed = False
        self.n_changes += 1
        return True

    def set_flags(self, flags: list[str]) -> None:
        """What is odd about it now."""
        self.changed = self.changed or flags != self.flags
        self.flags = flags

    def held(self) -> wire.Held:
        """As a window tells of one that has its GPU's device file open."""
        return wire.Held(self.pid, self.start_ticks, self.run, self.open is not None and self.open.uvm)

    def record(self, gone: bool) -> wire.ProcessSeen:
        """What is known now, as a record."""
        return wire.ProcessSeen(
            run=self.run,
            how=self.how,
            pid=self.pid,
            start_ticks=self.start_ticks,
            start_at=round(self.start_at, 2),
            uid=self.uid,
            ppid=self.ppid,
            parents=self.parents,
            exe=self.exe,
            exe_flags=self.exe_flags,
            comm=wire.clip(self.comm),
            cmdline=self.cmdline,
            cgroup=self.cgroup,
            gpus=sorted(self.gpus),
            first_seen_at=self.first_at,
            last_seen_at=self.last_at,
            gone=gone,
            mono_s=self.last_s,
            flags=self.flags,
            devices=None if self.looked_n is None else sorted(self.devices),
        )


def flags_of(exe: str | None) -> list[str]:
    """deleted, memfd, tmp: what an exe link says about its file. No exe: no flags, it was not seen."""
    if exe is None:
        return []
    flags = []
    if exe.startswith("/memfd:"):
        flags.append("memfd")
    elif exe.endswith(" (deleted)"):
        flags.append("deleted")
    if exe.startswith(_TMP):
        flags.append("tmp")
    return flags
