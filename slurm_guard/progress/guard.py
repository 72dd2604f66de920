"""The SLURM_GUARD_PROGRESS file: JSON lines or `key=value` pairs that a job writes for the audit.

Fields: step, total, samples, tokens, loss, epoch, ts, rank, phase (train, eval, checkpoint, init, end) and
run (a name for one of several trainings in a job, told apart by up to 256 characters). Lines longer than
2,048 bytes are not part of the format.
"""

import re
from hashlib import sha256

from slurm_guard.progress.jsonl import claim_of, parse_object
from slurm_guard.progress.protocol import Claim, Reader
from slurm_guard.progress.text import TextReader

MAX_RECORD = 2048
_PAIR = re.compile(r"(?:^|[\s,;])([a-z_]{1,16})=(?:\"([^\"]{0,256})\"|([^\s,;]{1,256}))")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_ODD = re.compile(r"[^A-Za-z0-9_.-]")
_KEPT = 20  # characters of a name that is none of those; a digest of all of it stands behind
_PHASES = ("train", "eval", "checkpoint", "init", "end")


class GuardLines:
    """Every line is a record; the clock's key is the training's own name."""

    name = "guard"
    needles: tuple[bytes, ...] = (b"=", b"{")

    def read(self, text: str, offset: int) -> Claim | None:
        if len(text) > MAX_RECORD:
            raise ValueError("record too long")
        text = text.strip()
        body = parse_object(text) if text.startswith("{") else None
        if body is None:
            body = {m[1]: m[2] if m[3] is None else m[3] for m in _PAIR.finditer(text)}
        if not body:
            return None
        phase = body.get("phase")
        phase = phase if phase in _PHASES else "train"
        claim = claim_of(body, offset)
        if claim is None:
            return None if phase == "train" else Claim(offset, "phase", phase=phase, advances=False)
        rank = str(body.get("rank", ""))
        return claim._replace(
            key=_name_of(body.get("run")) or ("epoch" if claim.key == "epoch" else "step"),
            rank=rank if rank.isdigit() and len(rank) < 7 else "",
            phase=phase,
        )

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims


def _name_of(run: object) -> str:
    """The training's name in at most 32 plain characters; empty: it has none. Unlike names stay unlike."""
    name = "" if run is None else str(run)
    if not name or _NAME.fullmatch(name):
        return name
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{_ODD.sub('_', name[:_KEPT])}-{digest}"


class GuardSource:
    """Bound by the file itself: only a path that the prolog made is handed in as this source."""

    name = "guard"
    resyncs = True

    def claims(self, head: bytes, path: str) -> float:
        """0.9 for a file of this name that begins like a record (a copy, or one that was named by hand)."""
        named = path.endswith("/progress.jsonl")
        return 0.9 if named and (b'"step"' in head or b"step=" in head or b"tokens=" in head) else 0.0

    def reader(self) -> Reader:
        return TextReader([GuardLines()])
