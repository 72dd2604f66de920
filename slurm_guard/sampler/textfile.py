"""The sampler's health for node_exporter's textfile collector: Prometheus' text format, written whole."""

from __future__ import annotations

import os

from slurm_guard import __version__
from slurm_guard.light import TYPE_CHECKING, Any, Iterable, Mapping, NamedTuple, Sequence
from slurm_guard.sampler.limits import Usage, read_usage
from slurm_guard.sampler.whole import write_public
from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.sampler.loop import Loop
    from slurm_guard.sampler.status import Status

EVERY_S = 15.0  # a usual scrape interval


class Metric(NamedTuple):
    """One metric: its samples are (labels, value); null values are left out."""

    name: str
    kind: str  # gauge, counter
    text: str
    samples: Sequence[tuple[Mapping[str, str], float | None]]


def render(metrics: Iterable[Metric], common: Mapping[str, str]) -> str:
    """Prometheus' text format, version 0.0.4; `common`: labels of every sample."""
    lines: list[str] = []
    for metric in metrics:
        samples = [(labels, value) for labels, value in metric.samples if value is not None]
        if not samples:
            continue
        lines += [f"# HELP {metric.name} {_help(metric.text)}", f"# TYPE {metric.name} {metric.kind}"]
        for labels, value in samples:
            said = ",".join(f'{key}="{_label(text)}"' for key, text in {**common, **labels}.items())
            lines.append(f"{metric.name}{{{said}}} {_number(value)}")
    return "\n".join(lines) + "\n"


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, int) else repr(float(value))  # a bool is 0 or 1


class Textfile:
    """Writes the file every 15 s, and once more at the end with `up` 0. No job stands in it."""

    def __init__(self, path: str, loop: Loop, status: Status) -> None:
        self.path = path.replace("%n", loop.place.node)
        self.loop, self.status = loop, status
        self.n_failed = 0
        self._next_s: float | None = None

    def tick(self, now: Instant) -> None:
        """Write when it is due."""
        if not self.path or (self._next_s is not None and now.mono_s < self._next_s):
            return
        self._next_s = now.mono_s + EVERY_S
        self._write(now, 1)

    def tell(self) -> dict[str, Any]:
        """Where to, and how often it could not be written."""
        return {"path": self.path, "n_failed": self.n_failed}

    def close(self, now: Instant) -> None:
        """The last state."""
        if self.path:
            self._write(now, 0)

    def _write(self, now: Instant, up: int) -> None:
        text = render(metrics_of(self.loop, self.status, read_usage(), (now.at, up)), self._common())
        if not os.path.isdir(os.path.dirname(self.path)) or not write_public(self.path, text):
            self.n_failed += 1

    def _common(self) -> dict[str, str]:
        return {"node": self.loop.place.node}


def metrics_of(loop: Loop, status: Status, usage: Usage, state: tuple[float, int]) -> list[Metric]:
    """The metrics now. `state`: the moment, and 1 while the sampler lives."""
    at, up = state
    tally, tables = loop.streams.journal.tally, loop.tables
    cut = {
        "processes": tables.processes.truncated,
        "flows": bool(tables.sockets.truncated),
        "files": any(files.truncated for files in loop.files.values()),
    }
    alone: Mapping[str, str] = {}

    def one(name: str, kind: str, text: str, value: float | None) -> Metric:
        return Metric(f"slurm_guard_{name}", kind, text, [(alone, value)])

    def many(name: str, kind: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
        samples = [({label: key}, value) for key, value in sorted(values.items())]
        return Metric(f"slurm_guard_{name}", kind, text, samples)

    return [
        one("up", "gauge", "1 while the sampler lives, 0 after it said goodbye.", up),
        many("info", "gauge", "The release at work.", "version", {__version__: 1}),
        one("off", "gauge", "1 while the admin's switch is set.", int(loop.off)),
        one("start_time_seconds", "gauge", "When the sampler began, Unix time.", status.since.at),
        one("last_tick_seconds", "gauge", "Last round of the sampler, Unix time.", at),
        one("runs", "gauge", "Runs followed.", len(loop.book.alive())),
        one("gpus", "gauge", "GPUs seen.", len(loop.boards)),
        one("windows_total", "counter", "Windows written.", tally.n_windows),
        many("events_total", "counter", "Events by name.", "name", tally.events),
        one("dropped_total", "counter", "Records that the disk did not take.", tally.n_dropped),
        one("gap_ms_total", "counter", "Milliseconds of windows not observed.", tally.gap_ms),
        one("nvml_hung_total", "counter", "NVML calls given up.", tally.events.get("nvml-hung", 0)),
        one("helpers_hung_total", "counter", "Looks at files given up.", loop.helper.n_hung),
        many("truncated", "gauge", "1 while a table meets more than it follows.", "table", cut),
        one("spool_bytes", "gauge", "Bytes in the node's spool.", status.spool.bytes),
        one("rss_bytes", "gauge", "Resident memory of the sampler.", usage.rss_b),
        one("cpu_seconds_total", "counter", "CPU time of the sampler.", round(usage.cpu_s, 2)),
    ]
