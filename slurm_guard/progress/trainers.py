"""Trainers whose lines name no usual counter: XGBoost, LightGBM, JAX's clu, StyleGAN, Marian, ESPnet,
Ultralytics, torchtune."""

import re

from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import find_stamp, to_count, to_float, to_loss

# XGBoost `[12]	train-logloss:0.123`, LightGBM `[12]	training's l2: 0.5`
_ROUND = re.compile(r"\[(\d{1,9})\]\t[^\t]{1,64}: ?-?\d", re.ASCII)
# clu's metric writer: `I0801 10:00:00.1 14 logging_writer.py:48] [100] loss=2.5, lr=0.1`
_CLU = re.compile(r"\blogging_writer\.py:\d{1,5}\] \[(\d{1,15})\] \w", re.ASCII)
# StyleGAN's `tick 5     kimg 20.0     time 5m 12s`: thousands of images shown
_KIMG = re.compile(r"tick \d{1,9} {1,12}kimg (\d{1,9}(?:\.\d{1,3})?) ", re.ASCII)
# Marian's `Ep. 1 : Up. 500 : Sen. 25,000 : Cost 7.1 …`
_MARIAN = re.compile(r"\bEp\. \d{1,6} : Up\. (\d{1,12}) : Sen\. ", re.ASCII)
# ESPnet's `3epoch:train:51-100batch: iter_time=…`: batches of the epoch
_ESPNET = re.compile(r"\b(\d{1,6})epoch:train:\d{1,9}-(\d{1,9})batch: ", re.ASCII)
# Ultralytics' row below `Epoch GPU_mem box_loss …`, with a bar of its own since 8.3.200, tqdm's before:
# `      3/20      2.5G      1.238      3.321        22        640: 25% ━━━───────── 20/80 6.1it/s 3.2s<9.8s`
_ULTRALYTICS = re.compile(
    r" {0,10}(\d{1,7})/\d{1,7} {1,12}[\d.]{1,8}G(?: {1,12}[-+.\deinfa]{1,12}){1,16}: {0,4}"
    r"\d{1,3}% {0,2}(?:\|[^|]{0,200}\||[━─╸]{1,60}) {1,4}(\d{1,12})/(\d{1,12})(?![\d.])",
    re.ASCII,
)
# torchtune's bar: it counts within the epoch, its words tell epoch, step of all epochs and loss:
# `2|34|Loss: 1.4321:  36%|███▌      | 9/25 [00:10<00:18,  1.17s/it]`
_TORCHTUNE = re.compile(
    r"(\d{1,7})\|(\d{1,15})\|Loss: (-?\d{1,9}(?:\.\d{1,20})?(?:e[-+]?\d{1,3})?|nan|-?inf)"
    r": {1,4}\d{1,3}%\|[^|]{0,200}\| {0,4}(\d{1,12})/",
    re.ASCII,
)
STALE = 16  # redraws, at most, in which those words stay what they were: else they tell no step (judgement)
_LOSS = re.compile(r"(?:^|[ ,])(?:train_)?loss=([-+\d.eE]{1,24})")


class TrainerLines:
    """Each counts by itself: rounds, steps, samples or updates."""

    name = "trainers"
    needles: tuple[bytes, ...] = (
        b"]\ttrain", b"]\tvalid", b"]\teval", b"logging_writer.py:", b" kimg ", b" : Up. ", b"epoch:train:",
        b"% \xe2\x94", b"% \xe2\x95", b"%|",
    )  # fmt: skip

    def __init__(self) -> None:
        self._words = (-1, 0)  # the step in torchtune's bar, and how far that was when it was seen first
        self._is_stale = False  # it does not move with its bar

    def read(self, text: str, offset: int) -> Claim | None:
        claim = _claim(text, offset)
        if claim is None and "%|" in text and not self._is_stale:
            claim = self._torchtune(text, offset)
        if claim is None:
            return None
        at, naive = find_stamp(text)
        loss = _LOSS.search(text)
        return claim._replace(at=at, naive=naive, loss=to_loss(loss[1]) if loss else claim.loss)

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims

    def _torchtune(self, text: str, offset: int) -> Claim | None:
        match = _TORCHTUNE.match(text)
        if match is None:
            return None
        step, drawn = int(match[2]), int(match[4])
        if step != self._words[0] or drawn < self._words[1]:
            self._words = (step, drawn)
        self._is_stale = drawn - self._words[1] > STALE
        if self._is_stale:
            return None
        return Claim(offset, "step", step=step, loss=to_loss(match[3]), epoch=to_float(match[1]))


def _claim(text: str, offset: int) -> Claim | None:
    """The line's counter."""
    if "%|" in text:  # a bar: most lines of a job that shows one
        return _ultralytics(text, offset)
    match = _ROUND.match(text)
    if match is not None:
        return Claim(offset, "round", step=to_count(match[1]))
    for pattern in (_CLU, _MARIAN):
        match = pattern.search(text, 0, 256)
        if match is not None:
            return Claim(offset, "step", step=to_count(match[1]))
    match = _KIMG.match(text)
    if match is not None:
        return Claim(offset, "samples", samples=round(1000 * float(match[1])))
    claim = _ultralytics(text, offset)
    if claim is not None:
        return claim
    match = _ESPNET.search(text, 0, 256)
    if match is not None:
        return Claim(offset, "batch", step=to_count(match[2]), epoch=to_float(match[1]))
    return None


def _ultralytics(text: str, offset: int) -> Claim | None:
    match = _ULTRALYTICS.match(text)
    if match is None:
        return None
    step, total = int(match[2]), int(match[3])
    return Claim(offset, "batch", step=step, total=total, epoch=to_float(match[1])) if step <= total else None
