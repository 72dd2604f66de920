"""Who is on a GPU that is not his: leftovers of ended runs, and foreign processes. Each is told once.

A hard fact needs more than a sighting: that the GPU is surely not the process's, whatever may be wrong with
the map from GRES indices to boards (gpumap.py), and that no other reading of the process is innocent: a job
whose ticket is missing, another slurmd's job, a service that the site named. Those are told, softly.
"""

from __future__ import annotations

from slurm_guard import wire
from slurm_guard.light import Any, NamedTuple, from_json, to_plain_json
from slurm_guard.sampler.attribution import RunFacts
from slurm_guard.sampler.budget import EVENTS, LeftOut, Purses
from slurm_guard.sampler.cgroups import JobRef
from slurm_guard.sampler.events import HARD
from slurm_guard.sampler.gpumap import Map
from slurm_guard.sampler.process import SYSTEM_UID, Key, Process
from slurm_guard.sampler.whole import write_whole
from slurm_guard.sampler.writer import Instant

SIGHTINGS = 2  # looks that must find it: a process may be dying, or not yet in its cgroup, at one: judgement
MOST_TOLD = 4096  # hard facts remembered across restarts: judgement
_PASSWD_B = 1 << 20


class Look(NamedTuple):
    """One process on one GPU at one look at the tables."""

    at: float
    gpu: str
    process: Process
    holders: list[str]  # runs that hold the GPU
    job: JobRef | None = None  # of its cgroup, or of a slurmstepd above it
    uid_in_slurm: bool = False  # another process of its uid is in a Slurm job without a ticket
    mono_s: float | None = None


Told = tuple[int, int, str, str]  # pid, start_ticks, GPU, event


class Memory:
    """Hard facts that were told, kept beside the tickets so that a restart does not tell them again."""

    def __init__(self, path: str | None, boot_id: str) -> None:
        self.path, self.boot_id = path, boot_id
        self._told: dict[Told, None] = dict.fromkeys(self._load())

    def __contains__(self, told: Told) -> bool:
        return told in self._told

    def add(self, told: Told) -> None:
        """Remember; the oldest go where there are too many. A full disk costs a repetition, nothing else."""
        self._told[told] = None
        while len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]
        if self.path is None:
            return
        body = to_plain_json({"boot_id": self.boot_id, "told": list(self._told)})
        write_whole(self.path, body.encode("ascii"), durable=False)

    def _load(self) -> list[Told]:
        """Of this boot alone: pids mean nothing in another."""
        if self.path is None:
            return []
        try:
            with open(self.path, encoding="ascii") as body:
                found = from_json(body.read())
            if found["boot_id"] != self.boot_id:
                return []
            told = [(int(pid), int(ticks), str(gpu), str(name)) for pid, ticks, gpu, name in found["told"]]
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return []
        return told[-MOST_TOLD:]


class Services:
    """[node] services: users by name or number, programs by path or by name.

    User names are looked up in /etc/passwd alone: a name service may be away, and this is the sampler's own
    process. A program's name is its owner's to choose, so it counts for no uid that has runs here, and not
    inside a login session.
    """

    def __init__(self, named: list[str], users_file: str = "/etc/passwd") -> None:
        uids = _uids_of(users_file) if named else {}
        self._uids = {int(text) for text in named if text.isdigit()}
        self._uids |= {uids[text] for text in named if text in uids}
        self._programs = {text for text in named if not text.isdigit()}

    def has(self, process: Process, facts: dict[str, RunFacts]) -> bool:
        """Whether the site said that this process may be on any GPU."""
        if process.uid in self._uids:
            return True
        if process.exe is None or not self._programs & {process.exe, process.exe.rsplit("/", 1)[-1]}:
            return False
        a_users = any(run.uid == process.uid for run in facts.values())
        return not a_users and "/user.slice/" not in f"{process.cgroup}/"


class Guests:
    """Counts sightings between looks."""

    def __init__(self, gpumap: Map, services: Services, memory: Memory) -> None:
        self.map, self._services, self._memory = gpumap, services, memory
        self._seen: dict[tuple[Key, str], int] = {}
        self._told: dict[tuple[Key, str], set[str]] = {}

    def judge(self, look: Look, facts: dict[str, RunFacts]) -> wire.Event | None:
        """An event for a process that is not at home on the GPU, at its second sighting; else null."""
        process = look.process
        if process.run is not None and process.run in look.holders:
            return None
        place = (process.key, look.gpu)
        self._seen[place] = self._seen.get(place, 0) + 1
        if self._seen[place] < SIGHTINGS:
            return None
        told = self._told.setdefault(place, set())
        name = self._name(look, facts)
        if name in told or (told & HARD and name not in HARD):
            return None
        told.add(name)
        if name in HARD:
            key = (*process.key, look.gpu, name)
            if key in self._memory:
                return None
            self._memory.add(key)
        return wire.Event(look.at, process.run, name, self._detail(look, facts), look.mono_s)

    def _detail(self, look: Look, facts: dict[str, RunFacts]) -> dict[str, Any]:
        process = look.process
        after_s = [facts[run].started_after_begin_s(process.started) for run in look.holders if run in facts]
        job = look.job
        return {
            "gpu": look.gpu,
            "pid": process.pid,
            "start_ticks": process.start_ticks,
            "start_at": round(process.start_at, 2),
            "uid": process.uid,
            "exe": wire.clip(process.exe, 1024),
            "how": process.how,
            "holders": look.holders,
            "holder_uids": [facts[run].uid for run in look.holders if run in facts],
            "before_holder": bool(after_s) and max(after_s) < 0,
            "map": self.map.word(look.holders, look.gpu),
            "job": None if job is None else job.job_id if job.job_id is not None else job.sluid,
            "job_node": None if job is None else wire.clip(job.node, 256),
        }

    def forget(self, gone: list[Process]) -> None:
        """Processes that ended."""
        keys = {process.key for process in gone}
        self._seen = {place: n for place, n in self._seen.items() if place[0] not in keys}
        self._told = {place: names for place, names in self._told.items() if place[0] not in keys}

    def _name(self, look: Look, facts: dict[str, RunFacts]) -> str:
        """What a listed process is; of one without any device file the list must mean another."""
        return "listed-without-device" if look.process.holds is False else self._name_by_run(look, facts)

    def _name_by_run(self, look: Look, facts: dict[str, RunFacts]) -> str:
        """Hard: leftover, its run has ended; foreign-process, the GPU is surely not its run's or its user's.

        Soft: late-process, which Slurm itself started in a job that was taken for over; gpu-unmapped, the GPU
        may be its run's or its user's; and what belongs to nobody here: other-node-process,
        unticketed-process, system-process (root's), service-process.
        """
        process = look.process
        run = facts.get(process.run) if process.run is not None else None
        if run is None:
            return self._name_of_nobodys(look, facts)
        after_end_s = run.started_after_end_s(process.started)
        if after_end_s is not None:
            late = after_end_s > 0 and process.how in ("cgroup", "stepd")
            return "late-process" if late else "leftover"
        if self._services.has(process, facts):
            return "service-process"
        return "foreign-process" if self.map.is_foreign([run.run], look.gpu) else "gpu-unmapped"

    def _name_of_nobodys(self, look: Look, facts: dict[str, RunFacts]) -> str:
        process = look.process
        if look.job is not None:
            return "other-node-process" if "other-node" in process.flags else "unticketed-process"
        if process.uid == 0:
            return "system-process"
        if self._services.has(process, facts):
            return "service-process"
        if look.uid_in_slurm:
            return "unticketed-process"
        # Where its user holds GPUs of this node, the process may have left the job's cgroup on one of them. A
        # user without a run holds none: for that the map does not matter. A ticket without a uid may be his.
        mine = [run.run for run in facts.values() if run.ended_at is None and run.uid in (None, process.uid)]
        return "foreign-process" if self.map.is_foreign(mine, look.gpu) else "gpu-unmapped"


class Unlisted:
    """Users' processes that have the device file of a GPU open, and what CUDA needs beside it, on a GPU that
    is not theirs, while NVML lists them nowhere. Softly, once each: it may have been opened and not used. Any
    number of processes may have any number of files that are called so: a run, or outside runs a user, has a
    purse for them, and another one for those that have a device file indeed.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._purses = Purses()
        self.left_out = LeftOut()  # by (run or null, uid)
        self._seen: dict[tuple[Key, str], int] = {}

    def judge(self, look: Look, facts: dict[str, RunFacts]) -> wire.Event | None:
        """An event at the second sighting; else null."""
        process = look.process
        if process.open is None or not process.open.uvm or process.uid is None or process.uid < SYSTEM_UID:
            return None
        if process.run in look.holders or self._services.has(process, facts):
            return None
        place = (process.key, look.gpu)
        self._seen[place] = self._seen.get(place, 0) + 1
        if self._seen[place] != SIGHTINGS:
            return None
        owner = (process.run, None if process.run is not None else process.uid)
        if not self._purses.spend((owner, process.on_device)):
            self.left_out.add(owner)
            return None
        detail = {
            "gpu": look.gpu,
            "pid": process.pid,
            "start_ticks": process.start_ticks,
            "uid": process.uid,
            "exe": wire.clip(process.exe, 1024),
            "holders": look.holders,
            "job": None if look.job is None else look.job.job_id,
        }
        return wire.Event(look.at, process.run, "unlisted-holder", detail, look.mono_s)

    def take_left_out(self, now: Instant) -> list[wire.Event]:
        """At a look's end: whose purse was empty, and how many events will never come."""
        self._purses.begin()
        told = [(whose or (None, None), n) for whose, n in self.left_out.take(now.mono_s)]
        return [
            wire.Event(now.at, run, "holders-truncated", {"uid": uid, "most": EVENTS, "n": n}, now.mono_s)
            for (run, uid), n in told
        ]

    def forget(self, gone: list[Process]) -> None:
        """Processes that ended."""
        keys = {process.key for process in gone}
        self._seen = {place: n for place, n in self._seen.items() if place[0] not in keys}


def _uids_of(path: str) -> dict[str, int]:
    """User name -> uid from a passwd file; empty: it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as body:
            cells = [line.split(":") for line in body.read(_PASSWD_B).splitlines()]
    except OSError:
        return {}
    return {cell[0]: int(cell[2]) for cell in cells if len(cell) > 2 and cell[2].isdigit()}
