"""What a run of the world is made of: stages of a training loop, work beside it, its log, its sensors.

Times are seconds since the run began. A demand is the share of one GPU's time that something would use
if it were alone; a level is the share of the board's power span that its kernels draw.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

BOARDS: dict[str, tuple[float, float, float]] = {
    # idle W, limit W, what a context adds to idle W. Public data sheets, roughly: the priors are wide.
    "H100": (70, 700, 15),
    "A100": (50, 400, 12),
    "V100": (40, 300, 15),
    "T4": (10, 70, 16),
    "L40S": (35, 350, 10),
    "RTX4090": (18, 450, 12),
    "GH200": (95, 900, 20),
    "MI300X": (130, 750, 20),
    "B200": (140, 1000, 30),
    "A10": (18, 150, 35),
    "H200": (75, 700, 45),
    "A100-MIG": (50, 400, 12),  # the board below an instance, which cannot say what part is its own
}

# What part of its kernels' time keeps a pipe busy: tensor, integer, FP32, memory.
Mix = tuple[float, float, float, float]

_INSIDE_MEMORY = 0.05  # of a rank's memory; judgement

Course = Callable[[float], float]  # seconds -> factor of a speed or of a demand; 0: stopped


def steady(_: float) -> float:
    """The course that changes nothing."""
    return 1.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What the run's own program does for a while. It ends by time or by steps, whichever comes first."""

    trains: bool
    length_s: float = math.inf
    most_steps: float = math.inf
    demand: float = 0.95
    level: float = 0.8
    cost: float = 1.0  # factor of what a step costs
    tokens: float = 1.0  # factor of a step's tokens
    phase: str | None = None  # the log names it at its begin
    diverted: bool = False
    steps_back: float = 0.0  # the counter goes back by so many at the begin; infinity: to zero
    is_new_segment: bool = False  # the log begins anew
    gpus: tuple[int, ...] | None = None  # null: all of the run
    process: str | None = None  # it runs as another process
    course: Course = steady  # of the demand
    mix: Mix | None = None  # null: the run's


@dataclass(frozen=True, slots=True)
class Program:
    """How a process was started. `ppid` null: by the first rank."""

    exe: str
    cmdline: str
    parents: tuple[str, ...] = ("bash", "slurmstepd")
    ppid: int | None = 60


PYTHON = "/usr/bin/python3.11"
STRANGER = Program("/tmp/x/worker", "worker", ppid=900)
ONE_OF_RANKS = Program(PYTHON, "python train.py", ("torchrun", "bash", "slurmstepd"), 61)
OTHER_RANK = Program(PYTHON, "python other.py", ("torchrun", "bash"), 61)


def script(arguments: str) -> Program:
    """A Python program that the batch script started."""
    return Program(PYTHON, f"python {arguments}")


def child(arguments: str) -> Program:
    """A Python program that the training started."""
    return Program(PYTHON, f"python {arguments}", ("python", "bash"), None)


When = Callable[[float, Stage | None], float]  # seconds, the run's stage -> demand


@dataclass(frozen=True, slots=True)
class Side:
    """Work beside the loop: a process of its own, or inside the ranks."""

    name: str
    gpus: tuple[int, ...]
    when: When
    level: float = 0.85
    diverted: bool = True
    in_rank: bool = False  # it runs inside the rank of each GPU, and is no process of its own
    program: Program = STRANGER
    uid: int | None = None  # null: the run's
    of_run: bool = True  # in the job's cgroup
    written_b_per_s: float = 0.0
    holds_log: bool = False
    has_flow: bool = False  # it has a connection to the rank that logs
    period_s: float | None = None  # it works in a rhythm of this period
    step_gpu_s: float | None = None  # it is a training with a log of its own
    mix: Mix | None = None  # null: the run's


@dataclass(frozen=True, slots=True)
class Forged:
    """A log that is printed to a clock and not by the work it claims."""

    step_s: float
    jitter: float  # of one step's time, relative
    first_s: float = 90.0
    course: Course = steady  # of the printer's speed
    instants_s: tuple[float, ...] | None = None  # printed at these times instead: copied from another run


@dataclass(slots=True)
class Spec:
    """One run before it lives. Not frozen: a family draws one and then bends it."""

    board: str
    n_gpus: int
    length_s: float
    window_s: float  # the sampler's window
    step_gpu_s: float  # what one step costs, GPU seconds per rank
    step_cv: float
    step_duty: float  # share of a step that computes
    log_every: int  # steps
    log_fields: tuple[str, ...]  # of step, samples, tokens
    log_clock_s: float | None  # resolution of the log's own clock; null: it has none
    log_buffer_b: int
    log_clock_off_s: float
    noise: float  # of a power reading, relative
    drift: float  # of a board's power over minutes, relative
    sensor_s: float  # what a reading averages over
    log_how: str  # fd, stdout, guard
    cost_walk: float  # slow change of what a step costs, relative
    measured: frozenset[str]  # of energy, power, busy, cycles, shares, pipes; list: processes without times
    is_log_inherited: bool = False  # every process holds it
    is_written_known: bool = True  # the sampler may read what a process wrote
    has_log: bool = True
    forged: Forged | None = None
    is_log_forged: bool = False  # it claims what the work beside it did not do
    is_printer_apart: bool = False  # a process without a GPU prints, and it alone holds the log
    loss_noise: float = 0.02
    contention: float = 0.02  # what a neighbour on the GPU costs beside its share
    is_self_slowed: bool = True  # honest work inside a rank counts as a neighbour of its own training
    spin_level: float = 0.35  # a rank that waits for the others spins
    share_factor: tuple[float, float] = (0.85, 1.0)  # per-process utilisation, of a process's time
    bend: float = 1.0  # exponent of power over load: 1 is straight
    log_clock_drift: float = 0.0  # seconds a second
    mix: Mix = (0.4, 0.15, 0.05, 0.4)
    stages: list[Stage] = field(default_factory=list)
    sides: list[Side] = field(default_factory=list)
    restarts_s: tuple[float, ...] = ()  # new processes take over
    clock: Course = steady  # ratio of the nominal clock: hot boards
    gaps: tuple[tuple[float, float], ...] = ()  # nobody looked
    cut_front_s: float = 0.0  # the run began before the audited window
    cut_back_s: float = 0.0
    watch_s: float = 0.0  # the node is watched on after the end
    mem_mib: int = 8000  # of a rank

    @property
    def all_gpus(self) -> tuple[int, ...]:
        """Indices of the run's GPUs."""
        return tuple(range(self.n_gpus))

    @property
    def held_mib(self) -> int:
        """Memory of a rank with what works inside it."""
        return int(self.mem_mib * (1 + _INSIDE_MEMORY * sum(side.in_rank for side in self.sides)))

    @property
    def loop(self) -> Stage:
        """The training as drawn; families bend the stages around it."""
        return next(stage for stage in self.stages if stage.trains)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a log. Null: the line does not say."""

    at_s: float
    step: int | None
    samples: float | None
    tokens: float | None
    phase: str
    segment: int


@dataclass(slots=True)
class Process:
    """One process of the run's node. `gpu_ms` is what it really took, by GPU."""

    name: str
    pid: int
    gpus: tuple[int, ...]
    born_s: float  # infinity: it did not begin yet
    program: Program
    uid: int
    of_run: bool
    written_b_per_s: float
    sm_factor: float  # per-process utilisation does not add up to the board's
    last_s: float = 0.0
    gpu_ms: float = 0.0
    written_b: float = 0.0  # in the running window
