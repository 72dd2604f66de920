"""The world: what a run does second by second, what its GPUs and its log then show, and the truth."""

import math
from dataclasses import dataclass
from random import Random

from bench.world.loops import SAMPLES, TOKENS, Loop, Printer
from bench.world.meters import Beat, Board, Load, Tally
from bench.world.spec import (
    BOARDS,
    ONE_OF_RANKS,
    Mix,
    Process,
    Program,
    Record,
    Side,
    Spec,
    Stage,
    child,
    script,
)

UID = 1000
PRINTER = "printer"
_SAVER_PID = 790  # nobody's parent
_POLLING: Mix = (0.0, 0.1, 0.0, 0.01)  # a few warps that look whether the others have come
SAVER = "saver"
_SAVED_OF_MEMORY = 4  # of a rank's memory, a quarter is weights and optimiser. Judgement
_LEAST_SPIN = 0.002
_WALK_STEP = 0.02  # the walk of a step's cost follows its noise by this much a second


@dataclass(frozen=True, slots=True)
class Window:
    """One GPU's sums over one window, and what the processes wrote in it."""

    gpu: int
    from_s: float
    until_s: float
    tally: Tally
    written_b: dict[str, float]  # by process name


@dataclass(frozen=True, slots=True)
class Truth:
    """What really happened inside the audited part of the run."""

    diverted_gpu_ms: float
    work_gpu_ms: float
    allocated_gpu_ms: float
    unseen_gpu_ms: float = 0.0  # of what was diverted, while nobody looked: no figure of the audit is of it


class World:
    """One run on a node of its own."""

    def __init__(self, spec: Spec, rng: Random) -> None:
        self.spec, self.rng = spec, rng
        idle_w = BOARDS[spec.board][0] * rng.uniform(0.9, 1.1)
        self.processes: dict[str, Process] = {}
        self._writers: list[Process] = []
        self._ranks: list[Process] = []  # of this generation, by GPU
        self.generation = 0
        self._start_ranks(0.0)
        for stage in spec.stages:
            if stage.process is not None:
                self._start(stage.process, spec.all_gpus, math.inf, script(f"{stage.process}.py"))
        for side in spec.sides:
            if not side.in_rank:
                self._start_side(side)
        if spec.is_printer_apart:
            self._start(PRINTER, (), 0.0, script("train.py")).last_s = spec.length_s
        if self._has_saver:
            born = Process(SAVER, _SAVER_PID, (), 60.0, child("save.py"), UID, True, 0.0, 1.0, spec.length_s)
            self.processes[SAVER] = born
        self.loop = Loop(rng, spec.step_gpu_s, spec.step_cv)
        self.boards = [Board(spec, rng, idle_w, 1 + rng.gauss(0, 0.01)) for _ in spec.all_gpus]
        overlap = rng.random()
        for board in self.boards:
            board.overlap = overlap
        self.side_loops = {
            side.name: Loop(rng, side.step_gpu_s, 0.01) for side in spec.sides if side.step_gpu_s is not None
        }
        self.printer = None if spec.forged is None else Printer(rng, spec.forged)
        self.records: list[Record] = []
        self.side_records: dict[str, list[Record]] = {name: [] for name in self.side_loops}
        self.windows: list[Window] = []
        self._place, self._begun_s, self._begun_step, self._segment = 0, 0.0, 0, 0
        self._walk = self._diverted_ms = self._unseen_ms = self._work_ms = 0.0

    # -- processes

    @property
    def _has_saver(self) -> bool:
        """Whether a process without a GPU writes the checkpoints, as in every other run that names them. Not
        drawn: one more draw would change every other run of the world."""
        names = any(stage.phase == "checkpoint" for stage in self.spec.stages)
        return names and int(1e6 * self.spec.step_gpu_s) % 2 == 0

    def rank(self, gpu: int) -> str:
        """Name of the rank that has this GPU now."""
        return f"r{gpu}.{self.generation}"

    def loggers(self) -> list[str]:
        """Names of the processes that wrote the log, oldest first."""
        if self.spec.is_printer_apart:
            return [PRINTER]
        return [f"r0.{generation}" for generation in range(self.generation + 1)]

    def _start_ranks(self, t_s: float) -> None:
        program = script("train.py") if self.spec.n_gpus == 1 else ONE_OF_RANKS
        self._ranks = [self._start(self.rank(gpu), (gpu,), t_s, program) for gpu in self.spec.all_gpus]

    def _start_side(self, side: Side) -> None:
        process = self._start(side.name, side.gpus, math.inf, side.program)
        process.of_run = side.of_run
        process.written_b_per_s = side.written_b_per_s
        if side.written_b_per_s > 0:
            self._writers.append(process)
        if side.uid is not None:
            process.uid = side.uid

    def _start(self, name: str, gpus: tuple[int, ...], t_s: float, program: Program) -> Process:
        pid = 1000 + len(self.processes)
        factor = self.rng.uniform(*self.spec.share_factor)
        process = Process(name, pid, gpus, t_s, program, UID, True, 0.0, factor)
        return self.processes.setdefault(name, process)

    # -- life

    def live(self) -> Truth:
        """Live through the whole run; the records and windows lie in their lists then."""
        spec = self.spec
        n = int(spec.length_s + spec.watch_s)
        for second in range(n):
            self._live_second(float(second))
            if (second + 1) % spec.window_s == 0 or second + 1 == n:
                self._close_window(second + 1.0)
        audited_s = spec.length_s - spec.cut_back_s - spec.cut_front_s
        allocated_ms = 1000 * spec.n_gpus * audited_s
        return Truth(self._diverted_ms, self._work_ms, allocated_ms, self._unseen_ms)

    def _live_second(self, t_s: float) -> None:
        spec = self.spec
        stage = self._stage_at(t_s)
        while self.generation < len(spec.restarts_s) and t_s >= spec.restarts_s[self.generation]:
            self.generation += 1
            self._start_ranks(t_s)
        clock = spec.clock(t_s)
        loads = self._loads(t_s, stage)
        if stage is not None and stage.trains:
            self._train(t_s, stage, loads, clock)
        self._live_sides(t_s, loads, clock)
        self._print(t_s)
        beat = Beat(self.loop.phase, self.loop.steps_per_s, spec.step_duty, clock)
        is_seen = not any(begin <= t_s < end for begin, end in spec.gaps)
        for board, on_board in zip(self.boards, loads, strict=True):
            board.read(t_s, on_board, beat, is_seen)
        self._count(t_s, loads, is_seen)

    def _stage_at(self, t_s: float) -> Stage | None:
        """The stage of this second; what begins now does its marks in the log."""
        stages = self.spec.stages
        while self._place < len(stages) and self._is_over(stages[self._place], t_s):
            self._place += 1
            self._begun_s = t_s
            if self._place < len(stages):
                self._begin(stages[self._place], t_s)
            self._begun_step = self.loop.step
        return stages[self._place] if self._place < len(stages) and t_s < self.spec.length_s else None

    def _is_over(self, stage: Stage, t_s: float) -> bool:
        n_steps = self.loop.step - self._begun_step
        return t_s - self._begun_s >= stage.length_s or n_steps >= stage.most_steps

    def _begin(self, stage: Stage, t_s: float) -> None:
        self.loop.go_back(stage.steps_back)
        self._segment += stage.is_new_segment
        if stage.phase is not None and self.printer is None:
            self.records.append(Record(t_s, None, None, None, stage.phase, self._segment))
            if stage.phase == "checkpoint":
                writer = self.processes[SAVER] if self._has_saver else self._ranks[0]
                writer.written_b += self.spec.mem_mib * 2**20 / _SAVED_OF_MEMORY

    def _loads(self, t_s: float, stage: Stage | None) -> list[list[Load]]:
        """Who works on which GPU: what does not fit is shared out by demand."""
        loads: list[list[Load]] = [[] for _ in self.spec.all_gpus]
        if stage is not None and (stage.trains or stage.demand > 0):
            demand = stage.demand * stage.course(t_s)
            for gpu in self.spec.all_gpus if stage.gpus is None else stage.gpus:
                process = self._ranks[gpu] if stage.process is None else self.processes[stage.process]
                load = Load(process, demand, stage.level, stage.diverted, stage.trains)
                load.mix = stage.mix or self.spec.mix
                loads[gpu].append(load)
        for side in self.spec.sides:
            demand = side.when(t_s, stage)
            if demand <= 0:
                continue
            for gpu in side.gpus:
                process = self._ranks[gpu] if side.in_rank else self.processes[side.name]
                load = Load(process, demand, side.level, side.diverted, period_s=side.period_s)
                load.mix = side.mix or self.spec.mix
                loads[gpu].append(load)
        for on_board in loads:
            fit = 1 / max(1.0, sum(load.demand for load in on_board))
            for load in on_board:
                load.share = load.demand * fit
        return loads

    def _train(self, t_s: float, stage: Stage, loads: list[list[Load]], clock: float) -> None:
        """Advance the loop at the pace of its slowest rank; the others spin meanwhile."""
        walk = self.spec.cost_walk
        if walk > 0:
            self._walk += _WALK_STEP * (5 * walk * self.rng.gauss(0, 1) - self._walk)
        cost = stage.cost * (1 + self._walk)
        ranks = [(on_board, load) for on_board in loads for load in on_board if load.is_loop]
        paces = [load.share * self._yield(load, on_board) * clock / cost for on_board, load in ranks]
        slowest = min(paces)
        for (on_board, load), pace in zip(ranks, paces, strict=True):
            lost = load.share * (1 - slowest / pace) if pace > 0 else 0.0
            load.share -= lost
            if lost > _LEAST_SPIN:
                on_board.append(Load(load.process, 0.0, self.spec.spin_level, share=lost, mix=_POLLING))
        for at_s in self.loop.advance(t_s, slowest, stage.tokens):
            if self.loop.step % self.spec.log_every == 0 and self.printer is None:
                loop = self.loop
                record = Record(at_s, loop.step, loop.samples, loop.tokens, "train", self._segment)
                self.records.append(record)

    def _yield(self, load: Load, on_board: list[Load]) -> float:
        """What a share is worth beside others."""
        n = len(on_board)
        if not self.spec.is_self_slowed:
            n = 1 + sum(other.process is not load.process or other.diverted for other in on_board)
        return 1.0 - (self.spec.contention if n > 1 else 0.0)

    def _live_sides(self, t_s: float, loads: list[list[Load]], clock: float) -> None:
        """Trainings beside the run's own count their steps from what they got."""
        for name, loop in self.side_loops.items():
            got = [
                load.share * self._yield(load, on) for on in loads for load in on if load.process.name == name
            ]
            for at_s in loop.advance(t_s, sum(got) * clock):
                record = Record(at_s, loop.step, loop.samples, loop.tokens, "train", 0)
                self.side_records[name].append(record)

    def _print(self, t_s: float) -> None:
        if self.printer is None or t_s >= self.spec.length_s:
            return
        for at_s in self.printer.advance(t_s):
            step = self.printer.step
            if step % self.spec.log_every == 0:
                self.records.append(Record(at_s, step, step * SAMPLES, step * TOKENS, "train", 0))

    def _count(self, t_s: float, loads: list[list[Load]], is_seen: bool) -> None:
        spec = self.spec
        if t_s < spec.length_s:
            for process in self._ranks:
                process.last_s = t_s  # it is there, whether it works or not
        is_audited = spec.cut_front_s <= t_s < spec.length_s - spec.cut_back_s
        for on_board in loads:
            for load in on_board:
                if load.share <= 0:
                    continue
                process = load.process
                if t_s < process.born_s:
                    process.born_s = t_s
                process.last_s = t_s
                if is_audited:
                    process.gpu_ms += 1000 * load.share
                    self._work_ms += 1000 * load.share
                    diverted_ms = 1000 * load.share * load.diverted
                    self._diverted_ms += diverted_ms
                    self._unseen_ms += 0.0 if is_seen else diverted_ms
        for process in self._writers:
            process.written_b += process.written_b_per_s

    def _close_window(self, until_s: float) -> None:
        """Windows lie on a grid; the last may be short."""
        width_s = until_s % self.spec.window_s or self.spec.window_s
        written = {process.name: process.written_b for process in self.processes.values()}
        for gpu, board in enumerate(self.boards):
            if board.tally.n > 0:
                self.windows.append(Window(gpu, until_s - width_s, until_s, board.tally, written))
            board.tally = Tally()
        for process in self.processes.values():
            process.written_b = 0.0


def record_instants(spec: Spec, rng: Random) -> tuple[float, ...]:
    """When a run of this kind would have logged: what a forger may copy."""
    world = World(spec, rng)
    world.live()
    return tuple(record.at_s for record in world.records if record.step is not None)
