"""The node's processes: one pass over /proc per look, bounded, keyed by pid and start so that reuse shows."""

from collections.abc import Iterable

from slurm_guard import wire
from slurm_guard.sampler.attribution import (
    Ancestor,
    Found,
    Origin,
    RunFacts,
    Started,
    find_run,
    is_other_nodes,
    walk_up,
)
from slurm_guard.sampler.cgroups import JobRef, parse_cgroup, parse_stepd_socket, parse_title
from slurm_guard.sampler.freezers import Freezers
from slurm_guard.sampler.procfs import Proc, Stat
from slurm_guard.sampler.redact import redact
from slurm_guard.sampler.writer import Instant

MOST_PARENTS = 6
_TMP = ("/tmp/", "/var/tmp/", "/dev/shm/", "/run/user/")  # noqa: S108  we look at paths, we write none
Key = tuple[int, int]


class Process:
    """One process as it is known now. `start_at` derives from the boot clock."""

    __slots__ = (
        "cgroup", "changed", "cmdline", "comm", "cpu_ms", "exe", "exe_flags", "first_at", "gid", "gpus",
        "groups", "how", "kernel", "last_at", "other_node", "other_uid", "parents", "pid", "ppid", "ref",
        "run", "start_at", "start_s", "start_ticks", "state", "stepd", "stopped", "uid", "written_b",
    )  # fmt: skip

    def __init__(self, stat: Stat, start_at: float, now: Instant) -> None:
        self.pid, self.start_ticks, self.ppid, self.comm = stat.pid, stat.start_ticks, stat.ppid, stat.comm
        self.kernel = stat.kernel
        self.start_at = start_at
        self.start_s = start_at - (now.at - now.mono_s)  # since boot, as start_ticks
        self.state = stat.state
        self.stopped = False  # by a signal, or frozen with its cgroup
        self.other_uid = False  # in its job's cgroup under a uid that is not the job's
        self.other_node = False  # in a job of another slurmd on this host
        self.first_at = self.last_at = now.at
        self.uid: int | None = None
        self.gid: int | None = None
        self.groups: list[int] = []
        self.ref: JobRef | None = None
        self.stepd: JobRef | None = None  # root's slurmstepd of that job
        self.run: str | None = None
        self.how: str | None = None
        self.cgroup: str | None = None
        self.exe: str | None = None
        self.exe_flags: list[str] = []
        self.cmdline: str | None = None
        self.parents: list[str] = []
        self.gpus: set[str] = set()
        self.cpu_ms = 0
        self.written_b: int | None = None
        self.changed = False

    @property
    def key(self) -> Key:
        """(pid, start_ticks): unique within a boot."""
        return self.pid, self.start_ticks

    @property
    def started(self) -> Started:
        """When it started, on both clocks."""
        return Started(self.start_at, self.start_s)

    @property
    def flags(self) -> list[str]:
        """ProcessSeen.flags."""
        named = {"other-uid": self.other_uid, "suspended": self.stopped, "other-node": self.other_node}
        return [name for name, holds in named.items() if holds]

    @property
    def told(self) -> bool:
        """Whether records speak of it: a run's process, or one on a GPU."""
        return self.run is not None or bool(self.gpus)

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
            exe=wire.clip(self.exe),
            exe_flags=self.exe_flags,
            comm=wire.clip(self.comm),
            cmdline=wire.clip(self.cmdline),
            cgroup=wire.clip(self.cgroup),
            gpus=sorted(self.gpus),
            first_seen_at=self.first_at,
            last_seen_at=self.last_at,
            gone=gone,
            flags=self.flags,
        )


class ProcessTable:
    """All processes of the node between looks. `truncated`: the last look met more than the cap."""

    def __init__(self, proc: Proc, node: str, most: int) -> None:
        self.proc = proc
        self.node = node
        self.most = most
        self.truncated = False
        self.by_pid: dict[int, Process] = {}
        self.freezers = Freezers()

    def look(self, now: Instant, runs: Iterable[RunFacts]) -> list[Process]:
        """One pass; returns the processes that are gone since the last one."""
        self.freezers.begin()
        seen: dict[int, Process] = {}
        for pid in self._bounded(self.proc.pids()):
            stat = self.proc.stat(pid)
            if stat is not None:
                seen[pid] = self._refresh(stat, now)
        gone = [old for pid, old in self.by_pid.items() if seen.get(pid) is not old]
        self.by_pid = seen
        self._attribute(list(runs))
        for process in seen.values():
            if process.told:
                self._describe(process)
        return gone

    def _bounded(self, pids: list[int]) -> list[int]:
        """Within the cap: those that records speak of first, then the youngest."""
        self.truncated = len(pids) > self.most
        if not self.truncated:
            return pids
        known = [
            pid for pid in pids if pid in self.by_pid and (self.by_pid[pid].told or self.by_pid[pid].stepd)
        ]
        rest = [pid for pid in pids if pid not in set(known)]
        keep = max(0, self.most - len(known))
        return (known + rest[len(rest) - keep :])[: self.most]

    def _refresh(self, stat: Stat, now: Instant) -> Process:
        """The entry of a pid, a new one where the pid was reused."""
        process = self.by_pid.get(stat.pid)
        if process is None or process.start_ticks != stat.start_ticks:
            start_at = now.at - now.mono_s + stat.start_ticks / self.proc.ticks_per_s
            process = Process(stat, start_at, now)
        process.ppid, process.last_at = stat.ppid, now.at
        process.comm, process.state = stat.comm, stat.state
        process.cpu_ms = stat.cpu_ticks * 1000 // self.proc.ticks_per_s
        return process

    def _attribute(self, runs: list[RunFacts]) -> None:
        """Slurmstepds first, then from the oldest down, so that parents are known before children."""
        homeless = [p for p in self.by_pid.values() if p.run is None and not p.kernel]
        uids = {run.uid for run in runs}
        for process in homeless:
            self._read_origin(process, uids)
        for process in sorted(homeless, key=lambda p: (p.start_ticks, p.pid)):
            if process.stepd is not None:
                continue
            origin = Origin(process.uid, process.started, process.ref, self._ancestors(process))
            found = find_run(origin, runs, self.node)
            process.other_node = found is None and is_other_nodes(origin, self.node)
            if found is not None:
                self.assign(process, found)

    def assign(self, process: Process, found: Found) -> None:
        """Give a process to a run; it keeps it for life."""
        process.run, process.how, process.changed = found.run, found.how, True
        process.other_uid = found.other_uid

    def _read_origin(self, process: Process, uids: set[int | None]) -> None:
        """Read anew at each look: a process changes its uid and cgroup while a step starts it."""
        process.uid, process.gid, process.groups = self.proc.ids(process.pid)
        stepd = process.uid == 0 and process.comm.startswith("slurmstepd")
        # Another uid may stand in a job's cgroup: each process is asked once, those of runs' users each time.
        unasked = process.cgroup is None and process.uid not in (None, 0)
        if stepd or process.told or process.uid in uids or unasked:
            self._read_cgroup(process)
        if stepd and (process.stepd is None or process.stepd.node is None):
            process.stepd = self._stepd(process)

    def _read_cgroup(self, process: Process) -> None:
        text = self.proc.read(process.pid, "cgroup", 16_384)
        process.ref = parse_cgroup(text) if text is not None else None
        process.cgroup = _cgroup_path(text, process.ref) if text is not None else None

    def _stepd(self, process: Process) -> JobRef | None:
        """The job of root's slurmstepd, with its node from the cgroup or from the name of its socket."""
        job = parse_title(self.proc.cmdline(process.pid) or "")
        if job is None:
            return None
        if process.ref is not None and process.ref.node is not None:
            return job._replace(node=process.ref.node)
        held = set(self.links(process.pid, 256))
        for line in (self.proc.read_all("net/unix", 1 << 20) or "").splitlines():
            cells = line.split()
            if len(cells) >= 8 and f"socket:[{cells[6]}]" in held:
                node = parse_stepd_socket(cells[7], job)
                if node is not None:
                    return job._replace(node=node)
        return job

    def links(self, pid: int, most: int) -> list[str]:
        """What a process's descriptors point to, at most so many."""
        names = self.proc.names(pid, "fd")[:most]
        return [link for link in (self.proc.link(pid, f"fd/{name}") for name in names) if link is not None]

    def _ancestors(self, process: Process) -> list[Ancestor]:
        above = walk_up(process.pid, lambda pid: self.by_pid[pid].ppid if pid in self.by_pid else None)
        known = [self.by_pid[pid] for pid in above if pid in self.by_pid]
        return [Ancestor(p.stepd, p.run, p.uid) for p in known]

    def _describe(self, process: Process) -> None:
        """Exe and command line when they are new; CPU and bytes written always."""
        process.written_b = self.proc.written_b(process.pid)
        stopped = self._is_stopped(process)
        process.changed, process.stopped = process.changed or stopped != process.stopped, stopped
        exe = self.proc.link(process.pid, "exe")
        if exe != process.exe or process.cmdline is None:
            process.changed = process.changed or exe != process.exe
            process.exe, process.exe_flags = exe, flags_of(exe)
            cmdline = self.proc.cmdline(process.pid)
            process.cmdline = redact(cmdline) if cmdline is not None else None
        if process.uid is None:
            process.uid, process.gid, process.groups = self.proc.ids(process.pid)
        if process.cgroup is None:
            self._read_cgroup(process)
        if not process.parents:
            process.parents = self._parents(process)

    def _is_stopped(self, process: Process) -> bool:
        """Whether a suspended job's process is at rest: stopped, or frozen with its cgroup."""
        if process.state not in "DS":
            return process.state == "T"
        return process.run is not None and self.freezers.is_frozen(process.cgroup)

    def _parents(self, process: Process) -> list[str]:
        above = walk_up(process.pid, lambda pid: self.by_pid[pid].ppid if pid in self.by_pid else None)
        names = []
        for pid in above[:MOST_PARENTS]:
            exe = self.proc.link(pid, "exe")
            name = exe.rsplit("/", 1)[-1] if exe else self.by_pid[pid].comm if pid in self.by_pid else "?"
            names.append(wire.clip(name, 256) or "?")
        return names

    def mark_gpu(self, pid: int, gpu: str) -> Process | None:
        """NVML lists the pid on a GPU; null: it is not in /proc (any more)."""
        process = self.by_pid.get(pid)
        if process is not None and gpu not in process.gpus:
            process.gpus.add(gpu)
            process.changed = True
            self._describe(process)
        return process

    def look_for_stepds(self, now: Instant) -> None:
        """Between two looks: take up the slurmstepds that began since; no other newcomer is read."""
        for pid in self.proc.pids():
            stat = self.proc.stat(pid) if pid not in self.by_pid else None
            if stat is not None and stat.comm.startswith("slurmstepd"):
                process = self._refresh(stat, now)
                self._read_origin(process, set())
                self.by_pid[pid] = process

    def lives(self, process: Process) -> bool:
        """Whether it lives at this moment; the table may be a look old."""
        stat = self.proc.stat(process.pid)
        return stat is not None and stat.start_ticks == process.start_ticks

    def of_run(self, run: str) -> list[Process]:
        """The run's processes."""
        return [process for process in self.by_pid.values() if process.run == run]

    def stepds(self, job: RunFacts) -> list[Process]:
        """Root's slurmstepds of a run's job on this node."""
        return [
            process
            for process in self.by_pid.values()
            if process.stepd is not None
            and (process.stepd.job_id == job.job_id or process.stepd.sluid == job.sluid is not None)
            and process.stepd.node in (None, self.node)
        ]


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


def _cgroup_path(text: str, ref: JobRef | None) -> str | None:
    """The line that names the job, else the v2 line, else the first: one path says enough."""
    lines = text.splitlines()
    for line in lines:
        if ref is not None and parse_cgroup(line) == ref:
            return line.split(":", 2)[-1]
    unified = [line for line in lines if line.startswith("0::")]
    chosen = unified or lines
    return chosen[0].split(":", 2)[-1] if chosen else None
