"""Training that is slower exactly while an untied process of the run works beside it."""

import itertools
from dataclasses import dataclass
from math import sqrt

from slurm_guard.audit import see
from slurm_guard.audit.bounds import of_others
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.cost import Block
from slurm_guard.audit.stats import mad_sigma, median
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_blocks: int = 3  # on either side; fewer have no spread. Judgement
    beside: float = 0.05  # part of a block's GPU work from which the other process is there. Judgement
    apart: float = 0.01  # … and below which it is not. Judgement
    least_drop: float = 0.05  # of the pace, beyond the noise of both sides. Judgement
    # A stage of the training itself (rollouts, evaluations by a server) comes and goes with every round; a
    # process of its own starts and stops a few times a night.
    most_changes: int = 4  # judgement


@dataclass(frozen=True, slots=True)
class Drop:
    """Relative loss of pace beside the other process, and its 97.5 % noise."""

    share: float
    noise: float
    n_beside: int
    n_apart: int


def measure(blocks: list[Block], params: Params) -> Drop | None:
    """The loss of pace; null where either side is too short or the two alternate."""
    usable = [b for b in blocks if b.units > 0 and b.seen_ms > 0 and b.active_ms > 0]
    marks = [(_presence(b, params), b.units / b.seen_ms) for b in usable]
    known = [(there, pace) for there, pace in marks if there is not None]
    changes = sum(1 for a, b in itertools.pairwise(known) if a[0] != b[0])
    beside = [pace for there, pace in known if there]
    apart = [pace for there, pace in known if not there]
    if min(len(beside), len(apart)) < params.least_blocks or changes > params.most_changes:
        return None
    usual = median(apart)
    error = sqrt(mad_sigma(beside) ** 2 / len(beside) + mad_sigma(apart) ** 2 / len(apart))
    return Drop(1.0 - median(beside) / usual, 1.96 * error / usual, len(beside), len(apart))


def _presence(block: Block, params: Params) -> bool | None:
    """Whether the other process worked in this block; null: in between."""
    share = block.stray_ms / block.active_ms
    return True if share >= params.beside else False if share <= params.apart else None


def find(case: Case, params: Params) -> list[Finding]:
    """A soft finding that a second process costs the training its pace."""
    part = of_others(case.slots, case.sums, "stray", case.allocated_us)
    if part.lo < case.worth_us or case.sums.total("foreign") > 0 or "busy" not in case.study.own:
        return []
    drop = measure(case.study.own["busy"].blocks, params)
    if drop is None or drop.share - drop.noise < params.least_drop:
        return []
    sentence = (
        f"Training is {100 * drop.share:.0f} % slower (at least {100 * (drop.share - drop.noise):.0f} %) "
        "while something works beside it than while nothing does."
    )
    evidence = Evidence(
        f"loss of pace, {drop.n_beside} stretches beside the process against {drop.n_apart} without it",
        100.0 * drop.share,
        "%",
        "lake tables points and shares",
        see.both(see.rows(case.run, "points", "at,step"), see.rows(case.run, "shares")),
        "a later phase of the training that is slower by itself, with or without that process",
    )
    return [finding(CHECK, case, Rating(Severity.MEDIUM, 0.75, 2.5), sentence, evidence)]


CHECK = Check(
    "slower-beside",
    "Training slows while another process works",
    Family.B,
    detects="Progress that loses pace in the very stretches in which an untied process of the run works on "
    "the same GPUs: the other's time is taken from the training.",
    does_not_detect="A process that is there from the first step to the last, or one that only fills pauses.",
    false_alarms="A phase that is slower by itself and begins with the other process. A stage of the "
    "training that comes and goes with every round is left out. Soft: needs a second family.",
    remedy="Compare with a run of the same code without the process.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "nothing works beside the training"),
        Example("rollout", "a second process alternates with the trainer"),
        Example("slow-network", "steps get slower with nobody beside them"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("co-tenant", "a third of the GPU goes to another process, and the steps take longer"),),
    attack=("T1496.001",),
)
