"""Lines that say what a training is about to do, without a counter: evaluation, checkpoint, start, end.

A phase is a claim as well. It never moves a counter; the audit weighs it against the telemetry.
"""

from slurm_guard.progress.lines import clean
from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import find_stamp

# Phrases as the frameworks print them, lower case, looked for in the first 200 characters.
_PHRASES: tuple[tuple[str, str], ...] = (
    ("***** running training", "init"),  # HF Trainer, DeepSpeed-Chat
    ("***** running evaluation", "eval"),
    ("***** running prediction", "eval"),
    ("***** evaluating", "eval"),
    ("test: [", "eval"),  # torchvision, timm, DETR: `Test: [ 10/196]  Time …`
    ("saving model checkpoint to", "checkpoint"),
    ("saving checkpoint", "checkpoint"),  # Megatron: "saving checkpoint at iteration N to DIR"
    ("saved checkpoint", "checkpoint"),
    ("successfully saved", "checkpoint"),
    ("training completed", "end"),
    ("done training", "end"),  # fairseq
    ("after training is done", "end"),  # Megatron's datetime line
    ("before the start of training step", "init"),
)
_RAW = tuple(phrase.encode() for phrase, _ in _PHRASES)
NEEDLES = (b"***", b"Test: [", b"heckpoint", b"ompleted", b"done", b"saved", b"start of training")


def find_phase(line: bytes, offset: int) -> Claim | None:
    """The phase mark in a raw line, or null."""
    if b"\x1b" not in line:
        raw = line[:400].lower()
        for words in _RAW:
            if words in raw:
                break
        else:
            return None
    text, rank = clean(line[:400])
    lowered = text[:200].lower()
    for phrase, phase in _PHRASES:
        if phrase in lowered:
            at, naive = find_stamp(text)
            return Claim(offset, "phase", at=at, naive=naive, phase=phase, rank=rank, advances=False)
    return None
