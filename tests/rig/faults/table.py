"""The faults: what is done to a node while a witness trains on it, and what must be told of it."""

from tests.rig.faults import hurt_data, hurt_gpu, hurt_kill, hurt_sampler, hurt_slurm
from tests.rig.faults.case import Case, Fault


def _nothing(case: Case) -> None:
    case.begin(wait_s=0.0)


CONTROL = Fault(
    "nothing", "nowhere", "the witness alone: what the bounds are measured against", _nothing, ("none",)
)
FAULTS: tuple[Fault, ...] = (
    *hurt_slurm.FAULTS,
    *hurt_kill.FAULTS,
    *hurt_sampler.FAULTS,
    *hurt_data.FAULTS,
    *hurt_gpu.FAULTS,
)


def choose(words: list[str]) -> list[Fault]:
    """Faults whose name contains one of the words; all without words."""
    return [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
