"""Counters whose print changes as they grow: `1e+03`, `1.02e+06`, `1.2k`, `1 000`, `1'000`, German `1.000`.

Of a number with few digits only its bounds are known, and the least that it can be is claimed. Groups of
digits and `k` may be two numbers, a decimal or a size as well: they count where the counter's own series
leads there.
"""

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from slurm_guard.progress.protocol import UNREAD, Claim

# What a number of this kind looks like behind a counter's word, in a lowered line.
ROUGH = (
    r"(\d(?:\.\d{1,18})?e\+?\d{1,2}|\d{1,4}(?:\.\d{1,3})?[km]"
    r"|\d{1,3}(?:(?:[ '’\u202f\xa0]\d{3}){1,4}|(?:\.\d{3}){1,4}))"
    r"(?![\w%]|/(?!\d{1,3}(?:[ '’\u202f\xa0.]\d{3}){1,4}(?![\d.]))|[.,'’]\d)"  # a total alike
)
_POWER = re.compile(r"(\d)(?:\.(\d{1,18}))?[eE]\+?(\d{1,2})")
_SHORT = re.compile(r"(\d{1,4})(?:\.(\d{1,3}))?([kKM])")  # not `5m`, which are minutes
_GROUPS = re.compile(r"\d{1,3}(?:[ '’\u202f\xa0.]\d{3}){1,4}")
REACH = 4  # usual steps from one record to the next within which a series leads to a number (judgement)
LEAST_PLAIN = 3  # distinct numbers before it (judgement)
RISING = 0.9  # of the records without a counter, from one to the next: else they count nothing (judgement)
LEAST_UNREAD = 8  # records, before they are told of (judgement)
MOST_ASIDE = 2  # prints in a row that are a sentence's, not the counter's (judgement)
MOST_ALIVE = 32  # moments at which a log is known to go on, of all its records without a counter


class Rough(NamedTuple):
    """What a print says: the counter is at least `low` and at most `high`."""

    low: int
    high: int
    sure: bool  # nothing else is printed so


class Settled(NamedTuple):
    """A series without its rough numbers. `alive`: marks without a counter that say that the log goes on."""

    claims: list[Claim]
    alive: list[Claim]
    problem: str | None


def about(text: str) -> int | None:
    """The number, as if it were exact, to have the record's place in its series; null: it is none of ours."""
    rough = bounds_of(text, 0)
    return None if rough is None else (rough.low + rough.high) // 2


def bounds_of(text: str, n_digits: int) -> Rough | None:
    """What the print says of a whole number; `n_digits`: that its printer is known to give at least."""
    if (power := _POWER.fullmatch(text)) is not None:
        return _of_power(power, n_digits)
    if (short := _SHORT.fullmatch(text)) is not None:
        unit = 1_000 if short[3] in "kK" else 1_000_000
        digits = short[2] or ""
        last = unit // 10 ** len(digits)
        value = int(short[1] + digits) * last
        return Rough(max(0, value - last // 2), value + last, sure=False)  # rounded, or cut
    if _GROUPS.fullmatch(text) is not None and text[0] != "0":
        value = int("".join(filter(str.isdigit, text)))
        return Rough(value, value, sure=False)
    return None


def _of_power(match: re.Match[str], n_digits: int) -> Rough | None:
    """Of `1.02e+06`: half a unit of its last digit to both sides, where that is none of its ones."""
    digits, power = match[1] + (match[2] or ""), int(match[3])
    if power > 15 or digits[power + 1 :].strip("0"):
        return None
    value = int(digits[: power + 1].ljust(power + 1, "0"))
    unit = 10 ** max(0, power + 1 - max(len(digits), n_digits))
    if unit == 1:
        return Rough(value, value, sure=True)
    # Below a power of ten there is one digit more.
    below = unit // 10 if value == 10**power else unit
    return Rough(math.ceil(value - below / 2), value + unit // 2, sure=True)


def n_digits_of(claims: list[Claim], prints: Mapping[int, str]) -> int:
    """How many digits the printer of a series gives at least: those of a rough number as printed, and of the
    plain ones before the first power (`%g` turns to powers where its digits do not suffice)."""
    powers = [match for text in prints.values() if (match := _POWER.fullmatch(text)) is not None]
    if not powers:
        return 0
    printed = max(len(match[1] + (match[2] or "")) for match in powers)
    least = min(int(match[3]) for match in powers)
    plain = max(
        (len(str(c.step)) for c in claims if c.step is not None and c.offset not in prints), default=0
    )
    return max(printed, plain if plain <= least else 0)


def settle(claims: list[Claim], prints: Mapping[int, str]) -> Settled:
    """The series with what its rough numbers (offset -> print) say for sure; a repeated print is one value.

    Where more records are left without a counter behind the last that has one than were read, nobody can say
    how far it came, and nothing of it is believed.
    """
    mine = {claim.offset: text for claim in claims if (text := prints.get(claim.offset)) is not None}
    if not mine:
        return Settled(claims, [], None)
    n_digits = n_digits_of(claims, mine)
    asides = _asides(claims, mine)
    out: list[Claim] = []
    unread: list[Claim] = []
    seen = _Seen(len(mine) == len(claims))
    for claim in claims:
        text = mine.get(claim.offset)
        if text is None:
            seen.plain(claim.step)
            out.append(claim)
            unread.clear()  # the print did not change for good
            continue
        rough = bounds_of(text, n_digits)
        if rough is not None and seen.passes_by(rough, asides.get(claim.offset)):
            continue
        if rough is None or not seen.knows(text, rough):
            unread.append(claim)
            continue
        unread.clear()
        if not seen.begins(text, rough):
            out.append(claim._replace(step=seen.least(rough)))
    return _settled(out, unread, (mine, claims[-1]))


def _asides(claims: list[Claim], prints: Mapping[int, str]) -> dict[int, int]:
    """Of prints that stand alone among plain numbers: the next plain number behind them, by their offset."""
    out: dict[int, int] = {}
    alone: list[int] = []
    for claim in claims:
        if claim.offset in prints:
            alone.append(claim.offset)
        elif claim.step is not None:
            out.update(dict.fromkeys(alone if len(alone) <= MOST_ASIDE else (), claim.step))
            alone.clear()
    return out


class _Seen:
    """Where a series has come to."""

    def __init__(self, alone: bool) -> None:
        self._last = -1
        self._stride = 0
        self._values: set[int] = set()
        self._begin = ""  # the print in which a training began
        self._alone = alone  # no plain number is in it
        self._led: set[bool] = set()  # kinds of prints to which it has led: those with groups, the others

    def plain(self, value: int | None) -> None:
        """A plain number."""
        if value is None:
            return
        if self._last >= 0:
            self._stride = max(self._stride, value - self._last)
        if len(self._values) < LEAST_PLAIN:
            self._values.add(value)
        self._last, self._begin = value, ""

    def knows(self, text: str, rough: Rough) -> bool:
        """Whether the print is the counter's."""
        grouped = _GROUPS.fullmatch(text) is not None
        if rough.sure or grouped in self._led or (self._alone and not grouped):
            return True
        near = self._last < rough.high and rough.low <= self._last + REACH * self._stride
        if len(self._values) < LEAST_PLAIN or not near:
            return False
        self._led.add(grouped)
        return True

    def passes_by(self, rough: Rough, next_plain: int | None) -> bool:
        """Whether plain numbers go on below the print: a sentence names another moment of the training."""
        return next_plain is not None and 0 <= self._last <= next_plain < rough.low

    def begins(self, text: str, rough: Rough) -> bool:
        """Whether a training begins in so rough a number: only where it changes is known how far it is."""
        if text == self._begin:
            return True
        inexact = rough.low < rough.high
        self._begin = text if inexact and (self._last < 0 or rough.high < self._last) else ""
        if self._begin:
            self._last = rough.low
        return self._begin != ""

    def least(self, rough: Rough) -> int:
        """What is sure of a number that is known: one that was passed before may be meant once more."""
        self._last = self._last if rough.low <= self._last <= rough.high else rough.low
        return self._last


def _settled(out: list[Claim], unread: list[Claim], of: tuple[Mapping[int, str], Claim]) -> Settled:
    """What was read, the moments at which the log went on behind it, and the words of that. `of`: the prints,
    and the last record of all."""
    prints, final = of
    rises = sum((a.step or 0) <= (b.step or 0) for a, b in pairwise(unread))
    counts = len(unread) >= LEAST_UNREAD and unread[0].step != unread[-1].step
    if not counts or rises < RISING * (len(unread) - 1):
        unread = []  # no counter: a step's time, a size
    alive = unread[:: -(-len(unread) // MOST_ALIVE)] + unread[-1:] if unread else []
    if not unread and final.offset in prints and (len(out) < 2 or out[-1].step == out[-2].step):
        alive = [final]  # its print stands still for long
    marks = [
        Claim(c.offset, "phase", at=c.at, naive=c.naive, phase=UNREAD, rank=c.rank, advances=False)
        for c in alive
    ]
    if not unread:
        return Settled(out, marks, None)
    problem = (
        f"unread-counter: {len(unread)} records up to the log's end count in a print that is not read, from "
        f"byte {unread[0].offset} on ({prints[unread[0].offset]}): print whole plain numbers, such as 12345"
    )
    return Settled(out, marks, problem) if len(out) >= len(unread) else Settled([], [], problem)
