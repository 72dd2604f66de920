"""MLPerf's `:::MLLOG {…}` lines: samples or epochs under `metadata`, phases by event, times in milliseconds.

Submitters mean different things by the same names, so the file decides: an `epoch_num` far beyond any
epoch counts samples (bert, unet3d); an epoch's number at its start counts what is done before it, from 0 or
from 1; a block's count at its end is often that of its start; an evaluation counts its own samples.
"""

import re
from typing import Any

from slurm_guard.progress.jsonl import parse_object
from slurm_guard.progress.protocol import MICRO, NOTHING, Claim
from slurm_guard.progress.values import STEP_LIMIT, to_count, to_float, to_known_instant, to_loss

PHASES = {
    "init_start": "init", "init_stop": "init", "run_start": "train", "run_stop": "end",
    "eval_start": "eval", "eval_stop": "train", "eval_accuracy": "eval",
    "checkpoint_start": "checkpoint", "checkpoint_stop": "train",
}  # fmt: skip
# Events whose metadata holds the training's counter; all others are configuration or another's counter.
COUNTING = frozenset(
    (
        "block_start", "block_stop", "epoch_start", "epoch_stop", "eval_start", "eval_accuracy", "run_stop",
        "train_loss", "train_step", "tracked_stats",
    )
)  # fmt: skip
# An event's name can stand in no other way in a line, but for a backslash's.
_TELLS = re.compile("|".join(f'"{event}"' for event in sorted(COUNTING | PHASES.keys())))
EPOCHS_LIMIT = 10_000  # an `epoch_num` from here on counts samples (judgement: real ones end at 100)


class MllogLines:
    """Keeps the last start of a block and of an epoch, to tell what their ends count."""

    name = "mllog"
    needles: tuple[bytes, ...] = (b":::MLL",)

    def __init__(self) -> None:
        self._block: int | None = None
        self._epoch: float | None = None
        self._first_epoch: float | None = None
        self._samples: int | None = None

    def read(self, text: str, offset: int) -> Claim | None:
        """Every line with the marker is this source's, whether or not it says anything."""
        if _TELLS.search(text) is None and "\\" not in text:
            return NOTHING  # three lines in four: settings, and what the hardware did
        begin = text.find("{", text.find(":::MLL"))
        body = parse_object(text[begin:].rstrip()) if begin >= 0 else None
        event = body.get("key") if body is not None else None
        if body is None or not isinstance(event, str):
            return NOTHING
        meta = body.get("metadata")
        meta = meta if isinstance(meta, dict) else {}
        at = to_known_instant(body.get("time_ms"))
        claim = self._counted(event, meta, offset) if event in COUNTING else None
        phase = PHASES.get(event)
        if claim is None:
            if phase is None:
                return NOTHING
            return Claim(offset, "phase", at=at, phase=phase, advances=False)
        loss = to_loss(body.get("value")) if event == "train_loss" else None
        return claim._replace(at=at, loss=loss, phase=phase or "train", opens=event == "eval_start")

    def settle(self, claims: list[Claim]) -> list[Claim]:
        """Epoch numbers that are sample counts become them."""
        if not claims or claims[0].key != "epoch":
            return claims
        whole = all(claim.epoch is not None and claim.epoch == int(claim.epoch) for claim in claims)
        if whole and max(claim.epoch or 0.0 for claim in claims) >= EPOCHS_LIMIT:
            return [
                c._replace(key="samples", step=None, samples=to_count(c.epoch), epoch=None) for c in claims
            ]
        return claims

    def _counted(self, event: str, meta: dict[str, Any], offset: int) -> Claim | None:
        samples = to_count(meta.get("samples_count"))
        if samples is not None:
            return self._by_samples(event, samples, offset)
        epoch = to_float(meta.get("epoch_num"))
        if epoch is not None and 0 <= epoch < STEP_LIMIT // MICRO - 1:
            done = self._epochs_done(event, epoch)
            return Claim(offset, "epoch", step=round(done * MICRO), epoch=done)
        if event == "run_stop":
            return None  # its step_num is no other line's clock: the mark of the end matters
        step = to_count(next((meta[name] for name in ("curr_global_step", "step_num") if name in meta), None))
        if step is None and event == "tracked_stats":
            step = self._own_step(meta.get("step"))
        return None if step is None else Claim(offset, "step", step=step)

    def _by_samples(self, event: str, samples: int, offset: int) -> Claim | None:
        if event == "block_start":
            self._block = samples
        elif event == "block_stop" and samples == self._block:
            return None
        self._samples = samples
        return Claim(offset, "samples", samples=samples)

    def _epochs_done(self, event: str, epoch: float) -> float:
        """Whole epochs behind the record where it names the epoch that begins or ends."""
        if event == "epoch_start":
            if self._first_epoch is None:
                self._first_epoch = epoch
            self._epoch = epoch
        started = self._epoch
        base = 1.0 if self._first_epoch == 1 else 0.0
        if event == "epoch_start":
            return max(0.0, epoch - base)
        return max(0.0, epoch - base + 1) if event == "epoch_stop" and epoch == started else epoch

    def _own_step(self, step: Any) -> int | None:
        """`step` of the statistics, unless it repeats the samples or epochs that other lines count."""
        if self._samples is not None or self._first_epoch is not None or isinstance(step, float):
            return None
        return to_count(step) if isinstance(step, int) else None
