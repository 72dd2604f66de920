"""A simulated night without Slurm: the very files that a real one leaves, and the truth apart.

`simulate(out, seed)` writes below `out`:
    spool/<node>/…   tickets, sealed segments, end marks, seals, progress   (what a sampler and hooks leave)
    home/, client/   the jobs' log files
    sacct.txt        accounting
    truth.json       what really happened: for the judge alone, no stage of the audit opens it
"""

import itertools
import os
import tempfile
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from slurm_guard import wire
from slurm_guard.sampler.whole import write_whole
from slurm_guard.sampler.writer import Instant
from slurm_guard.simulate.accounts import Outcome, outcome, sacct_text, truth_text
from slurm_guard.simulate.boards import Load
from slurm_guard.simulate.node import FILE_S, SimNode
from slurm_guard.simulate.program import Place, Program
from slurm_guard.simulate.readings import Folder, read_logs
from slurm_guard.simulate.scenarios import NODES, build_cast
from slurm_guard.simulate.scene import Job

CLUSTER = "demo"
HOME_PREFIX = "slurm-guard-demo-"
BEGIN_AT = 1_760_472_000.0  # 2025-10-14 20:00 UTC: a night of no importance
BOOT_S = 3600.0  # the nodes booted this long before
DT_S = 1.0  # seconds between looks, as in production
TAIL_S = 300.0  # the samplers stay a while after the last job


Held = dict[tuple[Place, int, str], float]  # seconds by place, pid and kind


class Night(NamedTuple):
    """Where a night stands."""

    out: Path
    spool: Path
    sacct: Path
    truth: Path
    home: Path  # holds the jobs' files; not below `out` where a job's user could not reach that (root's demo)
    from_at: float
    until_at: float


class _Part(NamedTuple):
    """Nodes that share jobs, and where to write: one process's share of the night."""

    nodes: tuple[str, ...]
    seed: int
    out: Path
    home: Path


def simulate(out: Path, seed: int, workers: int | None = None, nodes: Collection[str] | None = None) -> Night:
    """Make the night of a seed below `out`, which is best empty.

    `workers`: processes, null: as many as there are cores, at most four; the result does not depend on it.
    `nodes`: only jobs that begin on these; null: all.
    """
    home = _home(out)
    jobs = [job for job in build_cast(seed) if nodes is None or job.nodes()[0] in nodes]
    parts = [_Part(nodes, seed, out, home) for nodes in _split(jobs, workers or min(4, os.cpu_count() or 1))]
    if len(parts) > 1:
        with ProcessPoolExecutor(len(parts), mp_context=get_context("spawn")) as pool:
            outcomes = list(itertools.chain.from_iterable(pool.map(_run_part, parts)))
    else:
        outcomes = [found for part in parts for found in _run_part(part)]
    until_s = max(job.end_s for job in jobs) + TAIL_S
    until_at = BEGIN_AT + until_s
    night = Night(out, out / "spool", out / "sacct.txt", out / "truth.json", home, BEGIN_AT, until_at)
    night.sacct.write_text(sacct_text(jobs, NODES, CLUSTER, BEGIN_AT), "utf-8")
    night.truth.write_text(truth_text(outcomes), "utf-8")
    night.truth.chmod(0o600)
    return night


def _home(out: Path) -> Path:
    """Where the jobs' files go: below `out`, unless the jobs' users could not get there (root's demo)."""
    out.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0 and any(not path.stat().st_mode & 0o001 for path in (out, *out.resolve().parents)):
        home = Path(tempfile.mkdtemp(prefix=HOME_PREFIX))
        home.chmod(0o711)
        return home
    return out.resolve()


def _split(jobs: Sequence[Job], workers: int) -> list[tuple[str, ...]]:
    """Nodes in as many shares as there are workers; nodes with a job in common stay together."""
    groups: list[set[str]] = []
    for job in jobs:
        mine = set(job.nodes())
        joined = [group for group in groups if group & mine]
        groups = [group for group in groups if not group & mine] + [mine.union(*joined)]
    weight = {
        name: sum(job.run_s for job in jobs for node, _ in job.places if node == name) for name in _names()
    }
    shares: list[set[str]] = [set() for _ in range(max(1, workers))]
    for group in sorted(groups, key=lambda group: (-sum(weight[name] for name in group), sorted(group))):
        min(shares, key=lambda share: sum(weight[name] for name in share)).update(group)
    return [tuple(sorted(share)) for share in shares if share]


def _names() -> list[str]:
    return [node.name for node in NODES]


def _run_part(part: _Part) -> list[Outcome]:
    """Simulate one share of the nodes."""
    jobs = [job for job in build_cast(part.seed) if job.nodes()[0] in part.nodes]
    stage = _Stage(part, jobs)
    stage.play()
    return stage.outcomes()


class _Stage:
    """Nodes and jobs that run through the night together."""

    def __init__(self, part: _Part, jobs: list[Job]) -> None:
        self.part = part
        self.spool = part.out / "spool"
        self.jobs = jobs
        self.nodes = {
            spec.name: SimNode(spec, self.spool, CLUSTER, part.seed, DT_S)
            for spec in NODES
            if spec.name in part.nodes
        }
        self.begin_s = {name: min(job.start_s for job in jobs if name in job.nodes()) for name in self.nodes}
        self.until_s = {name: self._last_s(name) + TAIL_S for name in self.nodes}
        self._folders: dict[tuple[int, str], Folder] = {}
        self._held: dict[int, dict[str, float]] = {id(job): {} for job in jobs}
        self._ready: list[tuple[Folder, float, float]] = []

    def play(self) -> None:
        """From the first job to the last node's silence, then read the logs."""
        steps = int(max(self.until_s.values()) / DT_S)
        for k in range(steps + 1):
            t_s = k * DT_S
            self._turn(t_s)
            self._step(t_s)
        for folder, ended_at, ticket_at in self._ready:
            read_logs(folder, self.spool, ended_at, ticket_at)

    def outcomes(self) -> list[Outcome]:
        """The truth, for the judge."""
        return [outcome(job, BEGIN_AT, self._held[id(job)]) for job in self.jobs]

    def _last_s(self, name: str) -> float:
        ends = [job.end_s for job in self.jobs if name in job.nodes()]
        left = [proc.until_s for job in self.jobs for proc in job.procs if proc.node == name]
        return max(ends + left)

    def _turn(self, t_s: float) -> None:
        """Jobs that end or begin now, and what is done once a minute."""
        now = Instant(BEGIN_AT + t_s, BOOT_S + t_s)
        for job in self.jobs:
            if job.program is not None and abs(job.end_s - t_s) < DT_S / 2:
                self._end(job, now)
        for job in self.jobs:
            if abs(job.start_s - t_s) < DT_S / 2:
                self._begin(job, now)
        if t_s % FILE_S < DT_S:
            for name, node in self.nodes.items():
                if self.begin_s[name] <= t_s < self.until_s[name] and not node.off(t_s):
                    node.tables(t_s, now)
                    node.files(self._sights(name, now.at), now)
                    node.rotate(now)
        for name, node in self.nodes.items():
            if abs(self.until_s[name] - t_s) < DT_S / 2:
                node.close(now)

    def _sights(self, name: str, at: float) -> list[wire.FileSeen]:
        folders = [folder for (_, node), folder in self._folders.items() if node == name]
        return [seen for folder in folders if folder.job.program is not None for seen in folder.look(at)]

    def _begin(self, job: Job, now: Instant) -> None:
        job.program = job.make(job, BEGIN_AT)
        for name in job.nodes():
            node = self.nodes[name]
            run = wire.run_key(CLUSTER, job.job_id, name, node.boot_id, now.at - 1.0)
            folder = Folder(job, run, name, self.part.home / "home", self.part.home / "client")
            self._write(name, "tickets", wire.stem(run), _ticket(job, run, node, now.at - 1.0, folder))
            if name == job.nodes()[0]:  # the log is the first node's
                folder.make()
                self._folders[id(job), name] = folder
            node.begin(job, run, now)

    def _end(self, job: Job, now: Instant) -> None:
        assert job.program is not None
        job.program.end(now.at - BEGIN_AT - job.start_s)
        for name in job.nodes():
            node = self.nodes[name]
            run = node.runs[id(job)]
            folder = self._folders.pop((id(job), name), None)
            node.end(job, now, folder.look(now.at) if folder is not None else [])
            self._write(name, "ends", f"{job.job_id}_{int(now.at * 1000)}", _end_mark(job, run, node, now.at))
            if folder is not None:
                folder.write()
                self._ready.append((folder, now.at, now.at - job.run_s - 1.0))

    def _write(self, node: str, kind: str, name: str, record: wire.Ticket | wire.EndMark) -> None:
        folder = self.spool / node / kind
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(str(folder / f"{name}.json"), wire.encode(record).encode("ascii"))

    def _step(self, t_s: float) -> None:
        """One interval of all programs and boards."""
        asked: dict[str, dict[int, list[Load]]] = {name: {} for name in self.nodes}
        live: list[tuple[Job, Program]] = []
        for job in self.jobs:
            program = job.program
            if program is None or t_s >= max(job.end_s, job.start_s + program.until_s()):
                continue
            live.append((job, program))
            for (name, gpu), load in program.loads(t_s - job.start_s, DT_S):
                asked[name].setdefault(gpu, []).append(load)
        now = Instant(BEGIN_AT + t_s + DT_S, BOOT_S + t_s + DT_S)
        work: dict[tuple[Place, int, str], float] = {}
        held: Held = {}
        for name, node in self.nodes.items():
            if not self.begin_s[name] <= t_s < self.until_s[name]:
                continue
            for (gpu, pid, kind), grant in node.step(t_s, now, asked[name]).items():
                work[(name, gpu), pid, kind] = grant.work_s
                held[(name, gpu), pid, kind] = grant.held_s
        for job, program in live:
            program.took(t_s - job.start_s, DT_S, work)
            self._judge(job, program, t_s, held)

    def _judge(self, job: Job, program: Program, t_s: float, held: Held) -> None:
        """Keep the truth: GPU time of what was not the job's declared work."""
        key = "diverted" if t_s < job.end_s else "outside"
        sums = self._held[id(job)]
        if not job.truth.honest:
            sums[key] = sums.get(key, 0.0) + sum(held.get(who, 0.0) for who in program.diverted())


def _ticket(job: Job, run: str, node: SimNode, at: float, folder: Folder) -> wire.Ticket:
    guard = next((str(folder.path_of(log)) for log in job.logs if log.how == "guard"), None)
    return wire.Ticket(
        run=run,
        at=at,
        node=node.spec.name,
        cluster=CLUSTER,
        job_id=job.job_id,
        boot_id=node.boot_id,
        uid=job.uid,
        gid=job.uid,
        user=job.user,
        account=job.account,
        partition=node.spec.model,
        gpus=job.gpus_on(node.spec.name),
        nodelist=",".join(job.nodes()),
        restart_count=job.restart_count,
        slurm_start_at=BEGIN_AT + job.start_s,
        sluid=None,
        het_job_id=None,
        work_dir=f"/home/{job.user}/{job.name}",
        stdout=f"/home/{job.user}/{job.name}/slurm.out",
        stderr=None,
        comment=job.comment or None,
        extra=None,
        intent_sha256=None,
        progress_path=guard,
        net=None,
        why={"net": "not simulated", "sluid": "not in this release of Slurm"},
    )


def _end_mark(job: Job, run: str, node: SimNode, at: float) -> wire.EndMark:
    end_s = at - BEGIN_AT
    alive = [
        wire.GpuProcess(proc.pid, proc.start_ticks, proc.uid, node.uuid(gpu), None)
        for proc in job.procs
        for gpu in proc.gpus
        if proc.node == node.spec.name and proc.until_s > end_s
    ]
    return wire.EndMark(
        run=run,
        at=at,
        node=node.spec.name,
        cluster=CLUSTER,
        job_id=job.job_id,
        boot_id=node.boot_id,
        uid=job.uid,
        restart_count=job.restart_count,
        exit_code=None,
        comment=job.comment or None,
        extra=None,
        alive=alive,
        net=None,
        why={"net": "not simulated", "exit_code": "not in the epilog's environment"},
    )
