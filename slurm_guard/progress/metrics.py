"""The metrics beside a line's clock: words that trainings use, each with a number to it.

`Step 3: I took the time to read it` has such a word as well; a number stands behind a metric's name, or
before a unit. Any digit is as good as another: what is said of a line holds for all lines of its shape.
"""

import re
from itertools import islice

_WORD = re.compile(
    r"loss|\blr\b|learning.rate|grad.?norm|tok(?:en)?s?/s|tokens_per|\bppl\b|perplex|\btime\b|"
    r"acc(?:s|uracy|uracies)?(?![a-z])|\bmfu\b|"
    r"ms/|it/s|s/it|verlust|genauigkeit|\beta\b|reward|samples/s|throughput|tflop|train_time|\btrl\b|\btel\b|elapsed",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d|\b(?:nan|inf)\b", re.IGNORECASE)
_REST = re.compile(r"[\w@/%.-]{0,24}")  # of the name: `loss_avg`, `acc@1`
_WORDS = re.compile(r"[A-Za-z]{1,48}")
WITHIN = 48  # characters behind the name in which its number begins …
BETWEEN = 4  # … with so many words between: `loss on the training set: 0.3` (judgement)
_BEFORE = re.compile(r"\d[ \t]{0,3}[a-z]?$", re.IGNORECASE)
_OF_TIME = frozenset(("time", "eta", "elapsed", "train_time"))
MOST = 16  # words of a line that are looked at …
HEAD = 1024  # … in so many characters from its begin (judgement)


def companions(text: str) -> tuple[bool, bool]:
    """(whether a metric stands in the line, whether one that is no mere time does)."""
    found = False
    for match in islice(_WORD.finditer(text, 0, HEAD), MOST):
        at = match.start()
        if not _number_follows(text, match.end()) and _BEFORE.search(text, max(0, at - 6), at) is None:
            continue
        found = True
        if match[0].lower() not in _OF_TIME:
            return True, True
    return found, False


def _number_follows(text: str, at: int) -> bool:
    """Whether a number stands behind a name of which something ends at `at`."""
    number = _NUMBER.search(text, at, at + WITHIN)
    if number is None:
        return False
    rest = _REST.match(text, at, number.start())
    begin = rest.end() if rest else at
    return len(_WORDS.findall(text, begin, number.start())) <= BETWEEN
