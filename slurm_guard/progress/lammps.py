"""LAMMPS: thermo tables (one line, multi, yaml) on the screen and in log.lammps. The log holds no time."""

import re

from slurm_guard.progress.lines import RAW_PREFIX
from slurm_guard.progress.protocol import Claim, TableLines
from slurm_guard.progress.values import to_count

_MULTI = re.compile(r"-{4,40} Step[ \t]{1,20}(\d{1,15}) -{3,40} CPU =", re.ASCII)
_YAML = re.compile(r"keywords: \[ ?'?Step'?, ")
_YAML_ROW = re.compile(r"[ \t]{0,8}- \[(\d{1,15}), [-+\d.eEnaif, ]{0,4000}\]?[ \t\r]*", re.ASCII)
_NUMBERS = re.compile(r"[-+\d.eE \tnaif]{1,4096}[\r]?", re.ASCII)  # also nan and inf: a run that blew up
# A raw row: numbers and colours alone, behind what launchers put before it.
_MAY_BE_ROW = re.compile(rb"\n" + RAW_PREFIX + rb"[-+0-9.eEnaif \t\x1b\[\];m,]+(?=\n)")
_BEFORE = ("Per MPI rank memory allocation", "Memory usage per processor")  # … its heading
MAX_MISSES = 1000  # lines without a row after which the table is over: the program was killed (judgement)


class LammpsLines(TableLines):
    """The table stands between the line on memory and `Loop time of`; other lines in it are warnings."""

    name = "lammps"
    needles: tuple[bytes, ...] = (
        *(words.encode() for words in _BEFORE), b"Loop time of ", b"- Step ", b"keywords: [",
    )  # fmt: skip

    def __init__(self) -> None:
        self._column: int | None = None  # of the step; null: the heading comes next
        self._n = self._misses = 0
        self._yaml = False

    def read(self, text: str, offset: int) -> Claim | None:
        if text.startswith(_BEFORE):
            self.following, self._column, self._yaml, self._misses = True, None, False, 0
        elif text.startswith("Loop time of "):
            self.following = False
        elif _YAML.match(text):
            self.following, self._yaml, self._misses = True, True, 0
        elif "- Step " in text:
            multi = _MULTI.match(text)
            return None if multi is None else Claim(offset, "step", step=to_count(multi[1]))
        elif self.following:
            claim = self._row(text, offset)
            if claim is None:
                self.passed(1)
            else:
                self._misses = 0
            return claim
        return None

    def next_row(self, body: bytes, begin: int) -> int:
        """Below the heading: warnings that a run prints into its table are passed by."""
        if self._column is None and not self._yaml:
            return begin
        if begin == 0:
            return 0  # the break before it is not in this piece
        row = _MAY_BE_ROW.search(body, begin - 1)
        return len(body) if row is None else row.start() + 1

    def passed(self, n: int) -> None:
        """Lines in the table that are no rows of it."""
        self._misses += n
        if self._misses >= MAX_MISSES:
            self.following = False

    def _row(self, text: str, offset: int) -> Claim | None:
        if self._yaml:
            row = _YAML_ROW.fullmatch(text)
            return None if row is None else Claim(offset, "step", step=to_count(row[1]))
        if self._column is None:
            words = text.split()
            if "Step" in words:
                self._column, self._n = words.index("Step"), len(words)
            else:
                self.following = False  # a table of the user's own, without steps
            return None
        if _NUMBERS.fullmatch(text) is None:
            return None
        cells = text.split()
        if len(cells) != self._n or not cells[self._column].isdigit():
            return None
        return Claim(offset, "step", step=to_count(cells[self._column]))

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims
