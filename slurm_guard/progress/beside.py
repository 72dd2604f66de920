"""What the words before a line's clock make of it: an evaluation's counter, another count, a line of code."""

import re

from slurm_guard.progress.values import STAMP

# Composer's `[Eval batch=1/50]`, torchtitan's `validate step: 20`, `[Validation] Step 10/50`, `| valid | …`,
# PaddleClas' `[Eval][Epoch 3][Iter: 10/40]`: no counter of the training.
_EVALUATES = re.compile(
    r"(?:^|[\s\[(|])(?:val|dev|cv|(?:eval(?:uat)?|valid(?:at)?|test|inference)(?:e|ion|ing)?)"
    r"[\])|:=(\[ \t_-]{1,4}$",
    re.IGNORECASE,
)
# `mode=val epoch=1 step=10`: the line says so under a name, wherever that stands
_MODE = re.compile(
    r"(?:^|[\s,\[({|'\"])(?:mode|split|phase|stage|subset)['\"]?[ \t]?[=:][ \t]?['\"]?"
    r"(?:val|dev|(?:eval(?:uat)?|valid(?:at)?|test)(?:e|ion|ing)?)(?![\w-])",
    re.IGNORECASE,
)
# … or in its framework's words: fairseq's `valid on 'valid1' subset`, icefall's `Epoch 1, validation: loss=`,
# MaxText's `eval metrics after step: 20`, DeepSpeed-Chat's `***** Evaluating perplexity, Epoch 1/1 *****` …
_WORDED = re.compile(
    r"(?<!\w)valid on '|, validation: loss|(?<!\w)eval metrics after |\*{5} evaluating ", re.IGNORECASE
)
# … and where no clock of the training's can be in it: OLMo's `[eval_step=10/60]`, MaxText's line of a batch
_WITHOUT_CLOCK = re.compile(r"\[eval_step=\d{1,9}/\d|(?<!\w)completed eval step \d", re.IGNORECASE)
# A word before the clock that makes another count of it: a rate, a bound, a part of a step, what is left.
# `12.3 ms step: 5` ends a duration; a level's own iterations go on faster than the whole solver's.
_QUALIFIES = re.compile(
    r"(?:^|[^\w])(?:fps|per|every|avg|average|mean|median|(?<![\d.])(?<![\d.][ \t])ms|best|max(?:imum)?|"
    r"min(?:imum)?|remaining|skipped|micro|inner|sampling|denoising|throughput|warm[-_ ]?up|"
    r"p?cg|f?gmres|bicg(?:stab)?|krylov|linear|line[-_ ]search|sub|(?<!\[)level[ \t]\d{1,2})[ \t:_-]{1,3}$",
    re.IGNORECASE,
)
# `PGD step 3/5`: the word names the loop that is counted
_LOOP = re.compile(r"(?:^|[\s\[({|,;:'\">*/-])([A-Za-z][A-Za-z_-]{0,22})[ \t]{1,2}$")
_NO_LOOP = frozenset(("train", "training", "trainer", "learning", "global", "current", "at", "info"))
# AMReX's `[Level 1 step 8]` goes on faster than the simulation's own step, which is level 0's
_LEVEL = re.compile(r"\[Level (\d{1,2}) $")
_TRAINS = re.compile(r"(?:^|[\s\[(|:])train(?:ing)?[ \t]$", re.IGNORECASE)
_RULE = re.compile(r"[ \t]{0,8}([=*#-])\1{2,120}[ \t]{1,8}|[ \t]{1,8}([=*#-])\2{2,120}[ \t]{0,8}")
_DAY = re.compile(r"-\d\d-\d\d|/\d{4}")
_HOUR = re.compile(r"[ T]?\d{0,2}:\d\d")
_STAMPED = re.compile(rf"(?:{STAMP.pattern})[:,]? {{1,4}}")
_WITHIN = 24  # characters before the clock in which such a word stands
_NAMED_WITHIN = 512  # … and of the line, where it stands under a name


def evaluates(text: str, at: int) -> bool:
    """Whether the clock that begins at `at` is an evaluation's, by the word before it."""
    return _EVALUATES.search(text, max(0, at - _WITHIN), at) is not None


def names_evaluation(text: str) -> bool:
    """Whether the line says under a name, or in words, that it is an evaluation's."""
    return (
        _MODE.search(text, 0, _NAMED_WITHIN) is not None or _WORDED.search(text, 0, _NAMED_WITHIN) is not None
    )


def lasts_evaluation(text: str) -> bool:
    """Whether a line without a clock is printed while an evaluation lasts."""
    return "eval" in text and _WITHOUT_CLOCK.search(text, 0, _NAMED_WITHIN) is not None


def qualifies(text: str, at: int) -> bool:
    """Whether the word before `at` makes another count of the clock there."""
    return _QUALIFIES.search(text, max(0, at - 16), at) is not None


def loop_of(text: str, at: int) -> str:
    """The word right before the clock that names what it counts, lower case; "": none but the training's."""
    match = _LOOP.search(text, max(0, at - _WITHIN), at)
    word = match[1].lower() if match else ""
    return "" if word in _NO_LOOP else word


def level_at(text: str, at: int) -> slice | None:
    """Where the level stands whose step the clock at `at` is, as AMReX prints it; null: it is no level's."""
    match = _LEVEL.search(text, max(0, at - _WITHIN), at)
    return slice(*match.span(1)) if match else None


def is_said(text: str, match: re.Match[str]) -> bool:
    """Whether the clock says what it is without a metric beside it; groups: word, glue, number, total.

    `Learning iteration 12/1500`, AReaL's `Train step 5/1160 done.`, NeMo-RL's `===== Step 1/500 =====`,
    AMReX's `[Level 0 step 7] ADVANCE with dt = 0.1`, and nnU-Net's `2026-08-01 10:11:12.5: Epoch 12`, which
    is all of the line.
    """
    before, behind = text[: match.start()], text[match.end() :]
    if match[4] is not None:
        if match[1] == "iteration" or _TRAINS.search(before[-_WITHIN:]) is not None:
            return True
        return _RULE.fullmatch(before) is not None and _RULE.fullmatch(behind) is not None
    if match[1] == "step" and level_at(text, match.start()) is not None:
        return behind.lstrip(" ").lower().startswith("] advance")
    return match[1] == "epoch" and not behind.strip() and _STAMPED.fullmatch(before) is not None


def is_date(text: str, match: re.Match[str]) -> bool:
    """`Last update: 2026-11-26`, `update: 5/12 12:00`: no number that counts; groups as of `is_said`."""
    behind = text[match.end() : match.end() + 8]
    return _DAY.match(behind) is not None or (match[1] == "update" and _HOUR.match(behind) is not None)


def is_place(text: str, at: int, glue: str, total: str | None) -> bool:
    """`engine:step:45` is a function and a line of code, as loguru prints them: no clock.

    `glue`: what stands between the word at `at` and its number; `total`: the total behind that, if any.
    """
    return glue == ":" and total is None and at > 1 and text[at - 1] == ":" and _in_name(text[at - 2])


def _in_name(char: str) -> bool:
    return char.isalnum() or char in "_.>"
