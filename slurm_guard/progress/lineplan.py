"""What stands where in a training line: its clock, and the values beside it, by the shape of the line.

Every pattern here takes any digit where it takes one: of lines that differ in digits alone each says the
same things at the same places.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from slurm_guard.progress.beside import (
    evaluates,
    is_date,
    is_place,
    is_said,
    lasts_evaluation,
    level_at,
    loop_of,
    names_evaluation,
    qualifies,
)
from slurm_guard.progress.keys import (
    EPOCH_KEYS,
    LOSS_KEYS,
    SAMPLE_KEYS,
    STEP_KEYS,
    TOKEN_KEYS,
    TOOK_KEYS,
    is_eval,
)
from slurm_guard.progress.metrics import companions
from slurm_guard.progress.protocol import LOOP
from slurm_guard.progress.rough import ROUGH
from slurm_guard.progress.values import STAMP, STAMP_WITHIN, goes_on, to_count, to_epoch

Place = slice  # of a line

_WORDS = "|".join(
    re.escape(word).replace("\\ ", "[ _]")
    for word in sorted((*STEP_KEYS, *EPOCH_KEYS, "steps", "s"), key=len, reverse=True)
)
# word, separator, number, optional "/ total" or "of total", in a lowered line. All repetition is bounded.
# A comma belongs to the number before three digits only: `Epoch: 001, Loss: …` has none, and of `iter: 5,20`
# nobody can say which of the two counts.
# It stands at the beginning, behind a separator, or behind a slash after a digit: asked in the order that
# lets the engine leave most places at once.
_COUNTER = (
    r"(?=[a-z_])(?<![^\s\[({|,;:'\">*/，])(?:(?<!/)|(?<=\d/))(?:train(?:er|ing)?/)?("
    + _WORDS
    + r")(?:\(train\))?"
    r"(['\"]?[ \t]{0,40}[=:|：][ \t|]{0,20}|[ \t]{0,3}(?:: )?[#\[][ \t]{0,12}|[ \t]{1,12})"
    r"['\"]?"
)
_CLOCK = re.compile(
    _COUNTER + r"(\d(?:[\d_]|,(?=\d{3}(?!\d))){0,20}(?:\.\d{1,12})?)(?![\d.]*[eE\w%]|,\d)"
    r"(?:[ \t]{0,12}(?:/|of )[ \t]{0,12}(\d(?:\d|,(?=\d{3}(?!\d))){0,15})(?!,?\d))?",
)
_ROUGH = re.compile(_COUNTER + ROUGH + "((?!))?")  # the same, and no total
# Epoch: [0][ 10/5005], `| epoch   1 |   200/2983 batches |` of PyTorch's language model, and Lightning's Rich
# bar, `Epoch 0/9 ━━━━━━ 50/100 0:00:06 …`
_INNER = re.compile(
    r"(?:\[|\|(?= {1,6}\d{1,12}/ {0,6}\d{1,12} batches)|[━╸╺]{2} (?=\d))"
    r"[ \t]{0,6}(\d{1,12})/ {0,6}(\d{1,12})[ \t(\]]"
)
# Lightning's bar of data without a length: `Epoch 0: : 499it [05:20, …`, `Epoch 0: |   | 499/? [05:20<…`
_UNSIZED = re.compile(r": {0,2}(?:: (\d{1,12})it \[|\|[^|]{0,60}\| {0,4}(\d{1,12})/\? \[)")
# timm and Swin: `Train: 0 [ 50/1251 (4%)]`, `Train: [0/300][50/1251]` with the epoch before the batch
_TRAIN = re.compile(r"\bTrain: \[?(\d{1,7})(?:/\d{1,7}\])?[ \t]{0,4}(?=\[)")
_PAIR = re.compile(
    r"(?:^|(?<=[\s\[({|,;'\">，-]))((?:[A-Za-z_][\w.-]{0,30}/){0,3}[A-Za-z_][\w.]{0,40}(?: loss)?)"
    r"['\"]?[ \t]{0,12}[=:|：][ \t|]{0,12}['\"]?"
    r"([-+]?[\d.][\d.,_]{0,24}(?:[eE][-+]?\d{1,3})?)(?![\w%]|[.,_]\d)"
)  # a whole number: `4.19B` and `98.00M` are none, nor is what stands before their point
_LOSS = re.compile(r"\bloss[=:]? {0,2}\d|\brmse", re.IGNORECASE)  # DeePMD has the latter
# A number of three digits with a unit of time or memory, behind a counter and a space.
_MEASURED = re.compile(r" \d{3} ?(?:[mµun]s|secs?|seconds|mins?|minutes|[kKMGT]i?B|[a-z]{1,9}/s(?:ec)?|W)\b")
CLOCK_WITHIN = 1024  # characters in which a line names its clock (judgement)
_TEARABLE = "+,-./:_%0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Ten and more digits before the point are seconds (or less) since 1970: no duration is that long.
TIMES = re.compile(
    r"(?:^|[\s,{])(?:ts|timestamp|time_ms|time|t|now|unixtime|unix_time|wall_time)['\"]?[=:] ?"
    r"(\d{10,19}(?:\.\d{1,9})?)(?![\w.])"
)
# What stands before a date behind the counter that is the writer's …
_NAMES_TIME = re.compile(
    r"[\[(<]$|(?:^|[\s,{'\"@])(?:ts|timestamp|wall_?time)['\"]?[=:] ?['\"]?$", re.IGNORECASE
)
# … and before one that is none wherever it stands.
_MODEL_TIME = re.compile(
    r"\b(?:model|sim|simulat\w{1,6}|forecast)[ _-]?(?:time|date)?[ =:]{0,4}$", re.IGNORECASE
)
_ORDER = {word: index for index, word in enumerate(STEP_KEYS)}


class Plan(NamedTuple):
    """What stands where in a line of one shape."""

    key: str  # the clock's word; "": no clock, "eval": an evaluation's counter, "bar": maybe a bar's
    step: Place | None = None
    total: Place | None = None
    epoch: Place | None = None
    values: tuple[tuple[str, str, Place], ...] = ()  # (kind, last part of the name, place)
    evaluates: bool = False  # its metrics are an evaluation's, unless it tells a loss of training
    stamped: bool = False
    timed: bool = False
    named: str = ""  # the clock's key with the word that names what it counts; "": there is none
    rough: bool = False  # the step's print says more or less which it is
    other: tuple[str, Place] | None = None  # a second clock, or the LEVEL of the first: word and place
    metered: bool = True  # a value of a known metric stands in the line


LEVEL = "level"  # of a refined mesh: 0, whose steps are the simulation's, in one line and 1 in the next
_VALUES = frozenset(("tokens", "samples", "loss", "took"))
_METERS = frozenset(("loss", "took", "other", "eval"))
NO_CLOCK, EVAL = Plan(""), Plan("eval")


def plan_of(text: str) -> Plan:
    """The best clock in the line, and the values beside it."""
    best: tuple[int, str, Place, Place | None] | None = None
    other: tuple[int, str, Place, Place | None] | None = None
    loop, level = "", None
    epoch: Place | None = None
    after = 0
    for match in _telling(text):
        if evaluates(text, match.start()):
            return EVAL
        if qualifies(text, match.start()):
            continue
        word = "step" if match[1] == "steps" else match[1].replace(" ", "_")
        if word in EPOCH_KEYS:
            if epoch is None:
                epoch, after = slice(*match.span(3)) if to_epoch(match[3]) is not None else None, match.end()
                loop = loop_of(text, match.start()) if best is None else loop
            continue
        if to_count(match[3]) is None or "." in match[3]:
            continue
        # of `10/50 000` the counter alone
        total = slice(*match.span(4)) if match[4] and not goes_on(text, match.end(4)) else None
        clock = (_ORDER.get(word, len(_ORDER)), word, slice(*match.span(3)), total)
        if best is None or clock[0] < best[0]:
            best, other = clock, best
            loop, level = loop_of(text, match.start()), level_at(text, match.start())
        elif other is None:
            other = clock
    if (best is not None or epoch is not None) and names_evaluation(text):
        return EVAL
    if best is not None and best[1] == "batch" and not (best[3] or epoch or _counts_batches(text, best[2])):
        best = None
    if best is None and "Train:" in text:
        train = _TRAIN.search(text, 0, 128)
        if train is not None and _INNER.match(text, train.end()) is not None:
            epoch, after = slice(*train.span(1)), train.end()
    if best is None and epoch is not None:
        # the batch inside an epoch, where the line has it in brackets
        inner = _INNER.search(text, after, 256)
        if inner is not None:
            best = (len(_ORDER), "batch", slice(*inner.span(1)), slice(*inner.span(2)))
        elif (unsized := _UNSIZED.match(text, after)) is not None:
            best = (len(_ORDER), "batch", slice(*unsized.span(unsized.lastindex or 1)), None)
        elif "%|" in text:
            return _with_values(text, "bar", epoch=epoch)
    if best is None and (rough := _rough_of(text)) is not None:
        word, place, loop = rough
        return _with_values(text, word, place, None, epoch)._replace(named=_named(word, loop), rough=True)
    if best is None and epoch is None:
        return EVAL if lasts_evaluation(text) else NO_CLOCK
    if best is None:
        return _with_values(text, "epoch", epoch=epoch)._replace(named=_named("epoch", loop))
    plan = _with_values(text, best[1], best[2], best[3], epoch)
    second = (LEVEL, level) if level else other and (other[1], other[2])
    return plan._replace(named=_named(best[1], loop), other=second)


def _rough_of(text: str) -> tuple[str, Place, str] | None:
    """(word, place, loop) of the first counter of steps in the line that is printed as no plain number."""
    for match in _telling(text, _ROUGH):
        if not evaluates(text, match.start()) and not qualifies(text, match.start()):
            word = match[1].replace(" ", "_")
            if word not in EPOCH_KEYS and word != "batch":
                return word, slice(*match.span(3)), loop_of(text, match.start())
    return None


def _telling(text: str, form: re.Pattern[str] = _CLOCK) -> Iterator[re.Match[str]]:
    """The line's clocks that are told for what they are, with whole numbers that count."""
    companion: bool | None = None  # not looked for yet
    for match in _clocks(text, form):
        if match[1] == "steps" and not match[4]:
            continue  # a setting, or a size
        if not _speaks_for_itself(match[2]) and not is_said(text, match):
            if companion is None:
                companion = companions(text)[0]
            if not companion:
                continue
        if form is _CLOCK and _is_longer(text, match.end(3)):
            continue
        if not is_date(text, match) and not is_place(text, match.start(), match[2], match[4]):
            yield match


def _is_longer(text: str, end: int) -> bool:
    """Whether a counter that ends there goes on with more digits: `step 12 345`, but not `step 12 345 ms`."""
    return goes_on(text, end) and _MEASURED.match(text, end) is None


def _named(key: str, loop: str) -> str:
    """The key of a clock whose loop has a name; "" without one."""
    return f"{key}{LOOP}{loop}" if loop else ""


def _counts_batches(text: str, place: Place) -> bool:
    """`batch 1000 loss: 0.9` and Composer's `[metric][batch=20]: …` count; `batch=16` and `'batch': 64` alone
    are sizes."""
    if text[: place.start].endswith("[batch=") and text[place.stop : place.stop + 2] == "]:":
        return True
    return (
        text[place.start - 1] == " "
        and text[: place.start].rstrip()[-1:].isalpha()
        and _LOSS.search(text, place.stop) is not None
    )


def _clocks(text: str, form: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Each clock in the line, at most eight."""
    head = text[:CLOCK_WITHIN]
    if len(text) > CLOCK_WITHIN:
        head = head.rstrip(_TEARABLE)  # the cut may have torn a number
    lowered = head.lower()
    return islice(form.finditer(lowered if len(lowered) == len(head) else head), 8)  # places are the text's


def _speaks_for_itself(glue: str) -> bool:
    """`step=1` and `step: 1` do; a mere space or `step = 1` (also code) needs a metric beside it."""
    plain = glue.strip("'\" \t")
    return plain in ("=", ":", "|", "：") and not (plain == "=" and glue.startswith(" "))


@lru_cache(maxsize=4096)  # a log has few names; a hostile one costs what it did without
def _kind_of(name: str) -> tuple[str, str]:
    """(what a name beside a number means, its last part); "": nothing that is wanted."""
    name = name.lower()
    last = name.rpartition("/")[2]
    if is_eval(name):
        return "eval", last
    if last in TOKEN_KEYS:
        return "tokens", last
    if last in SAMPLE_KEYS:
        return "samples", last
    if last in LOSS_KEYS or name.endswith(" loss") or last == "crossentropyloss":
        return "loss", last
    if last in TOOK_KEYS:
        return "took", last
    return ("other" if last in ("lr", "learning_rate", "grad_norm", "trl") else ""), last


def _with_values(
    text: str, key: str, step: Place | None = None, total: Place | None = None, epoch: Place | None = None
) -> Plan:
    """The clock's plan with every known value beside it."""
    values: list[tuple[str, str, Place]] = []
    kinds = set()
    for match in _PAIR.finditer(text):
        kind, last = _kind_of(match[1])
        kinds.add(kind)
        if kind in _VALUES and not goes_on(text, match.end(2)):
            values.append((kind, last, slice(*match.span(2))))
    stamped = _is_stamped(text, step or epoch)
    metered = key == "bar" or not kinds.isdisjoint(_METERS)
    evaluates = "eval" in kinds and "loss" not in kinds and "other" not in kinds
    timed = TIMES.search(text) is not None
    return Plan(key, step, total, epoch, tuple(values), evaluates, stamped, timed, metered=metered)


def _is_stamped(text: str, clock: Place | None) -> bool:
    """Whether the line's first date is its writer's: a model's, which a climate code prints, is none.

    The writer's own stands before the counter, in brackets or under a time stamp's name.
    """
    match = STAMP.search(text, 0, STAMP_WITHIN + 40)
    if match is None or _MODEL_TIME.search(text, max(0, match.start() - 24), match.start()) is not None:
        return False
    if clock is None or match.start() < clock.start:
        return True
    return _NAMES_TIME.search(text, max(0, match.start() - 24), match.start()) is not None
