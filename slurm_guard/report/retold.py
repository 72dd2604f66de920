"""The audit's sentences in the page's words: one unit of GPU time, no phrase that needs its check beside it.

The document keeps what the audit wrote, and so do its JSON and CSV; earlier documents are read alike.
"""

import re

from slurm_guard.report.safe import LONG, clean
from slurm_guard.report.words import Unit

_AMOUNT = re.compile(r"\b(\d[\d,]{0,14}(?:\.\d+)?) GPU-(hours|minutes)\b")
_SIZES = {"hours": 3_600_000, "minutes": 60_000}
_WORKED = re.compile(r"\bworked (\d{1,12}) s on\b")  # of work outside an allocation
_LEAST_S = 60  # below a minute seconds are read more easily
_STEPS = "its steps are not what they did"
_STEPS_SAID = "the steps in the log are not the work that the GPUs did"
# Said of a rise in cost that stays: what is left over only if the rise is not the training's own.
IF_NOT_OWN = "would not have been needed"


def retell(text: str, unit: Unit, limit: int = LONG) -> str:
    """A sentence made harmless, with its amounts of GPU time in the page's unit."""
    shown = clean(text, limit).replace(_STEPS, _STEPS_SAID)
    shown = _WORKED.sub(lambda found: _worked(found, unit), shown)
    return _AMOUNT.sub(lambda found: _amount(found, unit), shown)


def _worked(found: re.Match[str], unit: Unit) -> str:
    length_s = int(found[1])
    return f"worked {unit.full(1000 * length_s)} on" if length_s >= _LEAST_S else found[0]


def _amount(found: re.Match[str], unit: Unit) -> str:
    """No figure more than the audit wrote says: it rounds to a tenth of its own unit."""
    figure, size = found[1].replace(",", ""), _SIZES[found[2]]
    if size == unit.gpu_ms:
        return f"{found[1]} {unit.name}"
    value = float(figure) * size / unit.gpu_ms
    return f"{value:,.3f} {unit.name}" if size < unit.gpu_ms else f"{value:,.0f} {unit.name}"
