"""Jobs as the tests of runs begin and end them: tickets, marks, slurmstepds and processes."""

from typing import Any

from slurm_guard import wire
from slurm_guard.sampler.reading import GpuProc
from tests.unit.sampler.fakes import BOOT, NODE, Node

CHANGED = "x" * 64


def cgroup_of(job_id: int, step: str = "batch") -> str:
    return f"0::/system.slice/slurmstepd.scope/job_{job_id}/step_{step}/user/task_0"


def start_slurmstepd(node: Node, pid: int, job_id: int, step: str = "batch") -> None:
    path = f"0::/system.slice/slurmstepd.scope/job_{job_id}/step_{step}/slurm"
    node.proc.start(pid, 0, path, 1, f"slurmstepd: [{job_id}.{step}]", "slurmstepd")


def put_ticket(
    node: Node, job_id: int = 1, uid: int = 1000, gpus: list[int] | None = None, **more: Any
) -> str:
    """A ticket as today's hook writes it, with the boot clock."""
    return node.ticket(job_id, uid, [0] if gpus is None else gpus, boot_s=node.clock.mono_s(), **more)


def put_mark(node: Node, run: str | None, job_id: int = 1, **more: Any) -> str:
    """An end mark as today's hook writes it; returns its file's name."""
    at = node.clock.now_at()
    mark = wire.EndMark(run, at, NODE, "c", job_id, BOOT, None, 0, "0:0", None, None, [], None, {})
    name = f"{job_id}_{int(at * 1000)}.json"
    node._put("ends", name, wire.encode(mark._replace(boot_s=node.clock.mono_s(), **more)))
    return name


def begin_job(node: Node, job_id: int = 1, uid: int = 1000, pid: int = 50) -> None:
    """A batch step with one process on the first GPU."""
    start_slurmstepd(node, pid - 10, job_id)
    node.proc.start(pid, uid, cgroup_of(job_id), ppid=pid - 10)
    node.gpus.procs["GPU-0"] = [GpuProc(pid, 1, 50.0)]


def end_job(node: Node, pid: int = 50) -> None:
    node.proc.end(pid)
    node.proc.end(pid - 10)
    node.gpus.procs["GPU-0"] = []


def alive_runs(node: Node) -> list[str]:
    return [run.key for run in node.loop.book.alive()]
