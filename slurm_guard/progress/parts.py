"""Of which part a row of a CSV or JSON log is: the training's, or an evaluation's, as a name in it says."""

import re
from typing import Any

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


def _is_number(name: str, value: Any) -> bool:
    return isinstance(value, int) and name.startswith("is_")
