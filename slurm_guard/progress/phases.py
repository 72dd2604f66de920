"""Lines that say what a training is about to do, without a counter: evaluation, checkpoint, start, end.

A phase is a claim as well. It never moves a counter; the audit weighs it against the telemetry.
"""

import re

from slurm_guard.progress.lines import clean
from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import find_stamp

# Phrases as the frameworks print them, lower case, looked for in the first 200 characters.
_PHRASES: tuple[tuple[str, str], ...] = (
    ("***** running training", "init"),  # HF Trainer, DeepSpeed-Chat
    ("***** running evaluation", "eval"),
    ("***** running prediction", "eval"),
    ("***** evaluating", "eval"),
    ("begin validation on ", "eval"),  # fairseq
    ("saving model checkpoint to", "checkpoint"),
    ("saving checkpoint", "checkpoint"),  # Megatron: "saving checkpoint at iteration N to DIR"
    ("saved checkpoint", "checkpoint"),
    ("successfully saved", "checkpoint"),
    ("training completed", "end"),
    ("done training", "end"),  # fairseq
    ("after training is done", "end"),  # Megatron's datetime line
    ("before the start of training step", "init"),
)
# Lines that an evaluation prints while it lasts: `Test: [ 10/196]` of timm, with more blanks of torchvision,
# MMEngine's `Epoch(val) [3][ 50/196]`, detectron2's `Inference done 50/5000`, Lightning's bars, Megatron's
# begin, Ultralytics' heading.
_EVALUATION = re.compile(
    r"(?<![a-z])(?:test|val|eval|valid|validation|testing|evaluation|validating|evaluating): {0,8}\[ {0,8}\d"
    r"|epoch\((?:val|test)\)|inference done \d|evaluating iter"
    r"|(?<![a-z])(?:validation|testing)(?: dataloader \d{1,3})?:|class {2,20}images {2,20}instances"
)
_EVALUATION_RAW = re.compile(_EVALUATION.pattern.encode())
_RAW = tuple(phrase.encode() for phrase, _ in _PHRASES)
# Each with a capital or a sign where it can be: such a word is soon known not to be in a piece of text. Parts
# of words may be found sooner than the whole: of `valid: [`, of fairseq's `validation on "valid" subset`.
_EVALUATES = (
    b"Test:", b"Val", b"Eval", b"val: [", b"test: [", b"alid: [", b'" su', b"Testing", b"Epoch(",
    b"Instances",
)  # fmt: skip
NEEDLES = (
    b"***", b"heckpoint", b"ompleted", b"done", b"saved", b"start of training", *_EVALUATES,
)  # fmt: skip


def find_phase(line: bytes, offset: int) -> Claim | None:
    """The phase mark in a raw line, or null."""
    if b"\x1b" not in line:
        raw = line[:400].lower()
        may_evaluate = b"nference done" in line or any(word in line for word in _EVALUATES)
        if not any(words in raw for words in _RAW) and not (may_evaluate and _EVALUATION_RAW.search(raw)):
            return None
    text, rank = clean(line[:400])
    lowered = text[:200].lower()
    told = next((phase for phrase, phase in _PHRASES if phrase in lowered), None)
    if told is None and _EVALUATION.search(lowered) is not None:
        told = "eval"
    if told is None:
        return None
    at, naive = find_stamp(text)
    return Claim(offset, "phase", at=at, naive=naive, phase=told, rank=rank, advances=False)
