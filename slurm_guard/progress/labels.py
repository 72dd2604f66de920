"""Numbers before a log's lines: of the line, which rise to the end, or of the rank that wrote it, which come
again."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from slurm_guard.progress.protocol import MAX_SERIES, Claim

LABELS_LEAST = 8  # labels with one line each, before they may be numbers of lines (judgement)
MAX_LABELS = 4096  # remembered of one clock
FALLS_MANY = 3  # times that labels come again, where they are more than can be followed (judgement)


def value_of(claim: Claim) -> float:
    """The clock's value, or the epoch."""
    value = claim.clock()
    return float(value) if value is not None else claim.epoch or 0.0


class LineNumbers:
    """Labels that were taken for numbers of lines, as long as they may be."""

    def __init__(self, claims: Iterable[Claim]) -> None:
        self._values: dict[str, float] = {}
        self._high = 0.0
        self._n_falls = 0
        for claim in claims:
            self.are_ranks(claim)

    def are_ranks(self, claim: Claim) -> bool:
        """Whether, with one more line, the labels are ranks: one came again and goes on from its own value,
        below others'. A log that is begun again repeats its values, or goes on above all of them."""
        value = value_of(claim)
        before = self._values.get(claim.rank)
        if before is not None and before < value < self._high:
            self._n_falls += 1
        if before is not None or len(self._values) < MAX_LABELS:
            self._values[claim.rank] = value
        self._high = max(self._high, value)
        return self._n_falls >= (1 if len(self._values) <= MAX_SERIES else FALLS_MANY)


def are_line_numbers(labels: Sequence[str], firsts: Sequence[Claim]) -> bool:
    """Whether labels, each with the one claim behind it, rise as their counter does.

    Ranks that print for the first time come in any order, or stand at the same value.
    """
    if len(labels) < LABELS_LEAST:
        return False
    return _rises([int(label) for label in labels]) and _rises([value_of(claim) for claim in firsts])


def by_label(claims: Iterable[Claim]) -> dict[str, list[Claim]]:
    """The claims of each label, in their order."""
    out: dict[str, list[Claim]] = {}
    for claim in claims:
        out.setdefault(claim.rank, []).append(claim)
    return out


def _rises(numbers: Sequence[float]) -> bool:
    """Whether each is greater than the one before."""
    return all(a < b for a, b in pairwise(numbers))
