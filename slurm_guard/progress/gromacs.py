"""GROMACS: `Step Time` blocks and checkpoints of md.log, `step N, will finish …` of `mdrun -v`."""

import re

from slurm_guard.progress.protocol import Claim, TableLines
from slurm_guard.progress.values import find_ctime, to_count

# Columns of twelve after three blanks: printed so by every version from 4.0 to 2025.
_HEADING = re.compile(r" {11}Step {11}Time(?: {9}Lambda)?[ \t\r]*")
_ROW = re.compile(
    r" {3,14}(\d{1,15}) {3,14}\d{1,15}\.\d{1,6}(?: {3,14}-?\d{1,6}\.\d{1,6})?[ \t\r]*", re.ASCII
)
# `imb F  2% step 5000, will finish Tue …`; a redraw begins with a carriage return
_VERBOSE = re.compile(
    r"(?:^|[ \t%])step (\d{1,15})(?:, will finish [A-Z][a-z]{2} |"
    r", remaining wall clock time: )",
    re.ASCII,
)
_SAVED = re.compile(r"Writing checkpoint, step (\d{1,15}) at ", re.ASCII)
_TOTAL = re.compile(r"[ \t]{0,8}nsteps[ \t]{1,40}=[ \t]{1,8}(\d{1,15})[ \t\r]*", re.ASCII)
_MDRUN = re.compile(r"(Started|Finished) mdrun on (?:rank|node) \d{1,6} ")


class GromacsLines(TableLines):
    """Steps of the integrator; the row of a block stands below its heading."""

    name = "gromacs"
    needles: tuple[bytes, ...] = (
        b"           Step           Time", b"Writing checkpoint, step ", b", will finish ",
        b", remaining wall clock time: ", b"nsteps ", b" mdrun on ",
    )  # fmt: skip

    def __init__(self) -> None:
        self._total: int | None = None

    def read(self, text: str, offset: int) -> Claim | None:
        if self.following:
            self.following = False
            row = _ROW.fullmatch(text)
            if row is not None:
                return self._step(row[1], offset)
        if _HEADING.fullmatch(text) is not None:
            self.following = True
            return None
        verbose = _VERBOSE.search(text, 0, 256)
        if verbose is not None:
            return self._step(verbose[1], offset)
        total = _TOTAL.fullmatch(text)
        if total is not None:
            self._total = to_count(total[1])
            return None
        return _mark(text, offset)

    def _step(self, number: str, offset: int) -> Claim:
        return Claim(offset, "step", step=to_count(number), total=self._total)

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims


def _mark(text: str, offset: int) -> Claim | None:
    """A checkpoint, the beginning or the end of a run: the only lines with a time."""
    saved = _SAVED.match(text)
    if saved is not None:
        at, naive = find_ctime(text)
        step = to_count(saved[1])
        return Claim(offset, "step", step=step, at=at, naive=naive, phase="checkpoint", advances=False)
    mdrun = _MDRUN.match(text)
    if mdrun is None:
        return None
    at, naive = find_ctime(text)
    phase = "init" if mdrun[1] == "Started" else "end"
    return Claim(offset, "phase", at=at, naive=naive, phase=phase, advances=False)
