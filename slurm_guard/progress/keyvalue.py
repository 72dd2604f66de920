"""Generic training lines: `step=10 loss=2.3 tokens=…`, `step: 20  loss: 8.1`, `iter 10: loss …`, `[50/1000]`.

The clock must be a whole number beside a known word. Where the line only puts a space between the two
(`Step 3 of the set-up`), it counts only beside a metric, because prose does that too.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from slurm_guard.progress.keys import (
    EPOCH_KEYS,
    LOSS_KEYS,
    SAMPLE_KEYS,
    STEP_KEYS,
    TOKEN_KEYS,
    TOOK_KEYS,
    is_eval,
)
from slurm_guard.progress.protocol import MICRO, Claim
from slurm_guard.progress.tqdm import find_bar
from slurm_guard.progress.values import find_stamp, to_count, to_float, to_instant, to_loss, to_seconds

_WORDS = "|".join(
    re.escape(word).replace("\\ ", "[ _]")
    for word in sorted((*STEP_KEYS, *EPOCH_KEYS, "s"), key=len, reverse=True)
)
# word, separator, number, optional "/ total" or "of total", in a lowered line. All repetition is bounded.
# It stands at the beginning, behind a separator, or behind a slash after a digit: asked in the order that
# lets the engine leave most places at once.
_CLOCK = re.compile(
    r"(?=[a-z_])(?<![^\s\[({|,;:'\">*/])(?:(?<!/)|(?<=\d/))(?:train(?:er|ing)?/)?("
    + _WORDS
    + r")(?:\(train\))?"
    r"(['\"]?[ \t]{0,40}[=:|][ \t|]{0,20}|[ \t]{0,3}(?:: )?[#\[][ \t]{0,12}|[ \t]{1,12})"
    r"['\"]?(\d[\d,_]{0,20}(?:\.\d{1,12})?)(?![\d.]*[eE\w%])"
    r"(?:[ \t]{0,12}(?:/|of )[ \t]{0,12}(\d[\d,]{0,15}))?",
)
_INNER = re.compile(r"\[[ \t]{0,6}(\d{1,12})/(\d{1,12})[ \t(\]]")  # Epoch: [0][ 10/5005]
# timm and Swin: `Train: 0 [ 50/1251 (4%)]`, `Train: [0/300][50/1251]` with the epoch before the batch
_TRAIN = re.compile(r"\bTrain: \[?(\d{1,7})(?:/\d{1,7}\])?[ \t]{0,4}(?=\[)")
# Composer's `[Eval batch=1/50]`, torchtitan's `validate step: 20`: no counter of the training
_EVALUATES = re.compile(
    r"(?:^|[\s\[(])(?:val|(?:eval(?:uat)?|valid(?:at)?|test|inference)(?:e|ion|ing)?)[ :_-]{1,3}$",
    re.IGNORECASE,
)
_PAIR = re.compile(
    r"(?:^|(?<=[\s\[({|,;'\">-]))((?:[A-Za-z_][\w.-]{0,30}/){0,3}[A-Za-z_][\w.]{0,40}(?: loss)?)"
    r"['\"]?[ \t]{0,12}[=:|][ \t|]{0,12}['\"]?([-+]?[\d.][\d.,_]{0,24}(?:[eE][-+]?\d{1,3})?)(?![\w])"
)
CLOCK_WITHIN = 1024  # characters in which a line names its clock (judgement)
_COMPANION = re.compile(
    r"loss|\blr\b|learning.rate|grad.?norm|tok(?:en)?s?/s|tokens_per|\bppl\b|perplex|\btime\b|acc|\bmfu\b|"
    r"ms/|it/s|s/it|\beta\b|reward|samples/s|throughput|tflop|train_time|\btrl\b|\btel\b|elapsed",
    re.IGNORECASE,
)
# Ten and more digits before the point are seconds (or less) since 1970: no duration is that long.
_TIMES = re.compile(
    r"(?:^|[\s,{])(?:ts|timestamp|time_ms|time|t|now|unixtime|unix_time|wall_time)['\"]?[=:] ?"
    r"(\d{10,19}(?:\.\d{1,9})?)(?![\w.])"
)
_ORDER = {word: index for index, word in enumerate(STEP_KEYS)}


class KeyValueLines:
    """The fallback for lines that no named format claims; `step-less` epochs are a clock of their own."""

    name = "keyvalue"
    needles: tuple[bytes, ...] = (
        b"step", b"Step", b"iter", b"Iter", b"poch", b"update", b"Update", b"batch", b"Batch", b"Train:",
        b"trl:", b"STEP", b"EPOCH", b"ITER",
    )  # fmt: skip

    def read(self, text: str, offset: int) -> Claim | None:
        best: tuple[int, str, int, int | None] | None = None
        epoch: float | None = None
        after = 0
        for word, glue, number, total, (begin, end) in _clocks(text):
            if not _believable(glue, text):
                continue
            if _EVALUATES.search(text, max(0, begin - 16), begin) is not None:
                return Claim(offset, "phase", phase="eval", advances=False)
            if word in EPOCH_KEYS:
                epoch, after = (to_float(number), end) if epoch is None else (epoch, after)
                continue
            step = to_count(number)
            if step is None or "." in number:
                continue
            rank = _ORDER.get(word, len(_ORDER))
            if best is None or rank < best[0]:
                best = (rank, word, step, to_count(total))
        if best is None and "Train:" in text:
            match = _TRAIN.search(text, 0, 128)
            if match is not None and _INNER.match(text, match.end()) is not None:
                epoch, after = float(match[1]), match.end()
        if best is None and epoch is not None:
            best = self._inner(text, after)
            if best is None and "%|" in text:
                return self._bar(text, offset, epoch)
        if best is None and epoch is None:
            return None
        return _claim(text, offset, best, epoch)

    def _bar(self, text: str, offset: int, epoch: float) -> Claim | None:
        """A bar that names its epoch counts the epoch's batches; any other is left to the bars' reader."""
        bar = find_bar(text)
        if bar is None or not bar.trains():
            return None
        return _claim(text, offset, (len(_ORDER), "batch", bar.n, bar.total), epoch)

    def _inner(self, text: str, after: int) -> tuple[int, str, int, int | None] | None:
        """The batch inside an epoch, where the line has it in brackets."""
        match = _INNER.search(text, after, 256)
        if match is None:
            return None
        step = to_count(match[1])
        return None if step is None else (len(_ORDER), "batch", step, to_count(match[2]))

    def settle(self, claims: list[Claim]) -> list[Claim]:
        if claims and claims[0].key == "epoch":
            return [c._replace(step=round((c.epoch or 0.0) * MICRO)) for c in claims]
        return claims


def _clocks(text: str) -> Iterator[tuple[str, str, str, str | None, tuple[int, int]]]:
    """(word, glue, number, total, place) of each clock in the line, at most eight."""
    for index, match in enumerate(_CLOCK.finditer(text[:CLOCK_WITHIN].lower())):
        if index >= 8:
            return
        yield match[1].replace(" ", "_"), match[2], match[3], match[4], match.span()


def _believable(glue: str, text: str) -> bool:
    """`step=1` and `step: 1` speak for themselves; a mere space or `step = 1` (also code) needs a metric."""
    plain = glue.strip("'\" \t")
    if plain in ("=", ":", "|") and not (plain == "=" and glue.startswith(" ")):
        return True
    return _COMPANION.search(text) is not None


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


def _claim(
    text: str, offset: int, best: tuple[int, str, int, int | None] | None, epoch: float | None
) -> Claim:
    """The claim with every known value beside the clock."""
    samples = tokens = None
    loss = took_s = None
    n_eval = n_other = 0
    for match in _PAIR.finditer(text):
        kind, last = _kind_of(match[1])
        if kind == "":
            continue
        value = match[2]
        n_eval += kind == "eval"
        n_other += kind in ("loss", "other")
        if kind == "tokens":
            tokens = to_count(value) if tokens is None else tokens
        elif kind == "samples":
            samples = to_count(value) if samples is None else samples
        elif kind == "loss":
            loss = to_loss(value.rstrip(",.")) if loss is None else loss
        elif kind == "took":
            took_s = to_seconds(value, last) if took_s is None else took_s
    at, naive = find_stamp(text)
    if at is None:
        match_at = _TIMES.search(text)
        at = to_instant(match_at[1]) if match_at else None
    return Claim(
        offset,
        "epoch" if best is None else best[1],
        step=None if best is None else best[2],
        samples=samples,
        tokens=tokens,
        total=None if best is None else best[3],
        loss=loss,
        epoch=epoch if epoch is not None and epoch < 1e6 else None,
        at=at,
        naive=naive,
        took_s=took_s,
        phase="eval" if n_eval and not n_other and loss is None else "train",
    )
