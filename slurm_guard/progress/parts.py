"""Of which part a row of a CSV or JSON log is: the training's, or an evaluation's, as a name in it says."""

import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from slurm_guard.progress.protocol import Claim

_NAMES = (
    "phase", "mode", "split", "stage", "subset", "partition", "set", "dataset", "part", "data_split",
    "split_name", "type",
)  # fmt: skip
_TRAINS = ("is_train", "is_training", "training", "train")  # flags: whether it is the training's …
_EVALUATES = ("is_eval", "is_val", "is_valid", "is_validation", "is_test", "evaluation", "eval")
PART_NAMES = (*_NAMES, *_TRAINS, *_EVALUATES)
_KNOWN = frozenset(PART_NAMES)
_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), False),
    **dict.fromkeys(("val", "valid", "validation", "validate", "validating", "dev", "test", "testing"), True),
    **dict.fromkeys(("eval", "evaluation", "evaluate", "evaluating"), True),
}
# Of an evaluation, or of a second training: `stage=prediction` after `stage=tokenizer`
_PREDICTS = frozenset(("predict", "predicts", "predicting", "prediction", "infer", "inference", "inferring"))
RECURS = 2  # times that such rows lie between the training's (judgement) …
OWN = 0.8  # … of which so many count on their own, below where it is, and the training goes on behind them
_LONGEST = 32  # characters of such a word with what else names the part, `dev-clean`, or more
_LETTERS = re.compile("[a-z]{1,32}")


def usual_part(name: str) -> str:
    """The name as it is known here: small letters, `_` for blanks."""
    return name.lower().replace(" ", "_")


def says_part(name: str) -> bool:
    """Whether a column or key of this name may say the part."""
    return usual_part(name) in _KNOWN


def is_evaluation(name: str, value: Any) -> bool | None:
    """Whether the row is an evaluation's, by the value under a name of `PART_NAMES`; null: it does not say.

    `dataset: imagenet` and `train: 0.3` do not; a number says so only under `is_…`.
    """
    if isinstance(value, str):
        if len(value) > _LONGEST:
            return None
        value = value.strip().lower()
        if name in _NAMES:
            said = {_WORDS[word] for word in _LETTERS.findall(value) if word in _WORDS}
            return said.pop() if len(said) == 1 else None  # `train_eval` says neither
        value = {"true": True, "false": False, "1": 1, "0": 0}.get(value)
    if name in _NAMES or not (isinstance(value, bool) or (value in (0, 1) and _is_number(name, value))):
        return None
    return bool(value) if name in _EVALUATES else not value


def predicts(parts: Iterable[tuple[str, Any]]) -> bool:
    """Whether a row whose parts (usual name and value) name no known one is a prediction's."""
    said = False
    for name, value in parts:
        if is_evaluation(name, value) is not None:
            return False
        if isinstance(value, str) and len(value) <= _LONGEST and name in _NAMES:
            said |= not _PREDICTS.isdisjoint(_LETTERS.findall(value.lower()))
    return said


def with_predictions(claims: list[Claim], predicted: set[int]) -> list[Claim]:
    """The claims, those at the offsets `predicted` made evaluations' where they recur between the training's
    and count on their own. Such rows behind all others, or with the training's counter, may train."""
    rows = [claim for claim in claims if claim.phase != "eval" and claim.clock() is not None]
    runs = [(is_one, list(run)) for is_one, run in groupby(rows, lambda claim: claim.offset in predicted)]
    between = [
        ((before[-1].clock() or 0), (run[0].clock() or 0), (after[0].clock() or 0))
        for (_, before), (is_one, run), (_, after) in zip(runs, runs[1:], runs[2:], strict=False)
        if is_one
    ]
    own = sum(first < before <= after for before, first, after in between)
    if own < RECURS or own < OWN * len(between):
        return claims
    return [claim._replace(phase="eval") if claim.offset in predicted else claim for claim in claims]


def _is_number(name: str, value: Any) -> bool:
    return isinstance(value, int) and name.startswith("is_")
