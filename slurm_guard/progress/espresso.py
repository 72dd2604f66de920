"""Quantum ESPRESSO: the self-consistency iterations of pw.x and ph.x, counted over all ionic steps."""

import re

from slurm_guard.progress.climb import Climb
from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import MONTHS, instant_of

_ITERATION = re.compile(
    r"[ \t]{1,12}iteration #[ \t]{0,6}(\d{1,6})[ \t]{1,12}ecut=[ \t]{0,8}[\d.]{1,12} Ry", re.ASCII
)
_PHONON = re.compile(r"[ \t]{1,12}iter #[ \t]{0,6}(\d{1,6}) total cpu time :", re.ASCII)
_STARTS = re.compile(
    r"[ \t]{1,12}Program P[\w.+-]{1,20} v\.[\w.-]{1,24} .{0,40}starts on[ \t]{1,4}"
    r"(\d{1,2})([A-Z][a-z]{2})(\d{4}) at[ \t]{1,4}(\d{1,2}):[ \t]?(\d{1,2}):[ \t]?(\d{1,2})",
    re.ASCII,
)


class EspressoLines:
    """The count goes on through ionic steps and through further programs in the same file."""

    name = "espresso"
    needles: tuple[bytes, ...] = (b"iteration #", b" iter # ", b"Program P", b"JOB DONE.")

    def __init__(self) -> None:
        self._climb = Climb()

    def read(self, text: str, offset: int) -> Claim | None:
        iteration = _ITERATION.match(text) or _PHONON.match(text)
        if iteration is not None:
            return Claim(offset, "scf", step=self._climb.add(int(iteration[1])))
        starts = _STARTS.match(text)
        if starts is not None:
            day, month, year, *clock = starts.groups()
            at = instant_of((year, MONTHS.get(month, ""), day), clock)
            return Claim(offset, "phase", at=at, naive=at is not None, phase="init", advances=False)
        done = text.strip() == "JOB DONE."
        return Claim(offset, "phase", phase="end", advances=False) if done else None

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims
