"""The node's processes: one pass over /proc per look, bounded, keyed by pid and start so that reuse shows."""

from sys import intern

from slurm_guard.light import Iterable
from slurm_guard.sampler.attribution import (
    Ancestor,
    Found,
    Origin,
    RunFacts,
    find_run,
    walk_up,
)
from slurm_guard.sampler.cgroups import JobRef, parse_cgroup
from slurm_guard.sampler.freezers import Freezers
from slurm_guard.sampler.process import MOST_CHANGES, Process, flags_of
from slurm_guard.sampler.procfs import Proc, Stat
from slurm_guard.sampler.redact import redact
from slurm_guard.sampler.stepds import find_job
from slurm_guard.sampler.texts import MOST_CMDLINE, MOST_NAME, shared, short, short_path
from slurm_guard.sampler.writer import Instant

MOST_PARENTS = 6
CMDLINE_LOOKS = 6  # looks after which a command line is read again though nothing says it changed: judgement
# Command lines redacted and cut in one look: the longest take 0.4 ms each (measured); the others wait a look
MOST_PROGRAMS = 512
MOST_ABOVE = 64  # ancestors looked up for a process outside the table: judgement
MOST_ASKED = 1024  # processes of one uid looked at for a Slurm job: judgement


class ProcessTable:
    """All processes of the node between looks. `truncated`: the last look met more than the cap."""

    def __init__(self, proc: Proc, node: str, most: int) -> None:
        self.proc = proc
        self.node = node
        self.most = most
        self.truncated = False
        self.n_left_out = 0
        self.by_pid: dict[int, Process] = {}
        self.freezers = Freezers()
        self._now = Instant(0.0, 0.0)
        self._runs: list[RunFacts] = []
        self._uid_of: dict[str, int | None] = {}
        self._n_looks = 0
        self._n_programs = MOST_PROGRAMS  # that this look may still read
        self.n_unread = 0  # programs that looks put off since somebody took the number

    def look(self, now: Instant, runs: Iterable[RunFacts]) -> list[Process]:
        """One pass; returns the processes that are gone since the last one."""
        self.freezers.begin()
        self._now, self._runs = now, list(runs)
        self._uid_of = {run.run: run.uid for run in self._runs}
        self._n_looks += 1
        self._n_programs = MOST_PROGRAMS
        seen: dict[int, Process] = {}
        pids = self._bounded(self.proc.pids())
        self.proc.prefetch(pids)
        for pid in pids:
            stat = self.proc.stat(pid)
            if stat is not None:
                seen[pid] = self._refresh(stat, now)
            elif pid in self.by_pid and self.proc.is_left_alone(pid):
                seen[pid] = self.by_pid[pid]  # nobody can say; it is not gone
        gone = [old for pid, old in self.by_pid.items() if seen.get(pid) is not old]
        self.by_pid = seen
        self._attribute(list(seen.values()))
        for process in self._in_turn([process for process in seen.values() if process.told]):
            self._describe(process)
        return gone

    def _in_turn(self, told: list[Process]) -> list[Process]:
        """Where not all programs may be read in one look: each run (outside runs, each user) in turn, and of
        each those first that were never read, then those read longest ago. Nobody keeps another's from being
        read, whatever pids his processes have and however often they change their names.
        """
        if len(told) <= MOST_PROGRAMS:
            return told
        told.sort(key=lambda p: (p.read_n, not p.on_device, p.start_ticks))
        turns: dict[object, int] = {}
        placed = []
        for n, process in enumerate(told):
            owner = process.run if process.run is not None else process.uid
            turns[owner] = turns.get(owner, 0) + 1
            placed.append((not process.gpus, turns[owner], n))
        return [told[n] for _, _, n in sorted(placed)]

    def _bounded(self, pids: list[int]) -> list[int]:
        """Within the cap: those that records speak of first, then the youngest.

        What is on a GPU is outside the cap: nobody hides there behind a crowd.
        """
        self.truncated, self.n_left_out = len(pids) > self.most, max(0, len(pids) - self.most)
        if not self.truncated:
            return pids
        ranks: tuple[list[int], list[int], list[int]] = ([], [], [])
        for pid in pids:
            known = self.by_pid.get(pid)
            followed = known is not None and (known.told or known.stepd is not None)
            ranks[0 if known is not None and known.gpus else 1 if followed else 2].append(pid)
        on_gpu, told, rest = ranks
        kept = (told + rest[max(0, len(rest) - max(0, self.most - len(told))) :])[: self.most]
        return on_gpu + kept

    def _refresh(self, stat: Stat, now: Instant) -> Process:
        """The entry of a pid, a new one where the pid was reused."""
        process = self.by_pid.get(stat.pid)
        if process is None or process.start_ticks != stat.start_ticks:
            start_at = now.at - now.mono_s + stat.start_ticks / self.proc.ticks_per_s
            process = Process(stat, start_at, now)
        process.ppid, process.last_at, process.last_s = stat.ppid, now.at, now.mono_s
        process.state = stat.state
        if process.comm != stat.comm:
            process.renamed, process.comm = True, intern(stat.comm)
        process.cpu_ms = stat.cpu_ticks * 1000 // self.proc.ticks_per_s
        return process

    def _attribute(self, processes: list[Process]) -> None:
        """Slurmstepds first, then from the oldest down, so that parents are known before children."""
        homeless = [p for p in processes if p.run is None and not p.kernel]
        uids = set(self._uid_of.values())
        for process in homeless:
            self._read_origin(process, uids)
        for process in sorted(homeless, key=lambda p: (p.start_ticks, p.pid)):
            if process.stepd is not None:
                continue
            found = find_run(
                Origin(process.uid, process.started, process.ref, self._ancestors(process)),
                self._runs,
                self.node,
            )
            if found is not None:
                self.assign(process, found)

    def assign(self, process: Process, found: Found) -> None:
        """Give a process to a run; it keeps it for life."""
        process.run, process.how, process.changed = found.run, found.how, True

    def _read_origin(self, process: Process, uids: set[int | None]) -> None:
        """Read anew at each look: a process changes its uid and cgroup while a step starts it."""
        self._read_ids(process)
        stepd = process.uid == 0 and process.comm.startswith("slurmstepd")
        # Another uid may stand in a job's cgroup: each process is asked once, those of runs' users each time.
        unasked = process.cgroup is None and process.uid not in (None, 0)
        if stepd or process.told or process.uid in uids or unasked:
            self._read_cgroup(process)
        if stepd and (process.stepd is None or process.stepd.node is None):
            process.stepd = find_job(self.proc, process.pid, process.ref)

    def _read_ids(self, process: Process) -> None:
        process.uid, process.euid, process.gid, process.groups, inner = self.proc.ids(process.pid)
        process.inner = process.inner if inner is None else inner

    def _read_cgroup(self, process: Process) -> None:
        text = self.proc.read(process.pid, "cgroup", 16_384)
        process.ref = parse_cgroup(text) if text is not None else None
        process.cgroup = short_path(_cgroup_path(text, process.ref)) if text is not None else None

    def _ancestors(self, process: Process) -> list[Ancestor]:
        above = walk_up(process.pid, lambda pid: self.by_pid[pid].ppid if pid in self.by_pid else None)
        known = [self.by_pid[pid] for pid in above if pid in self.by_pid]
        return [Ancestor(p.stepd, p.run, p.uid) for p in known]

    def _describe(self, process: Process) -> None:
        """Exe and command line when they are new or may be; bytes moved of those on a GPU, always."""
        if process.gpus:
            process.moved = self.proc.moved(process.pid)
        process.stopped = self._is_stopped(process)
        link = self.proc.link(process.pid, "exe")
        again = process.renamed or (process.pid + self._n_looks) % CMDLINE_LOOKS == 0
        if hash(link) != process.exe_hash or process.cmdline is None or again:
            self._read_program(process, link)
        if process.uid is None or again:
            self._read_ids(process)
        if process.cgroup is None:
            self._read_cgroup(process)
        if not process.parents:
            process.parents = self._parents(process)
        process.set_flags(self._flags(process))

    def _read_program(self, process: Process, link: str | None) -> None:
        """An execve may keep the exe (the next script of one interpreter); a title is set without any."""
        text = self.proc.cmdline(process.pid)
        if process.read_n and (link is None or text is None) and self.proc.is_left_alone(process.pid):
            return  # nobody can say now: what was read before is what is known
        words = hash((link, text))
        if words != process.words_hash:
            if self._n_programs <= 0 and not process.gpus:
                self.n_unread += 1
                return
            self._n_programs -= 1
            exe = short_path(link)
            cmdline = shared(short(redact(text), MOST_CMDLINE)) if text is not None else process.cmdline
            if (exe, cmdline) != (process.exe, process.cmdline):
                process.changed = True
            process.exe, process.exe_flags, process.cmdline = exe, flags_of(link), cmdline
        process.exe_hash, process.words_hash, process.renamed = hash(link), words, False
        process.read_n = self._n_looks

    def _flags(self, process: Process) -> list[str]:
        flags = []
        uid = self._uid_of.get(process.run) if process.run is not None else None
        if uid is not None and process.uid is not None and uid != process.uid:
            flags.append("other-uid")
        if process.euid is not None and process.euid != process.uid:
            flags.append(f"euid-{process.euid}")
        if process.stopped:
            flags.append("suspended")
        if self.is_other_nodes(process):
            flags.append("other-node")
        return flags

    def job_of(self, process: Process) -> JobRef | None:
        """The Slurm job that a process is in by its cgroup, or by the slurmstepd above it; null: none."""
        if process.ref is not None:
            return process.ref
        return next((above.stepd for above in self._ancestors(process) if above.stepd is not None), None)

    def is_other_nodes(self, process: Process) -> bool:
        """Whether it is in a job of another slurmd on this host."""
        job = self.job_of(process) if process.run is None else None
        return job is not None and job.node not in (None, self.node)

    def is_in_slurm(self, uid: int | None) -> bool:
        """Whether a process of this uid is in a Slurm job without a run here: there may be more of it."""
        asked = 0
        for process in self.by_pid.values():
            if uid is None or process.uid != uid or process.run is not None or asked >= MOST_ASKED:
                continue
            asked += 1
            if process.cgroup is None:
                self._read_cgroup(process)
            if self.job_of(process) is not None:
                return True
        return False

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
            names.append(shared(short(name, MOST_NAME)) or "?")
        return names

    def mark_gpu(self, pid: int, gpu: str) -> Process | None:
        """NVML lists the pid on a GPU; null: it is not in /proc (any more)."""
        process = self.by_pid.get(pid)
        if process is None:
            process = self._take_in(pid)
        if process is not None and gpu not in process.gpus:
            process.gpus |= {gpu}
            self._mark(process)
        return process

    def mark_device(self, process: Process, gpu: str) -> None:
        """It has a GPU's device file open."""
        if gpu not in process.devices:
            process.devices |= {gpu}
            self._mark(process)

    def _mark(self, process: Process) -> None:
        process.changed = True
        process.n_changes = min(process.n_changes, MOST_CHANGES - 1)  # no title hides this
        if process.ref is None:
            self._read_cgroup(process)
        self._describe(process)

    def look_for_stepds(self, now: Instant) -> None:
        """Between two looks: take up the slurmstepds that began since; no other newcomer is read."""
        fresh = [pid for pid in self.proc.pids() if pid not in self.by_pid]
        self.proc.prefetch(fresh)
        for pid in fresh:
            stat = self.proc.stat(pid)
            if stat is not None and stat.comm.startswith("slurmstepd"):
                process = self._refresh(stat, now)
                self._read_origin(process, set())
                self.by_pid[pid] = process

    def lives(self, process: Process) -> bool:
        """Whether it lives at this moment; the table may be a look old."""
        stat = self.proc.stat(process.pid)
        if stat is None:
            return self.proc.is_left_alone(process.pid)
        return stat.start_ticks == process.start_ticks

    def _take_in(self, pid: int) -> Process | None:
        """A pid that the look did not meet (too new, or left out of a crowd), with what stands above it."""
        stat = self.proc.stat(pid)
        if stat is None:
            return None
        fresh = {pid: self._refresh(stat, self._now)}
        while stat.ppid > 1 and stat.ppid not in self.by_pid and stat.ppid not in fresh:
            above = self.proc.stat(stat.ppid)
            if above is None or len(fresh) >= MOST_ABOVE:
                break
            stat, fresh[above.pid] = above, self._refresh(above, self._now)
        self.by_pid.update(fresh)
        self._attribute(list(fresh.values()))
        return fresh[pid]

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


def _cgroup_path(text: str, ref: JobRef | None) -> str | None:
    """The line that names the job, else the v2 line, else the first: one path says enough."""
    lines = text.splitlines()
    for line in lines:
        if ref is not None and parse_cgroup(line) == ref:
            return line.split(":", 2)[-1]
    unified = [line for line in lines if line.startswith("0::")]
    chosen = unified or lines
    return chosen[0].split(":", 2)[-1] if chosen else None
