"""Classes of GPUs: which board, and what it lets a sampler read."""

from dataclasses import dataclass
from random import Random

_SINCE_VOLTA = frozenset({"energy", "busy", "shares"})  # the energy counter is there from Volta on
_SINCE_HOPPER = _SINCE_VOLTA | {"pipes"}  # GPM


@dataclass(frozen=True, slots=True)
class GpuClass:
    """`cycles`: how often the driver tells of SM cycles (documented; the H100 that was measured does not)."""

    name: str
    board: str
    channels: frozenset[str]
    cycles: float = 0.0

    def measured(self, rng: Random) -> frozenset[str]:
        """What one node of this class reads."""
        return self.channels | {"cycles"} if rng.random() < self.cycles else self.channels


CLASSES = (
    GpuClass("V100", "V100", _SINCE_VOLTA),
    GpuClass("A100", "A100", _SINCE_VOLTA),
    GpuClass("H100", "H100", _SINCE_HOPPER, 0.3),
    GpuClass("H200", "H200", _SINCE_HOPPER, 0.3),
    GpuClass("B200", "B200", _SINCE_HOPPER, 0.3),
    GpuClass("MIG", "A100-MIG", frozenset({"list"})),  # below Hopper an instance has no counter of its own
    GpuClass("MIG-H100", "H100", frozenset({"list", "pipes"})),  # GPM tells of each instance
)
NAMES = tuple(gpu.name for gpu in CLASSES)


def is_instance(name: str) -> bool:
    """Whether the class is a part of a GPU."""
    return name.startswith("MIG")


def of_name(name: str) -> GpuClass:
    """The class of that name."""
    return next(gpu for gpu in CLASSES if gpu.name == name)
