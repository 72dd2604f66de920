"""What a slurmstepd of root's serves: the job from its title, the node from its cgroup or its socket."""

from slurm_guard.sampler.cgroups import JobRef, parse_stepd_socket, parse_title
from slurm_guard.sampler.procfs import Proc

_MOST_FDS = 256  # of one slurmstepd: judgement
_TABLE_B = 1 << 20  # read of net/unix: judgement


def find_job(proc: Proc, pid: int, ref: JobRef | None) -> JobRef | None:
    """The job of the slurmstepd `pid`, whose cgroup is `ref`'s; null: its title names none."""
    job = parse_title(proc.cmdline(pid) or "")
    if job is None:
        return None
    if ref is not None and ref.node is not None:
        return job._replace(node=ref.node)
    names = proc.names(pid, "fd", _MOST_FDS)
    held = {link for link in (proc.link(pid, f"fd/{name}") for name in names) if link is not None}
    for line in proc.lines("net/unix", _TABLE_B):
        cells = line.decode("utf-8", "surrogateescape").split()
        if len(cells) >= 8 and f"socket:[{cells[6]}]" in held:
            node = parse_stepd_socket(cells[7], job)
            if node is not None:
                return job._replace(node=node)
    return job
