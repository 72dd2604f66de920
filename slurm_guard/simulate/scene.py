"""What a simulated night is made of: nodes, processes, jobs. Times are seconds since the night began."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from slurm_guard.simulate.logs import Growth
from slurm_guard.simulate.network import Line, Tunnel
from slurm_guard.simulate.program import Place, Program


class NodeSpec(NamedTuple):
    """A node of like boards. `off`: intervals in which its sampler does not run."""

    name: str
    model: str
    n_gpus: int
    off: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Proc:
    """A process as the kernel knows it. `in_job`: its cgroup is the job's."""

    node: str
    pid: int
    uid: int
    exe: str
    cmdline: str
    parents: tuple[str, ...]
    ppid: int
    start_s: float  # since the night began
    until_s: float
    gpus: tuple[int, ...]
    flags: tuple[str, ...] = ()
    in_job: bool = True
    holds: tuple[str, ...] = ()  # log files open for writing
    cpu_share: float = 1.0
    writes_log: bool = False

    @property
    def start_ticks(self) -> int:
        """Field 22 of /proc/PID/stat: clock ticks since boot, which was an hour before the night."""
        return int((3600.0 + self.start_s) * 100)


@dataclass(slots=True)
class Job:
    """One execution of a job. `truth` is for the judge alone and is never written where the audit reads."""

    job_id: int
    name: str
    user: str
    uid: int
    account: str
    places: tuple[Place, ...]
    start_s: float
    run_s: float
    truth: "Truth"
    make: Callable[["Job", float], Program]  # (job, UTC of the night's begin)
    state: str = "COMPLETED"
    comment: str = ""
    gpu_type: str = "gpu"
    procs: list[Proc] = field(default_factory=list)
    logs: list[Growth] = field(default_factory=list)
    program: Program | None = None
    restart_count: int = 0
    lines: list[Line] = field(default_factory=list)
    tunnels: list[Tunnel] = field(default_factory=list)

    @property
    def end_s(self) -> float:
        """Since the night began."""
        return self.start_s + self.run_s

    def nodes(self) -> list[str]:
        """In order of places."""
        return list(dict.fromkeys(node for node, _ in self.places))

    def gpus_on(self, node: str) -> list[int]:
        """NVML indices."""
        return [gpu for name, gpu in self.places if name == node]


class Truth(NamedTuple):
    """What really happened. `expect`: verdicts that are right; `diverted_s`: filled in from the physics."""

    scenario: str
    honest: bool
    expect: tuple[str, ...]
    words: str


def seeded(*parts: object) -> random.Random:
    """A generator of its own for each purpose, so that one more draw here changes nothing there."""
    return random.Random("/".join(str(part) for part in parts))  # noqa: S311
