"""The epilog: one end mark. A hint for the sampler, which alone ends and seals a run's stream."""

import os
import time
from itertools import islice

from slurm_guard import wire
from slurm_guard.hooks.apart import MAX_ANSWER_S, Apart
from slurm_guard.hooks.environ import MAX_SHORT, Environ, Identity, read_small
from slurm_guard.hooks.netstate import read_netstate
from slurm_guard.hooks.settings import Settings
from slurm_guard.hooks.ticket import Trace, encode_bounded, hash_intent, read_boot_s, store
from slurm_guard.light import Callable

_END = "."  # of the child's answer: without it the child was not done
PID_FILE = "sampler.pid"
MAX_LOOK_S = 0.015  # CPU time for the walk over /proc: half of the hook's p50 budget (judgement)
_MAX_ALIVE = 256  # processes named; a GPU process of one job per GPU and loader is tens (judgement)
_MAX_FDS = 4096  # descriptors looked at per process; a CUDA process opens its devices among the first
_MAX_THREADS = 64  # of a process without descriptors (judgement)
_MAX_ENTRIES = 100_000  # names read of the tickets folder
_MAX_OPENED = 8  # tickets opened for their start; more requeues on one node keep the newest


def write_end(settings: Settings, environ: Environ, trace: Trace, child: Apart | None = None) -> None:
    """Write the end mark to the run folder and the spool. Raises ValueError without a usable job id.

    `child` looks at the node's routes and filters meanwhile; null: none does.
    """
    at, boot_s = time.time(), read_boot_s()
    who = environ.identity()
    start_at = environ.start_at()
    mark = wire.EndMark(
        run=find_run(settings, who, start_at),
        at=at,
        node=who.node,
        cluster=who.cluster,
        job_id=who.job_id,
        boot_id=who.boot_id,
        uid=who.uid,
        restart_count=environ.integer("restart_count", "SLURM_JOB_RESTART_COUNT"),
        exit_code=environ.text("SLURM_JOB_EXIT_CODE2", MAX_SHORT)
        or environ.text("SLURM_JOB_EXIT_CODE", MAX_SHORT),
        comment=environ.text("SLURM_JOB_COMMENT"),
        extra=environ.text("SLURM_JOB_EXTRA"),
        alive=ask_alive(who.uid, settings.gpu_devices, environ.why),
        net=read_netstate(at, child),
        why=environ.why,
        boot_s=boot_s,
        slurm_start_at=None if start_at is None else float(start_at),
        sluid=environ.text("SLURM_JOB_SLUID", MAX_SHORT),
        intent_sha256=hash_intent(environ.raw("SLURM_JOB_COMMENT"), environ.raw("SLURM_JOB_EXTRA")),
    )
    if mark.run is None:
        mark.why["run"] = "no ticket of this job and boot on the node"
    store(settings, who.node, "ends", f"{who.job_id}_{int(at * 1000)}.json", encode_bounded(mark), trace)


def find_run(settings: Settings, who: Identity, start_at: int | None = None) -> str | None:
    """The run key of the job's ticket of this boot on this node; null: there is none.

    The name of a ticket is its run key, and the newest is meant. Only when there are several (a requeue) and
    Slurm says when this run began (23.02+), tickets are opened for the one that says the same: an epilog that
    is run again after the job's next start must not end the new run. The spool serves when the run folder
    has no ticket.
    """
    key = wire.run_key(who.cluster, who.job_id, who.node, who.boot_id, 0.0)[:-1]  # all but the time
    for root in (settings.run_dir, settings.spool_dir):
        folder = f"{root}/{who.node}/tickets"
        stamps = _stamps_ms(folder, wire.stem(key))
        if stamps:
            return f"{key}{_choose(folder, wire.stem(key), stamps, start_at)}"
    return None


def _choose(folder: str, prefix: str, stamps: list[int], start_at: int | None) -> int:
    """The newest of `stamps`, or the one whose ticket has this start."""
    if start_at is None or len(stamps) == 1:
        return stamps[0]
    # Text inside a record has its quotes escaped, so a job's owner cannot write this key.
    field = f'"slurm_start_at":{float(start_at)!r},'.encode("ascii")
    for stamp in stamps[:_MAX_OPENED]:
        try:
            if field in read_small(f"{folder}/{prefix}{stamp}.json", wire.MAX_LINE):
                return stamp
        except OSError:  # the sampler has put it away
            continue
    return stamps[0]


def _stamps_ms(folder: str, prefix: str) -> list[int]:
    """Times of the tickets whose names begin with `prefix`, newest first."""
    stamps: list[int] = []
    try:
        with os.scandir(folder) as entries:
            for n, entry in enumerate(entries):
                stamp = entry.name[len(prefix) : -len(".json")]
                if entry.name.startswith(prefix) and entry.name.endswith(".json") and stamp.isdecimal():
                    stamps.append(int(stamp))
                if n >= _MAX_ENTRIES:
                    break
    except OSError:  # absent or unreadable: the same as no ticket
        return []
    return sorted(stamps, reverse=True)


def ask_alive(
    uid: int | None, devices: str, why: dict[str, str], proc: str = "/proc"
) -> list[wire.GpuProcess] | None:
    """As `find_alive`, asked by a child, without whose answer we go on.

    A user's process can make whoever reads its descriptors hang in the kernel, where no signal of ours ends
    the wait: execve onto a file system that does not answer is enough. The mark must not wait with it.
    """
    if uid is None or uid == 0:
        return find_alive(uid, devices, why, proc)
    try:
        child = Apart(lambda send: _tell_alive(send, uid, devices, proc))
    except OSError as error:
        why["alive"] = f"no child to look: {error.strerror}"
        return None
    answer = child.answer().decode("utf-8", "replace")
    reason, *lines, end = answer.split("\n") if "\n" in answer else ("", answer)
    if end != _END or reason:
        why["alive"] = reason or f"no answer within {MAX_ANSWER_S:g} s: a process could not be looked at"
        return None
    cells = [line.split(" ") for line in lines]
    return [wire.GpuProcess(int(pid), int(ticks) if ticks else None, uid, None, None) for pid, ticks in cells]


def _tell_alive(send: Callable[[bytes], None], uid: int, devices: str, proc: str) -> None:
    """The child: a line why not, one for each process, and an end mark."""
    why: dict[str, str] = {}
    found = find_alive(uid, devices, why, proc)
    lines = [f"{p.pid} {'' if p.start_ticks is None else p.start_ticks}" for p in found or ()]
    send("\n".join([why.get("alive", ""), *lines, _END]).encode("utf-8", "replace"))


def find_alive(
    uid: int | None, devices: str, why: dict[str, str], proc: str = "/proc"
) -> list[wire.GpuProcess] | None:
    """Processes of `uid` that hold a GPU's device file open; null: not looked at, or not to the end."""
    if uid is None or uid == 0:
        why["alive"] = "the job's uid is unknown" if uid is None else "root's own services are not told apart"
        return None
    deadline_s = time.thread_time() + MAX_LOOK_S
    found: list[wire.GpuProcess] = []
    try:
        names = os.listdir(proc)
    except OSError as error:
        why["alive"] = error.strerror or "no /proc"
        return None
    # newest first: what the job left behind is younger than the node's services
    for pid in sorted((int(name) for name in names if name.isdigit()), reverse=True):
        if time.thread_time() > deadline_s or len(found) >= _MAX_ALIVE:
            why["alive"] = f"left off after {len(found)} found"
            return None
        if _holds_gpu(f"{proc}/{pid}", uid, devices):
            found.append(wire.GpuProcess(pid, read_start_ticks(pid, proc), uid, None, None))
    return sorted(found)


def _holds_gpu(folder: str, uid: int, devices: str) -> bool:
    """Whether the process is the user's and has `<devices><digits>` open. Gone or hidden processes do not."""
    try:
        if os.stat(folder).st_uid != uid:
            return False
        fds = _list(f"{folder}/fd", _MAX_FDS)
        if not fds:  # the first thread may have ended while others live
            folder, fds = _find_fds(folder)
    except OSError:
        return False
    for fd in fds:
        try:
            link = os.readlink(f"{folder}/fd/{fd}")  # its text alone: nothing of the user's is looked up
        except OSError:  # closed meanwhile
            continue
        if link.startswith(devices) and link[len(devices) :].isdigit():
            return True
    return False


def _find_fds(folder: str) -> tuple[str, list[str]]:
    """The folder of a thread that has descriptors, and those; none: nobody has. Raises OSError."""
    for thread in _list(f"{folder}/task", _MAX_THREADS):
        try:
            fds = _list(f"{folder}/task/{thread}/fd", _MAX_FDS)
        except OSError:
            continue
        if fds:
            return f"{folder}/task/{thread}", fds
    return folder, []


def _list(folder: str, most: int) -> list[str]:
    """So many of the names in a folder; the others are not listed, for that is what costs. Raises OSError."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, most)]


def read_start_ticks(pid: int, proc: str = "/proc") -> int | None:
    """Clock ticks between boot and the process's start; null: it is gone."""
    try:
        stat = read_small(f"{proc}/{pid}/stat", 4096)
    except OSError:
        return None
    # the name in brackets may hold anything, brackets too: count from the last one
    cells = stat.rpartition(b")")[2].split()
    return int(cells[19]) if len(cells) > 19 else None


def is_alive(folder: str, proc: str = "/proc") -> bool:
    """Whether `sampler.pid` names a living process, by pid and start: a pid alone may be another's by now."""
    try:
        pid, start_ticks = read_small(f"{folder}/{PID_FILE}", 64).split()
        return read_start_ticks(int(pid), proc) == int(start_ticks) and not _is_zombie(int(pid), proc)
    except (OSError, ValueError):
        return False


def _is_zombie(pid: int, proc: str) -> bool:
    return read_small(f"{proc}/{pid}/stat", 4096).rpartition(b")")[2].split()[:1] == [b"Z"]
