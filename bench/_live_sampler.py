"""The measured sampler: its own entry, on a /proc that says of the benchmark's processes that they are jobs'.

Run by its path with a file of `pid job` lines, then the sampler's own arguments. It imports next to nothing
of its own, since that would be measured too. Last words on standard output: the longest round in ms, how many
processes of runs and how many of their flows it followed.
"""

from __future__ import annotations

import sys
import time

sys.path.insert(0, __file__.rsplit("/", 2)[0])

from slurm_guard.light import Any
from slurm_guard.sampler import __main__ as entry
from slurm_guard.sampler.procfs import Proc

_SCOPE = "0::/system.slice/slurmstepd.scope/job_{}/step_0/user/task_0\n"


def main(pids: str, args: list[str]) -> None:
    """Sample until SIGTERM."""
    with open(pids, encoding="ascii") as lines:  # noqa: PTH123  pathlib would be measured too
        put_into_jobs(dict(line.split() for line in lines))
    seen = [0.0, 0, 0]
    prepare = entry._prepare

    def prepare_timed(*args: Any) -> Any:
        loop = prepare(*args)
        tick = loop.tick

        def tick_timed() -> None:
            begun_s = time.perf_counter()
            tick()
            seen[0] = max(seen[0], 1000 * (time.perf_counter() - begun_s))
            seen[1:] = count(loop)

        loop.tick = tick_timed  # type: ignore[method-assign]
        return loop

    entry._prepare = prepare_timed  # type: ignore[assignment]
    entry.main(args)
    print(*seen)


def put_into_jobs(jobs: dict[str, Any]) -> None:
    """From now on /proc says of these processes (pid -> job) a cgroup of their job's."""
    read = Proc.read
    paths = {int(pid): _SCOPE.format(job) for pid, job in jobs.items()}

    def read_ours(self: Proc, pid: int | str, name: str, limit: int = 1 << 16) -> str | None:
        text = read(self, pid, name, limit)
        return paths.get(pid, text) if name == "cgroup" and isinstance(pid, int) else text

    Proc.read = read_ours  # type: ignore[method-assign]


def count(loop: Any) -> tuple[int, int]:
    """(processes of runs, flows) that are followed."""
    members = sum(1 for process in loop.tables.processes.by_pid.values() if process.run is not None)
    return members, len(loop.tables.sockets._flows)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
