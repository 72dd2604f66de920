"""Hugging Face Trainer, TRL, axolotl, ms-swift: dict lines `{'loss': 2.08, …, 'epoch': 0.01}` of v4 and v5.

The line has no step. In order of trust: a step that the line does say (ms-swift), the training's own bar in
the same file while it keeps pace with the epoch, else the epoch itself, in millionths. HF rounds the
epoch to a few digits; records that share a rounded value are spread evenly up to the next one.
"""

import re

from slurm_guard.progress.protocol import MICRO, Claim
from slurm_guard.progress.tqdm import Bar, find_bar
from slurm_guard.progress.values import to_count, to_float, to_loss

_PAIR = re.compile(r"'([A-Za-z0-9_./ -]{1,64})': ?(?:'([^']{0,32})'|([-+.\w]{1,32}))")
_TOKEN_KEYS = ("num_tokens", "num_input_tokens_seen")


class HfLines:
    """Keeps the last bar, because the dict that follows it in the file has no counter of its own."""

    name = "hf"
    needles: tuple[bytes, ...] = (b"{'", b"it/s]", b"s/it]")

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def read(self, text: str, offset: int) -> Claim | None:
        begin = text.find("{'")
        if begin < 0 or (begin != 0 and "/" in text[:begin]):
            self._see_bar(text if begin < 0 else text[:begin])
        if begin < 0:
            return None
        pairs = {match[1]: match[2] or match[3] for match in _PAIR.finditer(text, begin)}
        epoch = to_float(pairs.get("epoch"))
        if epoch is None or not 0 <= epoch < 1e6 or len(pairs) < 2:
            return None
        return self._claim(pairs, epoch, offset)

    def _see_bar(self, text: str) -> None:
        bar = find_bar(text)
        if bar is None:
            return
        # An evaluation draws its own short bar inside training; the training's bar is the longest one.
        if self._bar is None or bar.total >= self._bar.total:
            self._bar = bar

    def _claim(self, pairs: dict[str, str], epoch: float, offset: int) -> Claim | None:
        keys = pairs.keys()
        if any(key.startswith("eval_") for key in keys):
            phase = "eval"
        elif "train_runtime" in keys:
            phase = "end"
        elif "loss" in keys or "learning_rate" in keys or any(key.startswith("train") for key in keys):
            phase = "train"
        else:
            return None
        step, total = _said_step(pairs)
        key = "step" if step is not None else "epoch"
        if step is None and self._bar is not None:
            step, total = self._bar.n, self._bar.total
        tokens = next((to_count(pairs[name]) for name in _TOKEN_KEYS if name in keys), None)
        return Claim(
            offset,
            key,
            step=step,
            tokens=tokens,
            total=total,
            loss=to_loss(pairs.get("loss")),
            epoch=epoch,
            phase=phase,
            advances=phase != "eval",
        )

    def settle(self, claims: list[Claim]) -> list[Claim]:
        if not claims or claims[0].key == "step":
            return claims
        if _bar_keeps_pace(claims):
            return [claim._replace(key="step") for claim in claims if claim.step is not None]
        return _spread(claims)


def _said_step(pairs: dict[str, str]) -> tuple[int | None, int | None]:
    """(step, total) where the line says them."""
    both = pairs.get("global_step/max_steps")
    if both is not None and "/" in both:
        step, _, total = both.partition("/")
        return to_count(step), to_count(total)
    return to_count(pairs.get("step", pairs.get("global_step"))), to_count(pairs.get("max_steps"))


def _bar_keeps_pace(claims: list[Claim]) -> bool:
    """Whether the bar seen before each record moves as the epoch does: then it counts the same."""
    moving = [c for c in claims if c.epoch is not None and c.epoch > 0]
    ratios = sorted(c.step / c.epoch for c in moving if c.step is not None and c.epoch is not None)
    if len(ratios) < 2 or len(ratios) < 0.8 * len(moving):
        return False
    middle = ratios[len(ratios) // 2]
    # Rounded epochs scatter the ratio of the first records: judge the middle 80 % (judgement: within 20 %).
    inner = ratios[len(ratios) // 10 : len(ratios) - len(ratios) // 10]
    distinct = len({c.step for c in moving})
    return inner[0] > 0.8 * middle and inner[-1] < 1.25 * middle and distinct >= 0.8 * len(moving)


def _spread(claims: list[Claim]) -> list[Claim]:
    """Epochs as millionths; records of one rounded value are spread up to the next value."""
    out: list[Claim] = []
    begin = 0
    while begin < len(claims):
        end = begin
        while end < len(claims) and claims[end].epoch == claims[begin].epoch:
            end += 1
        low = claims[begin].epoch or 0.0
        high = claims[end].epoch if end < len(claims) else None
        gap = high - low if high is not None and high > low else 0.0
        n_moving = sum(claim.phase == "train" for claim in claims[begin:end])
        nth = 0
        for claim in claims[begin:end]:
            # an evaluation stands where the record before it does
            share = max(0, nth - (claim.phase != "train")) / n_moving if n_moving else 0.0
            if claim.phase == "train":
                nth += 1
            out.append(claim._replace(step=round((low + gap * share) * MICRO), total=None))
        begin = end
    return out
