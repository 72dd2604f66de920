"""Megatron-LM, Megatron-DeepSpeed and NeMo lines: `iteration N/M | consumed samples: S | …`.

Also the lines of `--log-progress`' progress.txt, tab-separated, one for each checkpoint saved.
"""

import re

from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import find_stamp, to_count, to_loss, to_seconds

# ` iteration        1/    1000 | consumed samples: 1024 | elapsed time per iteration (ms): …`  (2020 to 2026)
_TRAIN = re.compile(
    r"(?:^|[\s\]])iteration[ \t:]{1,12}(\d{1,15})[ \t]{0,4}/[ \t]{0,12}(\d{1,15})[ \t]{0,4}\|"
)
_EVAL = re.compile(r"validation loss at iteration[ \t:]{1,12}(\d{1,15})(?: on [\w.-]{1,40} set)?[ \t]{0,4}\|")
_SAVE = re.compile(r"(?:saving|saved) checkpoint (?:at|from) iteration[ \t:]{1,12}(\d{1,15})(?!\d)")
# 2026-08-01 08:19:20<TAB>Job ID: 4242<TAB># GPUs: 64<TAB>Saved checkpoint<TAB>Iteration: 500<TAB>…
_PROGRESS = re.compile(r"\tSaved (?:async )?checkpoint[^\t]{0,40}\tIteration: (\d{1,15})(?=\t|$)")
_BILLIONS = re.compile(r"\tTokens \(in billions\): (\d{1,9}(?:\.\d{1,9})?)(?=\t|$)")
_GLOBAL_STEP = re.compile(
    r"\| global_step:[ \t]{0,12}(\d{1,15})[ \t]{0,4}\|"
)  # NeMo counts from 0 per epoch else
# `Training epoch 2, iteration 0/49 |`: counted from 0 in each epoch, beside the last batch's number
_OF_EPOCH = re.compile(r"\bepoch (\d{1,7}),$")
_SAMPLES = re.compile(r"\| consumed[ _]samples:[ \t]{0,20}(\d{1,15})(?![.\d])")
_TOKENS = re.compile(r"\| consumed[ _]tokens:[ \t]{0,20}(\d{1,18})(?![.\d])")
_TOOK = re.compile(r"\| elapsed time per iteration \((ms|s)\):[ \t]{0,8}(\d{1,9}(?:\.\d{1,9})?)")
_LOSS = re.compile(r"\| (?:lm loss|lm_loss|loss|reduced_train_loss)(?: value)?:[ \t]{0,8}([-+\d.eE]{1,24})")


class MegatronLines:
    """One training per file; loss-scale and timer lines are not progress."""

    name = "megatron"
    needles: tuple[bytes, ...] = (b"iteration", b"\tIteration: ")

    def read(self, text: str, offset: int) -> Claim | None:
        match = _TRAIN.search(text, 0, 512)
        if match is not None:
            return self._train(text, offset, match)
        match = _PROGRESS.search(text, 0, 512)
        if match is not None and not _is_torn(text, match):
            return self._saved(text, offset, match)
        for pattern, phase in ((_EVAL, "eval"), (_SAVE, "checkpoint")):
            match = pattern.search(text, 0, 512)
            if match is not None and not _is_torn(text, match):
                at, naive = find_stamp(text)
                step = to_count(match.group(1))
                return Claim(offset, "step", step=step, at=at, naive=naive, phase=phase, advances=False)
        return None

    def _train(self, text: str, offset: int, match: re.Match[str]) -> Claim:
        at, naive = find_stamp(text)
        step = _GLOBAL_STEP.search(text)
        took = _TOOK.search(text)
        total = epoch = None
        if step is None:
            total = to_count(match.group(2))
            of_epoch = _OF_EPOCH.search(text, max(0, match.start() - 24), match.start())
            if of_epoch is not None and total is not None:
                epoch, total = float(of_epoch.group(1)), total + 1
        samples, tokens, loss = _SAMPLES.search(text), _TOKENS.search(text), _LOSS.search(text)
        return Claim(
            offset,
            "step",
            step=to_count((step or match).group(1)),
            samples=to_count(samples.group(1)) if samples else None,
            tokens=to_count(tokens.group(1)) if tokens else None,
            total=total,
            loss=to_loss(loss.group(1)) if loss else None,
            epoch=epoch,
            at=at,
            naive=naive,
            took_s=to_seconds(took.group(2), took.group(1)) if took else None,
        )

    def _saved(self, text: str, offset: int, match: re.Match[str]) -> Claim:
        """A line of progress.txt: what was saved counts as done. Its tokens are rounded to ten millions."""
        at, naive = find_stamp(text)
        tokens = _BILLIONS.search(text)
        return Claim(
            offset,
            "step",
            step=to_count(match.group(1)),
            tokens=round(float(tokens.group(1)) * 1e9) if tokens else None,
            at=at,
            naive=naive,
        )

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims


def _is_torn(text: str, match: re.Match[str]) -> bool:
    """Whether the number goes on behind the searched part of the line, whose end looks like the line's."""
    return text[match.end(1) : match.end(1) + 1].isdigit()
