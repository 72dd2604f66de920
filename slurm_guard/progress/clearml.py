"""ClearML offline: a session's `metrics.jsonl`, arrays of events `{"timestamp", "iter", "metric", …}`.

Each call of `report_scalar` is one event; arrays are written in batches and may be long, so events are read
one by one wherever they stand. The metric with the most points is the clock; `:monitor:…` are the machine's.
"""

import json
import re
from typing import Any

from slurm_guard.progress.keys import is_eval
from slurm_guard.progress.protocol import MAX_CLAIMS, Claim, Found, Reader, Series
from slurm_guard.progress.values import to_count, to_known_instant, to_loss

MAX_EVENT = 4096  # bytes of one event; a scalar's has some two hundred
MAX_METRICS = 128  # followed in one file; their names are the job's choice
_SCALAR = b'"training_stats_scalar"'
_EVENT = re.compile(rb"\{[^{}]{20,4094}\}")  # flat: a plot's event holds braces and is passed over


def _null(word: str) -> None:
    """NaN and Infinity: the event counts, its value does not."""
    return


_DECODER = json.JSONDecoder(parse_constant=_null)


class ClearmlSource:
    """Told by its first event."""

    name = "clearml"
    resyncs = True

    def claims(self, head: bytes, path: str) -> float:
        """0.9 for an array of events whose first is of a task."""
        first = _EVENT.match(head, 1) if head[:1] == b"[" else None
        event = None if first is None else _event(first[0])
        return 0.9 if event is not None and {"timestamp", "type", "task", "iter"} <= event.keys() else 0.0

    def reader(self) -> Reader:
        return ClearmlReader()


class ClearmlReader:
    """Feeds on chunks; keeps at most one event of the last."""

    def __init__(self) -> None:
        self._kept = b""
        self._metrics: dict[tuple[str, str], list[Claim]] = {}
        self._problems: dict[str, int] = {}
        self._read_b = 0

    def feed(self, data: bytes, offset: int) -> int:
        self._read_b += len(data)
        body, at = self._kept + data, offset - len(self._kept)
        end = 0
        for match in _EVENT.finditer(body):
            end = match.end()
            if _SCALAR in match[0]:
                self._scalar(_event(match[0]), at + end)
        self._kept = body[max(end, len(body) - MAX_EVENT) :]
        return offset + len(data)

    def skipped(self, offset: int) -> None:
        self._kept = b""

    def finish(self) -> Found:
        problems = [f"{slug}: {count}" for slug, count in sorted(self._problems.items())]
        if not self._metrics:
            return Found([], [], problems, self._read_b)
        name = min(self._metrics, key=lambda name: (-len(self._metrics[name]), _evaluates(name), name))
        return Found([Series("clearml", "step", "", self._metrics[name])], [], problems, self._read_b)

    def _scalar(self, event: dict[str, Any] | None, offset: int) -> None:
        step = None if event is None else to_count(event.get("iter"))
        if event is None or step is None:
            self._count("broken-records" if event is None else "no-step")
            return
        name = (str(event.get("metric"))[:64], str(event.get("variant"))[:64])
        if name[0].startswith(":monitor:"):
            return
        claims = self._metrics.get(name)
        if claims is None:
            if len(self._metrics) >= MAX_METRICS:
                self._count("many-tags")
                return
            claims = self._metrics[name] = []
        loss = to_loss(event.get("value")) if "loss" in " ".join(name).lower() else None
        phase = "eval" if _evaluates(name) else "train"
        claims.append(
            Claim(offset, "step", step, loss=loss, at=to_known_instant(event.get("timestamp")), phase=phase)
        )
        if len(claims) >= MAX_CLAIMS:
            del claims[1::2]
            self._count("many-records")

    def _count(self, slug: str) -> None:
        self._problems[slug] = self._problems.get(slug, 0) + 1


def _evaluates(name: tuple[str, str]) -> bool:
    return any(map(is_eval, name))


def _event(data: bytes) -> dict[str, Any] | None:
    """One event, or null."""
    try:
        event = _DECODER.decode(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None
