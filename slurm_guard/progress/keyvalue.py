"""Generic training lines: `step=10 loss=2.3 tokens=…`, `step: 20  loss: 8.1`, `iter 10: loss …`, `[50/1000]`.

The clock must be a whole number beside a known word. Where the line only puts a space between the two
(`Step 3 of the set-up`), it counts only beside a metric, because prose does that too.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from slurm_guard.progress.beside import evaluates, is_place, names_evaluation, qualifies
from slurm_guard.progress.keys import (
    EPOCH_KEYS,
    LOSS_KEYS,
    SAMPLE_KEYS,
    STEP_KEYS,
    TOKEN_KEYS,
    TOOK_KEYS,
    is_eval,
)
from slurm_guard.progress.protocol import MICRO, NOTHING, Claim, Tailed
from slurm_guard.progress.tqdm import find_bar
from slurm_guard.progress.values import (
    STAMP,
    STAMP_WITHIN,
    find_stamp,
    goes_on,
    to_count,
    to_float,
    to_instant,
    to_loss,
    to_seconds,
)

Place = slice  # of a line

_WORDS = "|".join(
    re.escape(word).replace("\\ ", "[ _]")
    for word in sorted((*STEP_KEYS, *EPOCH_KEYS, "s"), key=len, reverse=True)
)
# word, separator, number, optional "/ total" or "of total", in a lowered line. All repetition is bounded.
# A comma belongs to the number before three digits only: `Epoch: 001, Loss: …` has none, and of `iter: 5,20`
# nobody can say which of the two counts.
# It stands at the beginning, behind a separator, or behind a slash after a digit: asked in the order that
# lets the engine leave most places at once.
_CLOCK = re.compile(
    r"(?=[a-z_])(?<![^\s\[({|,;:'\">*/])(?:(?<!/)|(?<=\d/))(?:train(?:er|ing)?/)?("
    + _WORDS
    + r")(?:\(train\))?"
    r"(['\"]?[ \t]{0,40}[=:|][ \t|]{0,20}|[ \t]{0,3}(?:: )?[#\[][ \t]{0,12}|[ \t]{1,12})"
    r"['\"]?(\d(?:[\d_]|,(?=\d{3}(?!\d))){0,20}(?:\.\d{1,12})?)(?![\d.]*[eE\w%]|,\d)"
    r"(?:[ \t]{0,12}(?:/|of )[ \t]{0,12}(\d(?:\d|,(?=\d{3}(?!\d))){0,15})(?!,?\d))?",
)
# Epoch: [0][ 10/5005], `| epoch   1 |   200/2983 batches |` of PyTorch's language model, and Lightning's Rich
# bar, `Epoch 0/9 ━━━━━━ 50/100 0:00:06 …`
_INNER = re.compile(
    r"(?:\[|\|(?= {1,6}\d{1,12}/ {0,6}\d{1,12} batches)|[━╸╺]{2} (?=\d))"
    r"[ \t]{0,6}(\d{1,12})/ {0,6}(\d{1,12})[ \t(\]]"
)
# timm and Swin: `Train: 0 [ 50/1251 (4%)]`, `Train: [0/300][50/1251]` with the epoch before the batch
_TRAIN = re.compile(r"\bTrain: \[?(\d{1,7})(?:/\d{1,7}\])?[ \t]{0,4}(?=\[)")
_PAIR = re.compile(
    r"(?:^|(?<=[\s\[({|,;'\">-]))((?:[A-Za-z_][\w.-]{0,30}/){0,3}[A-Za-z_][\w.]{0,40}(?: loss)?)"
    r"['\"]?[ \t]{0,12}[=:|][ \t|]{0,12}['\"]?([-+]?[\d.][\d.,_]{0,24}(?:[eE][-+]?\d{1,3})?)(?![\w%]|[.,_]\d)"
)  # a whole number: `4.19B` and `98.00M` are none, nor is what stands before their point
_LOSS = re.compile(r"\bloss[=:]? {0,2}\d|\brmse", re.IGNORECASE)  # DeePMD has the latter
CLOCK_WITHIN = 1024  # characters in which a line names its clock (judgement)
_COMPANION = re.compile(
    r"loss|\blr\b|learning.rate|grad.?norm|tok(?:en)?s?/s|tokens_per|\bppl\b|perplex|\btime\b|acc|\bmfu\b|"
    r"ms/|it/s|s/it|verlust|genauigkeit|\beta\b|reward|samples/s|throughput|tflop|train_time|\btrl\b|\btel\b|elapsed",
    re.IGNORECASE,
)
# Ten and more digits before the point are seconds (or less) since 1970: no duration is that long.
_TIMES = re.compile(
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


# Every pattern here takes any digit where it takes one: of lines that differ in digits alone each says the
# same things at the same places.
_SHAPE = bytes.maketrans(b"123456789", b"000000000")
MAX_SHAPES = 512  # remembered of one file …
MAX_SHAPED = 512  # … with at most so many characters (together 300 kB)
UNASKED = 4096  # lines without a look at their shape, after as many shapes that helped little (judgement)
_LONG_NUMBER = re.compile(
    r"[\d,_]{16}"
)  # may be no whole number of ours: what counts is not told by the shape


class _Plan(NamedTuple):
    """What stands where in a line of one shape."""

    key: str  # the clock's word; "": no clock, "eval": an evaluation's counter, "bar": maybe a bar's
    step: Place | None = None
    total: Place | None = None
    epoch: Place | None = None
    values: tuple[tuple[str, str, Place], ...] = ()  # (kind, last part of the name, place)
    evaluates: bool = False  # its metrics are an evaluation's, unless it tells a loss of training
    stamped: bool = False
    timed: bool = False


_VALUES = frozenset(("tokens", "samples", "loss", "took"))
_NO_CLOCK, _EVAL = _Plan(""), _Plan("eval")


class KeyValueLines(Tailed):
    """The fallback for lines that no named format claims; `step-less` epochs are a clock of their own."""

    name = "keyvalue"
    # What `_CLOCK` or `_TRAIN` has behind a needle, or more: prose with these words has no number there.
    tail = re.compile(rb"[A-Za-z_]{0,24}(?:\(train\))?['\"]?[ \t=:|#\[]{0,64}['\"]?[0-9\x80-\xff]")
    needles: tuple[bytes, ...] = (
        b"step", b"Step", b"iter", b"Iter", b"poch", b"update", b"Update", b"batch", b"Batch", b"Train:",
        b"trl:", b"STEP", b"EPOCH", b"ITER", b"chritt",
    )  # fmt: skip

    def __init__(self) -> None:
        self._plans: dict[bytes, _Plan] = {}
        self._n_known = 0  # lines whose shape was remembered, since the shapes were forgotten last
        self._n_unasked = 0  # lines to come whose shape is not looked at: too many differ

    def read(self, text: str, offset: int) -> Claim | None:
        plan = self._plan(text)
        if plan is _NO_CLOCK:
            return None
        if plan is _EVAL:
            return Claim(offset, "phase", phase="eval", advances=False)
        return _claim(text, offset, plan)

    def _plan(self, text: str) -> _Plan:
        """The line's plan: remembered, or made."""
        if self._n_unasked or len(text) > MAX_SHAPED or not text.isascii():
            self._n_unasked -= self._n_unasked > 0
            return _plan_of(text)
        shape = text.encode("ascii").translate(_SHAPE)
        plan = self._plans.get(shape)
        if plan is not None:
            self._n_known += 1
            return plan
        plan = _plan_of(text)
        if _LONG_NUMBER.search(text) is None:
            if len(self._plans) >= MAX_SHAPES:
                self._n_unasked = 0 if self._n_known > MAX_SHAPES else UNASKED
                self._plans.clear()
                self._n_known = 0
            self._plans[shape] = plan
        return plan

    def settle(self, claims: list[Claim]) -> list[Claim]:
        if claims and claims[0].key == "epoch":
            return [c._replace(step=round((c.epoch or 0.0) * MICRO)) for c in claims]
        return claims


def _plan_of(text: str) -> _Plan:
    """The best clock in the line, and the values beside it."""
    best: tuple[int, str, Place, Place | None] | None = None
    epoch: Place | None = None
    after = 0
    companion: bool | None = None  # not looked for yet
    for match in _clocks(text):
        # `Learning iteration 12/1500` says what it is, too.
        if not _speaks_for_itself(match[2]) and not (match[1] == "iteration" and match[4]):
            if companion is None:
                companion = _COMPANION.search(text) is not None
            if not companion:
                continue
        if goes_on(text, match.end(3)) or goes_on(text, match.end()):
            continue
        if is_place(text, match.start(), match[2], match[4]):
            continue
        if evaluates(text, match.start()):
            return _EVAL
        if qualifies(text, match.start()):
            continue
        word = match[1].replace(" ", "_")
        if word in EPOCH_KEYS:
            if epoch is None:
                epoch, after = slice(*match.span(3)) if to_float(match[3]) is not None else None, match.end()
            continue
        if to_count(match[3]) is None or "." in match[3]:
            continue
        rank = _ORDER.get(word, len(_ORDER))
        if best is None or rank < best[0]:
            best = (rank, word, slice(*match.span(3)), slice(*match.span(4)) if match[4] else None)
    if (best is not None or epoch is not None) and names_evaluation(text):
        return _EVAL
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
        elif "%|" in text:
            return _with_values(text, "bar", epoch=epoch)
    if best is None:
        return _NO_CLOCK if epoch is None else _with_values(text, "epoch", epoch=epoch)
    return _with_values(text, best[1], best[2], best[3], epoch)


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


def _clocks(text: str) -> Iterator[re.Match[str]]:
    """Each clock in the line, at most eight."""
    head = text[:CLOCK_WITHIN]
    lowered = head.lower()
    return islice(_CLOCK.finditer(lowered if len(lowered) == len(head) else head), 8)  # places are the text's


def _speaks_for_itself(glue: str) -> bool:
    """`step=1` and `step: 1` do; a mere space or `step = 1` (also code) needs a metric beside it."""
    plain = glue.strip("'\" \t")
    return plain in ("=", ":", "|") and not (plain == "=" and glue.startswith(" "))


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
) -> _Plan:
    """The clock's plan with every known value beside it."""
    values: list[tuple[str, str, Place]] = []
    kinds = set()
    for match in _PAIR.finditer(text):
        kind, last = _kind_of(match[1])
        kinds.add(kind)
        if kind in _VALUES and not goes_on(text, match.end(2)):
            values.append((kind, last, slice(*match.span(2))))
    stamped = _is_stamped(text, step or epoch)
    evaluates = "eval" in kinds and "loss" not in kinds and "other" not in kinds
    return _Plan(key, step, total, epoch, tuple(values), evaluates, stamped, _TIMES.search(text) is not None)


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


def _claim(text: str, offset: int, plan: _Plan) -> Claim | None:
    """The claim of a line after its plan; null: no bar that trains, where it had to be one."""
    key = plan.key
    step = None if plan.step is None else to_count(text[plan.step])
    total = None if plan.total is None else to_count(text[plan.total])
    if key == "bar":  # one that names its epoch counts its batches; any other is left to the bars' reader
        bar = find_bar(text)
        if bar is None or not bar.trains():
            return None
        if bar.n == 0:
            return NOTHING  # Lightning empties the bar before it names the next epoch
        key, step, total = "batch", bar.n, bar.total
    epoch = None if plan.epoch is None else to_float(text[plan.epoch])
    samples = tokens = None
    loss = took_s = None
    for kind, last, place in plan.values:
        value = text[place]
        if kind == "loss":
            loss = to_loss(value.rstrip(",.")) if loss is None else loss
        elif kind == "tokens":
            tokens = to_count(value) if tokens is None else tokens
        elif kind == "samples":
            samples = to_count(value) if samples is None else samples
        else:
            took_s = to_seconds(value, last) if took_s is None else took_s
    at, naive = find_stamp(text) if plan.stamped else (None, False)
    if at is None and plan.timed:
        match_at = _TIMES.search(text)
        at = to_instant(match_at[1]) if match_at else None
    return Claim(
        offset,
        key,
        step,
        samples,
        tokens,
        total,
        loss,
        epoch if epoch is not None and epoch < 1e6 else None,
        at,
        naive,
        "eval" if plan.evaluates else "train",
        took_s=took_s,
    )
