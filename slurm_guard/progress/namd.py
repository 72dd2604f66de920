"""NAMD 2 and 3: `ENERGY:` and `TIMING:` lines on stdout."""

import re

from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import to_count, to_seconds

_ENERGY = re.compile(r"ENERGY:[ \t]{1,12}(\d{1,15})((?:[ \t]{1,20}-?[\d.]{1,24}){8,40})", re.ASCII)
_TIMING = re.compile(
    r"TIMING:[ \t]{1,12}(\d{1,15})[ \t]{1,4}CPU: [\d.]{1,20}, [\d.]{1,20}/step[ \t]{1,4}"
    r"Wall: [\d.]{1,20}, ([\d.]{1,20})/step",
    re.ASCII,
)
_SAVED = re.compile(
    r"WRITING (?:COORDINATES|EXTENDED SYSTEM) TO RESTART FILE AT STEP (\d{1,15})(?!\d)", re.ASCII
)
_END = re.compile(r"WallClock:[ \t]{1,4}[\d.]{1,20}[ \t]{1,4}CPUTime:", re.ASCII)


class NamdLines:
    """Steps of minimisation and dynamics; both kinds of lines tell of one counter."""

    name = "namd"
    needles: tuple[bytes, ...] = (b"ENERGY: ", b"TIMING: ", b" RESTART FILE AT STEP ", b"WallClock: ")

    def read(self, text: str, offset: int) -> Claim | None:
        energy = _ENERGY.match(text)
        if energy is not None:
            return Claim(offset, "step", step=to_count(energy[1]))
        timing = _TIMING.match(text)
        if timing is not None:
            return Claim(offset, "step", step=to_count(timing[1]), took_s=to_seconds(timing[2], "s"))
        saved = _SAVED.match(text)
        if saved is not None:
            return Claim(offset, "step", step=to_count(saved[1]), phase="checkpoint", advances=False)
        return Claim(offset, "phase", phase="end", advances=False) if _END.match(text) else None

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims
