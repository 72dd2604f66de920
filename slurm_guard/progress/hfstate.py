"""Hugging Face's `trainer_state.json`: `log_history`, an array of flat objects with a step and no time.

Rewritten whole in each `checkpoint-N`, so that a later copy repeats the earlier ones; the records that are
new in a copy came to be by its own time. Read object by object: a torn or endless document costs no more
memory than its longest record.
"""

import json
import re
from typing import Any

from slurm_guard.progress.jsonl import claim_of
from slurm_guard.progress.keys import is_eval
from slurm_guard.progress.protocol import MAX_CLAIMS, Claim, Found, Reader, Series
from slurm_guard.progress.values import to_count

NAME = "trainer_state.json"
MAX_RECORD = 65_536  # characters of one object in the history; real ones have some hundred
MAX_BEFORE = 1 << 20  # bytes before the history begins: a few fields (judgement)
MAX_AFTER = 65_536  # bytes kept after it
_HISTORY = re.compile(rb'"log_history"\s{0,8}:\s{0,8}\[')
_STEP = re.compile(rb'"global_step"\s{0,8}:\s{0,8}(\d{1,15})(?=[\s,}])')
_TOTAL = re.compile(rb'"max_steps"\s{0,8}:\s{0,8}(\d{1,15})(?=[\s,}])')
_BLANK = re.compile(r"[\s,]*")
_BETWEEN = frozenset(" \t\r\n,]")  # what ends an element of the history


def _null(word: str) -> None:
    """HF writes NaN and Infinity for losses that are: the record counts, its value does not."""
    return


class HfStateSource:
    """Told by its name and the fields that the class TrainerState always writes."""

    name = "hfstate"
    resyncs = False

    def claims(self, head: bytes, path: str) -> float:
        """0.95: an object with a step and a history, named so or with the Trainer's own further fields."""
        if head.lstrip()[:1] != b"{" or _STEP.search(head) is None or _HISTORY.search(head) is None:
            return 0.0
        named = path.rpartition("/")[2] == NAME
        return 0.95 if named or b'"is_world_process_zero"' in head else 0.0

    def reader(self) -> Reader:
        return HfStateReader()


class HfStateReader:
    """Before, inside and after the history."""

    def __init__(self) -> None:
        self._decoder = json.JSONDecoder(parse_constant=_null)
        self._kept = b""  # before: all; inside: what is not decoded yet; after: the rest
        self._where = "before"
        self._at = 0  # offset of the first kept byte
        self._claims: list[Claim] = []
        self._said: int | None = None  # the state's own step
        self._total: int | None = None
        self._problems: dict[str, int] = {}
        self._read_b = 0

    def feed(self, data: bytes, offset: int) -> int:
        self._read_b += len(data)
        self._kept += data
        if self._where == "before":
            self._find_history()
        if self._where == "inside":
            self._records()
        if self._where in ("after", "dead"):
            self._at += len(self._kept) - len(self._kept[-MAX_AFTER:])
            self._kept = self._kept[-MAX_AFTER:]
        return offset + len(data)

    def skipped(self, offset: int) -> None:
        """An object's begin cannot be found again: the rest is not read."""
        self._where, self._kept = "dead", b""

    def finish(self) -> Found:
        end = self._at + len(self._kept)
        if self._where == "after":
            self._fields(self._kept)
            if not self._kept.rstrip().endswith(b"}"):
                self._count("torn-tail")
        elif self._where != "dead":
            self._count("torn-tail")
        if self._where == "after" and self._said is not None:
            self._claims.append(Claim(end, "step", step=self._said))  # what was done since the last record
        claims = [claim._replace(total=self._total) for claim in self._claims]
        problems = [f"{slug}: {count}" for slug, count in sorted(self._problems.items())]
        return Found([Series("hfstate", "step", "", claims)] if claims else [], [], problems, self._read_b)

    def _count(self, slug: str) -> None:
        self._problems[slug] = self._problems.get(slug, 0) + 1

    def _fields(self, data: bytes) -> None:
        """The state's step and its total, which stand before the history or after it."""
        for pattern, name in ((_STEP, "_said"), (_TOTAL, "_total")):
            match = pattern.search(data)
            if match is not None and getattr(self, name) is None:
                setattr(self, name, to_count(match.group(1).decode()))

    def _find_history(self) -> None:
        match = _HISTORY.search(self._kept)
        if match is not None:
            self._fields(self._kept[: match.start()])
            self._advance(match.end(), "inside")
        elif len(self._kept) > MAX_BEFORE:
            self._count("no-history")
            self._where = "dead"

    def _advance(self, n: int, where: str) -> None:
        self._kept = self._kept[n:]
        self._at += n
        self._where = where

    def _records(self) -> None:
        """Every whole object; offsets are exact because the Trainer writes ASCII."""
        text = self._kept.decode("ascii", "replace")  # one character a byte
        at = 0
        while True:
            blank = _BLANK.match(text, at)
            begin = at if blank is None else blank.end()
            if text[begin : begin + 1] == "]":
                self._advance(begin + 1, "after")
                return
            try:
                body, end = self._decoder.raw_decode(text, begin)
            except (ValueError, RecursionError):
                break
            if text[end : end + 1] not in _BETWEEN:
                break  # a number may go on
            self._record(body, self._at + end)
            at = end
        self._advance(at, "inside")
        if len(self._kept) > MAX_RECORD:
            self._count("broken-records")
            self._where = "dead"

    def _record(self, body: Any, offset: int) -> None:
        if not isinstance(body, dict):
            self._count("broken-records")
            return
        step = to_count(body.get("step"))
        if step is None:
            self._count("no-step")
            return
        claim = claim_of({**body, "step": step}, offset)
        if claim is None or len(self._claims) >= MAX_CLAIMS:
            self._count("many-records")
            return
        trains = "loss" in body or "train_loss" in body or not any(map(is_eval, map(str, body)))
        self._claims.append(
            Claim(
                offset,
                "step",
                step=step,
                tokens=claim.tokens,
                loss=claim.loss,
                epoch=None,  # the step counts over all epochs
                phase="train" if trains else "eval",
            )
        )
