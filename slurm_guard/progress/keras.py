"""Keras: `Epoch 2/10` on a line of its own, then the redrawn `50/100 [====>...] - ETA: 5s - loss: 2.3`.

Keras 3 draws `100/100 ━━━━ 5s 50ms/step - loss: 0.9`, `verbose=2` writes `100/100 - 5s - 50ms/step`. The bar
counts batches within its epoch. An epoch's line alone, as plain PyTorch loops print it too, counts the epochs
behind it: Keras numbers them from 1, the loops mostly from 0.
"""

import re

from slurm_guard.progress.protocol import MICRO, NOTHING, Claim
from slurm_guard.progress.values import STEP_LIMIT, to_count, to_loss

_EPOCH = re.compile(r"[ \t]{0,4}Epoch (\d{1,7})/(\d{1,7})[ \t]{0,4}")
_BAR = re.compile(
    r"[ \t]{0,12}(\d{1,12})/(\d{1,12}) (?:\[[=>.]{1,60}\] - |[━╸╺ ]{1,60} |- )"
    r"(?:ETA: |[\d:]{1,9}s? )(?=.{0,40}(?:[mu]?s/step|ETA|loss: ))"
)
_LOSS = re.compile(r" - loss: ([-+\d.eE]{1,24})")


class KerasLines:
    """One `fit` after the other; bars of another length than the training's are evaluations, and so are those
    behind an epoch's complete one, without an epoch of their own."""

    name = "keras"
    needles: tuple[bytes, ...] = (b"Epoch ", b"/step", b"] - ETA: ")

    def __init__(self) -> None:
        self._epoch: tuple[int, int] | None = None  # of how many
        self._first = 1
        self._size: int | None = None  # batches of one epoch
        self._is_complete = False  # the epoch's bar is …
        self._is_over = False  # … and another one has begun

    def read(self, text: str, offset: int) -> Claim | None:
        match = _EPOCH.fullmatch(text.rstrip())
        if match is not None:
            return self._begin(int(match[1]), int(match[2]), offset)
        match = _BAR.match(text)
        if match is None or self._epoch is None:
            return None
        n, size = to_count(match[1]), to_count(match[2])
        if n is None or size is None or not 0 < n <= size:
            return NOTHING
        if self._size is None:
            self._size = size
        self._is_over |= self._is_complete and n < size
        if size != self._size or self._is_over:
            return Claim(offset, "phase", phase="eval", advances=False)
        self._is_complete = n == size
        epoch, of = self._epoch
        loss = _LOSS.search(text)
        step = (epoch - self._first) * size + n
        total = max(of * size, step)
        if total >= STEP_LIMIT:
            return NOTHING
        return Claim(offset, "step", step=step, total=total, loss=to_loss(loss[1]) if loss else None)

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims

    def _begin(self, epoch: int, of: int, offset: int) -> Claim | None:
        """An epoch's first line; a smaller number than before is the next training's."""
        if epoch > of:
            return NOTHING
        if self._epoch is None or epoch <= self._epoch[0]:
            self._first = min(epoch, 1)
            self._size = None
        self._epoch = (epoch, of)
        self._is_complete = self._is_over = False
        done = epoch - self._first
        return Claim(offset, "epoch", step=done * MICRO, epoch=float(done))
