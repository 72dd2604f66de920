"""AMBER (pmemd, sander): ` NSTEP =     1000   TIME(PS) =       2.000  …` of mdout. The log holds no time."""

import re

from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import to_count

_STEP = re.compile(r" NSTEP = {1,12}(\d{1,12}) {1,8}TIME\(PS\) = ", re.ASCII)


class AmberLines:
    """The averages at the end name the last step once more."""

    name = "amber"
    needles: tuple[bytes, ...] = (b" NSTEP = ",)

    def read(self, text: str, offset: int) -> Claim | None:
        match = _STEP.match(text)
        return None if match is None else Claim(offset, "step", step=to_count(match[1]))

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims
