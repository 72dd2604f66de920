"""tqdm bars: `desc:  6%|▋ | 1/16 [00:58<14:40, 58.70s/it]`. Weak: a bar may be a download.

Every rank draws the same bar, and without labels their bars stand one after the other in a job's stdout.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from slurm_guard.progress.barseries import are_near, drawings_of
from slurm_guard.progress.drawings import Drawn, copies
from slurm_guard.progress.protocol import MAX_BARS, MAX_CLAIMS, NOTHING, Claim
from slurm_guard.progress.values import to_count, to_float

# From the percent sign on; n/total, elapsed<eta, rate. Units other than iterations are not progress. A format
# of its own may have no rate: NeMo's `7/15 [06:19<07:13, reduced_train_loss=11.50, global_step=5.000 …`.
_UNIT = r"(?:it(?:er(?:ation)?s?)?|steps?|batch(?:es)?|ep(?:ochs?)?|updates?)"
_BAR = re.compile(
    r"(\d{1,3})%\|[^|]{0,200}\| {0,4}(\d{1,12})/(\d{1,12}) \[([\d:]{4,12})<[\d:?]{1,12}"
    rf"(?:, {{0,3}}([\d.?]{{1,10}}) {{0,2}}({_UNIT}/s|s/{_UNIT})\b"
    r"|(?=\]|, {0,3}[A-Za-z_][\w./ -]{0,40}=))"
)
_DIGIT = 0.01  # tqdm's last
MAX_NAMES = 4096  # totals of bars in a file that are compared with others
_EVAL_WORDS = re.compile(r"eval|valid|test|predict|sampl|generat|fid|(?<!\w)val(?!\w)")
_OTHER_WORDS = re.compile(
    "load|fetch|map|token|filter|process|group|sav|shard|captur|compil|profil|warm"
)  # load: download, too


# HF's Trainer before a bar without words
_RUNS = re.compile(r"\*{5} running (?:(evaluation|prediction)|training)\b", re.IGNORECASE)
TOLD = 32  # parts of an evaluation's bar that are told of (judgement)


class Bar(NamedTuple):
    """One drawn bar."""

    n: int
    total: int
    desc: str  # lower case, at most 60 characters
    spent: str  # as drawn, in whole seconds
    pace_s: float  # seconds an iteration, as drawn; 0: not drawn
    digit_s: float  # what one more in its last digit makes of that

    def evaluates(self) -> bool:
        """Whether its words are an evaluation's."""
        return _EVAL_WORDS.search(self.desc) is not None

    def trains(self) -> bool:
        """Whether its words are neither an evaluation's nor a download's."""
        return not self.evaluates() and not self.prepares()

    def prepares(self) -> bool:
        """Whether its words are those of data that is fetched, cut or put away, or of a start."""
        return _OTHER_WORDS.search(self.desc) is not None


@lru_cache(maxsize=2)  # each of the readers that a bar concerns asks for the same line
def find_bar(text: str) -> Bar | None:
    """The last bar in a line, or null."""
    last = None
    for match in _BAR.finditer(text):
        last = match
    if last is None:
        return None
    n, total = to_count(last.group(2)), to_count(last.group(3))
    if n is None or total is None or n > total:
        return None
    desc = text[max(0, last.start() - 60) : last.start()].strip().lower()
    return Bar(n, total, desc, last.group(4), *_pace_s(last.group(5) or "", last.group(6) or ""))


def _pace_s(rate: str, unit: str) -> tuple[float, float]:
    """(seconds an iteration, what one more in the last digit makes of them); 0: the bar does not say."""
    value = to_float(rate) or 0.0
    if unit.startswith("s/") or not value:
        return value, _DIGIT
    return 1 / value, _DIGIT / value**2


class TqdmLines:
    """Bars as weak claims: liveness, and steps only where nothing better speaks."""

    name = "tqdm"
    needles: tuple[bytes, ...] = (b"%|", b"***** ")

    def __init__(self) -> None:
        self._evaluates = False  # a heading says that an evaluation is next, and no other bar has begun since
        self._evaluation = 0  # the total of its bar …
        self._nth = -1  # … and which part of it was told of last
        self._drawn: dict[int, Drawn] = {}  # by the offset of the redraw's end
        self._totals: list[int] = []  # the first ones …
        self._names: dict[int, int] = {}  # … and by which of them each is kept, or by itself

    def read(self, text: str, offset: int) -> Claim | None:
        if "%|" not in text:
            self._see_heading(text)
            return None
        bar = find_bar(text)
        if bar is None or bar.prepares():
            return None
        if self._is_evaluations(bar):
            nth, self._nth = self._nth, bar.n * TOLD // bar.total
            return NOTHING if nth == self._nth else Claim(offset, "phase", phase="eval", advances=False)
        if bar.evaluates():
            return Claim(offset, "phase", phase="eval", advances=False)
        if len(self._drawn) < MAX_CLAIMS:
            self._drawn[offset] = Drawn(bar.n, bar.spent, bar.pace_s, bar.digit_s)
        return Claim(offset, f"bar{self._kept_as(bar.total)}", step=bar.n, total=bar.total)

    def _see_heading(self, text: str) -> None:
        """Whether an evaluation begins, or a training."""
        match = _RUNS.search(text, 0, 200)
        if match is not None:
            self._evaluates, self._evaluation, self._nth = match.lastindex is not None, 0, -1

    def _is_evaluations(self, bar: Bar) -> bool:
        """Whether a bar without words is of the evaluation that a heading named: the first behind it, of a
        total that no bar had before. Where none was drawn before it may be the training's."""
        if not self._evaluates or bar.desc or not bar.total or not self._names:
            return False
        if not self._evaluation and bar.total not in self._names:
            self._evaluation = bar.total
        self._evaluates = bar.total == self._evaluation
        return self._evaluates

    def _kept_as(self, total: int) -> int:
        """The total that names the bar's series: after many others that of a bar near to it."""
        kept = self._names.get(total)
        if kept is None:
            if len(self._names) >= MAX_NAMES:
                return total
            kept = total
            if len(self._totals) >= MAX_BARS:
                kept = next((other for other in self._totals if are_near(total, other)), total)
            else:
                self._totals.append(total)
            self._names[total] = kept
        return kept

    def settle(self, claims: list[Claim]) -> list[Claim]:
        """Without the drawings that other ranks made of the same bar."""
        drawings = drawings_of(claims)
        drawn = ([self._drawn[c.offset] for c in one if c.offset in self._drawn] for one in drawings)
        return [
            claim for one, copied in zip(drawings, copies(drawn), strict=True) if not copied for claim in one
        ]
