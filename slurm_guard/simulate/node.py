"""A simulated node: boards, and what a sampler there writes, by the sampler's own windows and segments."""

from collections.abc import Iterable
from pathlib import Path

from slurm_guard import wire
from slurm_guard.sampler.reading import GpuInfo, GpuReading
from slurm_guard.sampler.windows import WindowBuilder, WindowRules
from slurm_guard.sampler.writer import Instant, Origin, Stream, prepare
from slurm_guard.simulate.boards import Board, Grant, Load, Totals
from slurm_guard.simulate.network import Sockets
from slurm_guard.simulate.physics import MODELS
from slurm_guard.simulate.scene import Job, NodeSpec, Proc, seeded

WINDOW_S = 60.0
FILE_S = 60.0
SEGMENT_S = 3600.0
RULES_GAP = 3.0
Granted = dict[tuple[int, int, str], Grant]
_SAVED_B = 3 << 30  # of a checkpoint: any model's
_NO_GPM = dict.fromkeys(
    ("sm_pct", "tensor_pct", "int_pct", "dram_pct", "sm_cycles"), "not supported by this GPU"
)


class _Gpu:
    """One board with the window that is open on it."""

    def __init__(self, board: Board, rules: WindowRules) -> None:
        self.board = board
        spec = board.spec
        limit = int(board.limit_w * 1000)
        self.info = GpuInfo(board.uuid, board.index, spec.name, spec.mem_mib, limit, board.index, None)
        self.rules = rules
        self.builder: WindowBuilder | None = None
        self.job: Job | None = None
        self.sm_s: dict[int, float] = {}
        self.mem: dict[int, int] = {}
        self.before: Totals = board.totals()

    def read(self, at: float, mono_s: float, dt_s: float) -> GpuReading:
        """One look, as NVML gives it."""
        board = self.board
        now, old, gpm = board.totals(), self.before, board.spec.gpm
        self.before = now
        per = 100.0 / dt_s
        for pid, use in board.pid_use.items():
            if use.at_s > board.time_s - dt_s:
                self.sm_s[pid] = self.sm_s.get(pid, 0.0) + use.sm_pct / 100 * dt_s
        self.mem.update(board.mem_mib)
        return GpuReading(
            at,
            mono_s,
            int(now.energy_mj),
            int(board.shown_power_w() * 1000),
            float(board.util_pct),
            (now.sm_s - old.sm_s) * per if gpm else None,
            (now.tensor_s - old.tensor_s) * per if gpm else None,
            (now.integer_s - old.integer_s) * per if gpm else None,
            (now.dram_s - old.dram_s) * per if gpm else None,
            int(now.sm_cycles) if gpm else None,
            board.used_mib(),
            board.clock_mhz,
            round(board.temp_c),
            board.reasons,
            int(now.pcie_tx_b),
            int(now.pcie_rx_b),
            int(now.nvlink_tx_b),
            int(now.nvlink_rx_b),
            {} if gpm else _NO_GPM,
        )


class SimNode:
    """One node through the night."""

    def __init__(self, spec: NodeSpec, spool: Path, cluster: str, seed: int, dt_s: float) -> None:
        self.spec = spec
        self.dt_s = dt_s
        rng = seeded(seed, "node", spec.name)
        self.boot_id = f"{rng.getrandbits(128):032x}"
        self.boards = [
            Board(MODELS[spec.model], rng.getrandbits(32), i, util_period_s=rng.choice((1 / 6, 1.0)))
            for i in range(spec.n_gpus)
        ]
        rules = WindowRules(dt_s, RULES_GAP)
        self._gpus = [_Gpu(board, rules) for board in self.boards]
        prepare(str(spool / spec.name))
        self._spool = spool / spec.name
        self.origin = Origin(str(self._spool), spec.name, cluster, self.boot_id, WINDOW_S, dt_s)
        self._streams: dict[str | None, Stream] = {None: Stream(self.origin, None)}
        self.runs: dict[int, str] = {}  # id(job) -> run key
        self.known: list[Proc] = []
        self._owner: dict[int, str] = {}  # pid -> run key
        self._writes: dict[int, Job] = {}  # pid -> whose logs it writes
        self._told: set[int] = set()
        self._sizes: dict[tuple[int, str], int] = {}
        self._sockets: dict[str, Sockets] = {}  # run key -> what it says to the network
        self._was_off = True

    def off(self, t_s: float) -> bool:
        """Whether the sampler is not running."""
        return any(begin <= t_s < end for begin, end in self.spec.off)

    def uuid(self, index: int) -> str:
        return self.boards[index].uuid

    def begin(self, job: Job, run: str, now: Instant) -> None:
        """The job's GPUs are its own from now on."""
        self.runs[id(job)] = run
        self._streams[run] = Stream(self.origin, run)
        name = self.spec.name
        self._sockets[run] = Sockets(
            run,
            job.uid,
            tuple(line for line in job.lines if line.node == name),
            tuple(tunnel for tunnel in job.tunnels if tunnel.outer.node == name),
        )
        for index in job.gpus_on(self.spec.name):
            self._switch(self._gpus[index], job, now)
        for proc in job.procs:
            if proc.node == self.spec.name:
                self.known.append(proc)
                if proc.in_job:
                    self._owner[proc.pid] = run
                if proc.writes_log:
                    self._writes[proc.pid] = job

    def end(self, job: Job, now: Instant, files: Iterable[wire.FileSeen]) -> None:
        """Close the run's windows, write its last words and its seal."""
        run = self.runs[id(job)]
        for index in job.gpus_on(self.spec.name):
            self._switch(self._gpus[index], None, now)
        for proc in job.procs:
            if proc.node == self.spec.name and proc.until_s <= job.end_s:
                self._tell(proc, now, gone=True)
        self.files(files, now)
        self._tell_sockets(run, job.end_s, now, last=True)
        del self._sockets[run]
        self._streams[run].close("run-ended", now)
        self._streams.pop(run).seal("epilog", now)

    def step(self, t_s: float, now: Instant, loads: dict[int, list[Load]]) -> Granted:
        """All boards for one interval that ends at `now`; grants by (GPU, pid, kind)."""
        granted: Granted = {}
        off = self.off(t_s)
        for gpu in self._gpus:
            asked = loads.get(gpu.board.index, [])
            for load, grant in zip(asked, gpu.board.step(self.dt_s, asked), strict=True):
                granted[gpu.board.index, load.pid, load.kind] = grant
            if off:
                gpu.builder = None
                gpu.before = gpu.board.totals()
                continue
            if gpu.builder is None:
                self._open(gpu, now)
            assert gpu.builder is not None
            gpu.builder.add(gpu.read(now.at, now.mono_s, self.dt_s))
            if now.mono_s - gpu.builder.start_mono_s >= WINDOW_S - 1e-6:
                self._close(gpu, now)
        if self._was_off and not off:  # a new sampler finds what the old one left open
            for stream in self._streams.values():
                stream.close("recovered", now)
            self._told.clear()
        self._was_off = off
        return granted

    def tables(self, t_s: float, now: Instant) -> None:
        """Processes that are new since the last look."""
        if self.off(t_s):
            return
        for run in self._sockets:
            self._tell_sockets(run, t_s, now)
        for proc in self.known:
            if proc.pid not in self._told and proc.start_s <= t_s < proc.until_s:
                self._told.add(proc.pid)
                self._tell(proc, now, gone=False)
            elif proc.pid in self._told and t_s >= proc.until_s:
                self._told.discard(proc.pid)
                self.known = [other for other in self.known if other.pid != proc.pid]
                self._tell(proc, now, gone=True)

    def _tell_sockets(self, run: str, t_s: float, now: Instant, *, last: bool = False) -> None:
        for record in self._sockets[run].look(now.at - t_s, t_s, last=last):
            self._streams[run].write(record, now)

    def files(self, seen: Iterable[wire.FileSeen], now: Instant) -> None:
        """Sights of log files that grew."""
        for sight in seen:
            key = (hash(sight.run), sight.path)
            stream = self._streams.get(sight.run)
            if stream is not None and sight.size is not None and self._sizes.get(key) != sight.size:
                self._sizes[key] = sight.size
                stream.write(sight, now)

    def rotate(self, now: Instant) -> None:
        """Seal segments that are old enough."""
        for stream in self._streams.values():
            if stream.opened_mono_s is not None and now.mono_s - stream.opened_mono_s >= SEGMENT_S:
                stream.close("rotate", now)

    def close(self, now: Instant) -> None:
        """The night is over."""
        for gpu in self._gpus:
            self._switch(gpu, None, now)
        for stream in self._streams.values():
            stream.close("sampler-stopped", now)

    def _open(self, gpu: _Gpu, now: Instant) -> None:
        run = None if gpu.job is None else self.runs[id(gpu.job)]
        gpu.builder = WindowBuilder(gpu.info, run, gpu.rules)
        gpu.builder.open(now.at - self.dt_s, now.mono_s - self.dt_s)

    def _switch(self, gpu: _Gpu, job: Job | None, now: Instant) -> None:
        last = None
        if gpu.builder is not None:
            if gpu.builder.n:
                self._close(gpu, now)
            last = gpu.read(now.at, now.mono_s, self.dt_s)
            gpu.sm_s.clear()
        gpu.job = job
        if gpu.builder is not None:
            run = None if job is None else self.runs[id(job)]
            gpu.builder = WindowBuilder(gpu.info, run, gpu.rules)
            gpu.builder.open(now.at, now.mono_s, last)

    def _close(self, gpu: _Gpu, now: Instant) -> None:
        assert gpu.builder is not None
        long_s = now.mono_s - gpu.builder.start_mono_s
        window = gpu.builder.close(now.at, now.mono_s, self._shares(gpu, now.at - long_s, now.at))
        gpu.sm_s.clear()
        gpu.mem.clear()
        self._streams[window.run].write(window, now)

    def _shares(self, gpu: _Gpu, from_at: float, until_at: float) -> list[wire.ProcShare]:
        shares = []
        by_pid = {proc.pid: proc for proc in self.known}
        for pid, mem in sorted(gpu.mem.items()):
            proc = by_pid.get(pid)
            if proc is None:
                continue
            cpu = round((until_at - from_at) * 1000 * proc.cpu_share)
            wrote = _wrote(self._writes.get(pid), from_at, until_at)
            used = round(gpu.sm_s.get(pid, 0.0) * 1000)
            run = self._owner.get(pid)
            shares.append(wire.ProcShare(pid, proc.start_ticks, run, used, mem, cpu, wrote, stored_b=wrote))
        return shares

    def _tell(self, proc: Proc, now: Instant, *, gone: bool) -> None:
        run = self._owner.get(proc.pid)
        stream = self._streams.get(run) or self._streams[None]
        job_id = None if run is None else run.split("/")[1]
        group = f"/system.slice/slurmstepd.scope/job_{job_id}/step_batch/user/task_0"
        stream.write(
            wire.ProcessSeen(
                run=run,
                how=None if run is None else "cgroup",
                pid=proc.pid,
                start_ticks=proc.start_ticks,
                start_at=self._born(proc, now),
                uid=proc.uid,
                ppid=proc.ppid,
                parents=list(proc.parents),
                exe=proc.exe,
                exe_flags=list(proc.flags),
                comm=proc.exe.rsplit("/", 1)[-1][:15],
                cmdline=proc.cmdline,
                cgroup=group if run is not None else f"/user.slice/user-{proc.uid}.slice/session-3.scope",
                gpus=[self.uuid(index) for index in proc.gpus],
                first_seen_at=self._born(proc, now),
                last_seen_at=now.at,
                gone=gone,
            ),
            now,
        )

    def _born(self, proc: Proc, now: Instant) -> float:
        return round(now.at - now.mono_s + 3600.0 + proc.start_s, 2)


def _wrote(job: Job | None, from_at: float, until_at: float) -> int:
    """Bytes that the process which writes a job's log wrote in a window: its lines and its checkpoints."""
    if job is None:
        return 0
    lines = sum(log.size_at(until_at)[0] - log.size_at(from_at)[0] for log in job.logs)
    saves = [] if job.program is None else job.program.saved_at
    return lines + _SAVED_B * sum(from_at < at <= until_at for at in saves)
