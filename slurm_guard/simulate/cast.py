"""Builds jobs: processes as Slurm starts them, a program, its logs. What they do stands in scenarios.py."""

from collections.abc import Sequence
from dataclasses import replace

from slurm_guard.simulate.logs import Growth, LogFormat, Writer
from slurm_guard.simulate.program import Place, Program, Recipe, Side, Stage
from slurm_guard.simulate.scene import Job, Proc, Truth, seeded

H = 1800.0  # an hour of the stories, in seconds: the night is short so that a demo is quick
# Path, how it is known, format, buffer in bytes, its longest age.
Log = tuple[str, str, LogFormat, int, float]


class Cast:
    """Builds the night's jobs for one seed; `jobs` is in order of job ids."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.jobs: list[Job] = []
        self._next_pid: dict[str, int] = {}
        self._job_id = 4710 + seeded(seed, "ids").randrange(100)

    def add(self, name: str, places: tuple[Place, ...], hours: tuple[float, float], truth: Truth) -> Job:
        """A job begun `hours[0]` into the night for `hours[1]`."""
        user, uid = _USERS[len(self.jobs) % len(_USERS)]
        self._job_id += 1 + seeded(self.seed, name).randrange(4)
        start_s, run_s = hours[0] * H, hours[1] * H
        job = Job(
            job_id=self._job_id, name=name, user=user, uid=uid, account=f"{user[:1]}-lab", places=places,
            start_s=start_s, run_s=run_s, truth=truth, make=_unset,
        )  # fmt: skip
        self.jobs.append(job)
        return job

    def ranks(self, job: Job, script: str, *, launcher: str = "torchrun") -> tuple[int, ...]:
        """One process per GPU, children of a launcher under the batch script."""
        found: list[Proc] = []
        for i, (node, gpu) in enumerate(job.places):
            first = i == 0 or job.places[i - 1][0] != node
            proc = Proc(
                node=node, pid=self._pid(node), uid=job.uid, exe="/usr/bin/python3.11",
                cmdline=f"/usr/bin/python3.11 -u {script}", parents=(launcher, "bash", "slurmstepd"),
                ppid=self._pid(node) if first else found[-1].ppid, start_s=job.start_s + 4.0,
                until_s=job.end_s, gpus=(gpu,), writes_log=i == 0,
            )  # fmt: skip
            found.append(proc)
        job.procs += found
        return tuple(proc.pid for proc in found)

    def strangers(
        self, job: Job, places: tuple[Place, ...], span: tuple[float, float], like: Proc
    ) -> tuple[int, ...]:
        """A process as `like` for each place; `span` in seconds since the job's start."""
        for node, gpu in places:
            begin_s, until_s = job.start_s + span[0], job.start_s + span[1]
            who = replace(like, node=node, pid=self._pid(node), uid=job.uid, gpus=(gpu,))
            job.procs.append(replace(who, start_s=begin_s, until_s=until_s))
        return tuple(proc.pid for proc in job.procs[-len(places) :])

    def helper(self, job: Job, node: str, exe: str, cmdline: str, hours: tuple[float, float]) -> int:
        """A process of the job that uses no GPU; its pid."""
        begin_s, until_s = job.start_s + hours[0] * H, min(job.end_s, job.start_s + hours[1] * H)
        job.procs.append(
            Proc(
                node=node, pid=self._pid(node), uid=job.uid, exe=exe, cmdline=cmdline, ppid=20900,
                parents=("bash", "slurmstepd"), start_s=begin_s, until_s=until_s, gpus=(), cpu_share=0.01,
            )
        )  # fmt: skip
        return job.procs[-1].pid

    def program(
        self, job: Job, stages: list[Stage], recipe: Recipe, logs: Sequence[Log], sides: tuple[Side, ...] = ()
    ) -> None:
        """How the job runs: stages, numbers, its logs, and what runs beside it."""
        job.logs = [Growth(path, how) for path, how, *_ in logs]
        pids = tuple(proc.pid for proc in job.procs[: len(job.places)])

        def make(the: Job, begin_at: float) -> Program:
            writers = [
                Writer(growth, form, size, age)
                for growth, (_, _, form, size, age) in zip(the.logs, logs, strict=True)
            ]
            rng = seeded(self.seed, the.name, "program")
            return Program(begin_at + the.start_s, the.places, pids, stages, recipe, writers, rng, sides)

        job.make = make

    def _pid(self, node: str) -> int:
        self._next_pid[node] = self._next_pid.get(node, 21000) + 3
        return self._next_pid[node]


_USERS = (
    ("amara", 2001),
    ("bela", 2002),
    ("chen", 2003),
    ("dora", 2004),
    ("emre", 2005),
    ("fatima", 2006),
    ("goran", 2007),
)


def _unset(_job: Job, _at: float) -> Program:
    raise RuntimeError("the job has no program")
