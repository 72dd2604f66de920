"""tqdm bars: `desc:  6%|▋ | 1/16 [00:58<14:40, 58.70s/it]`. Weak: a bar may be a download."""

import re
from typing import NamedTuple

from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import to_count

# From the percent sign on; n/total, elapsed<eta, rate. Units other than iterations are not progress.
_BAR = re.compile(
    r"(\d{1,3})%\|[^|]{0,200}\| {0,4}(\d{1,12})/(\d{1,12}) \[[\d:]{4,12}<[\d:?]{1,12}, {0,3}"
    r"[\d.?]{1,10} {0,2}"
    r"(?:it/s|s/it|steps?/s|s/step|batch(?:es)?/s|s/batch)"
)
_EVAL_WORDS = ("eval", "valid", "test", "predict", "sampl", "generat", "fid")
_OTHER_WORDS = ("download", "load", "fetch", "map", "token", "filter", "process", "group", "sav", "shard")


class Bar(NamedTuple):
    """One drawn bar."""

    n: int
    total: int
    desc: str  # lower case, at most 60 characters


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
    return Bar(n, total, text[max(0, last.start() - 60) : last.start()].strip().lower())


class TqdmLines:
    """Bars as weak claims: liveness, and steps only where nothing better speaks."""

    name = "tqdm"
    needles: tuple[bytes, ...] = (b"it/s", b"s/it", b"step/s", b"s/step", b"batch/s", b"s/batch")

    def read(self, text: str, offset: int) -> Claim | None:
        bar = find_bar(text)
        if bar is None or any(word in bar.desc for word in _OTHER_WORDS):
            return None
        if any(word in bar.desc for word in _EVAL_WORDS):
            return Claim(offset, "phase", phase="eval", advances=False)
        return Claim(offset, f"bar{bar.total}", step=bar.n, total=bar.total)

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims
