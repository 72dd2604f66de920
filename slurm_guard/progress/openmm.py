"""OpenMM's StateDataReporter, in a file or on stdout: rows below a heading that begins with `#"`."""

import re

from slurm_guard.progress.csvhead import cells_of
from slurm_guard.progress.protocol import Claim, TableLines
from slurm_guard.progress.values import to_count

# As the reporter names them; a heading needs one beside "Step".
_NAMES = re.compile(
    r'"(?:Progress \(%\)|Time \(ps\)|(?:Potential|Kinetic|Total) Energy \(kJ/mole\)|Temperature \(K\)|'
    r'Box Volume \(nm\^3\)|Density \(g/mL\)|Speed \(ns/day\)|Elapsed Time \(s\)|Time Remaining)"'
)
MAX_MISSES = 1000  # lines without a row after which the table is over (judgement)


class OpenmmLines(TableLines):
    """One table; what else is printed between its rows is passed by."""

    name = "openmm"
    needles: tuple[bytes, ...] = (b'#"',)

    def __init__(self) -> None:
        self._separator, self._n, self._column, self._misses = ",", 0, 0, 0

    def read(self, text: str, offset: int) -> Claim | None:
        if text.startswith('#"'):
            self._heading(text.rstrip("\r"))
            return None
        if not self.following:
            return None
        cells = text.rstrip("\r").split(self._separator)
        if len(cells) == self._n and cells[self._column].isdigit():
            self._misses = 0
            return Claim(offset, "step", step=to_count(cells[self._column]))
        self._misses += 1
        self.following = self._misses < MAX_MISSES
        return None

    def _heading(self, text: str) -> None:
        separator = "\t" if "\t" in text else ","
        cells = cells_of(text[1:], separator) or []
        self.following = "Step" in cells and _NAMES.search(text) is not None
        if self.following:
            self._separator, self._n, self._column, self._misses = (
                separator,
                len(cells),
                cells.index("Step"),
                0,
            )

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims
