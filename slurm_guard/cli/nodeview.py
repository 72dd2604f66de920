"""The status of a node's sampler as lines for a terminal."""

import math
import time
from collections.abc import Sequence
from typing import Any

from slurm_guard.doctor.pulse import Pulse, long_words, time_words
from slurm_guard.report.safe import clean, display_width, fit
from slurm_guard.sampler.status import EVERY_S as EVERY_STATUS_S

OLD_STATUS_S = 3 * EVERY_STATUS_S  # judgement: one may be late, or its disk busy
MOST_ROWS = 200
_HEARD = {
    True: "the kernel tells of each connection that ends",
    False: "ENDS NOT HEARD: connections that come and go between two looks are missing",
}
_UNCOUNTED = "; BYTES NOT COUNTED: no tunnel can be told"


def render(status: dict[str, Any], pulse: Pulse) -> list[str]:
    """The whole page. Every text passes `clean`: a status may be from any release, or from anybody."""
    lines = [*_head(status, pulse), ""]
    lines += _table("GPUs", ("#", "GPU", "model", "map", "W", "util", "MiB", "held by"), _gpus(status))
    lines += _table("runs", ("job", "since", "GPUs", "last window", "state"), _runs(status))
    return [*lines, *_foot(status)]


def _head(status: dict[str, Any], pulse: Pulse) -> list[str]:
    word = "watching" if pulse.silence is None else "SILENT"
    off = _of(status, "parts", "switch", "off")
    since = time_words(status.get("since_at"))
    pid, version = _text(status.get("pid")), _text(status.get("version"))
    lines = [f"{_text(status.get('node'))}: {word}, since {since}, pid {pid}, slurm-guard {version}"]
    if off is not None:
        lines.append(f"  SWITCHED OFF by {_text(off)}")
    beat = "no beat" if pulse.age_s is None else f"last beat {long_words(pulse.age_s)} ago"
    return [*lines, f"  {beat}, status of {time_words(status.get('at'))}{_old(status, pulse)}"]


def _old(status: dict[str, Any], pulse: Pulse) -> str:
    """How old everything below is, and what that means."""
    at = status.get("at")
    if not isinstance(at, (int, float)) or not math.isfinite(at):
        return ": of unknown age; what follows may be long past"
    age_s = time.time() - at
    if age_s < -EVERY_STATUS_S:
        return f", {long_words(-age_s)} ahead of this clock: a clock was set, and its age is unknown"
    aged = f" ({long_words(max(0.0, age_s))} ago)"
    if pulse.silence is not None:
        return f"{aged}: what follows is how it was then, not now"
    if age_s > OLD_STATUS_S:
        return f"{aged}: it is written each minute, so what follows is out of date"
    return aged


def _gpus(status: dict[str, Any]) -> list[list[str]]:
    rows = []
    for gpu in _rows(status.get("gpus")):
        power = gpu.get("power_mw")
        rows.append(
            [
                _text(gpu.get("index")),
                _text(gpu.get("mig") or gpu.get("gpu"), 44),
                _text(gpu.get("model"), 24),
                _text(gpu.get("map")),
                f"{power / 1000:.0f}" if isinstance(power, (int, float)) else "–",
                f"{_text(gpu.get('util_pct'))}%" if gpu.get("util_pct") is not None else "–",
                _text(gpu.get("mem_used_mib")),
                ", ".join(_job_of(run) for run in _list(gpu.get("holders"))) or "–",
            ]
        )
    return rows


def _runs(status: dict[str, Any]) -> list[list[str]]:
    rows = []
    for run in _rows(status.get("runs")):
        state = "ended" if run.get("ended_by") else "runs"
        if not run.get("resolved"):
            state += ", GPUs unresolved"
        asked = _list(run.get("asked"))
        rows.append(
            [
                _text(run.get("job_id")),
                time_words(run.get("since_at")),
                ",".join(_text(index) for index in asked) or "–",
                time_words(run.get("window_end_at")),
                state,
            ]
        )
    return rows


def _foot(status: dict[str, Any]) -> list[str]:
    tables, counts = _of(status, "tables"), _of(status, "counts")
    cut = [name for name in ("processes", "flows", "files") if _of(tables, f"{name}_truncated")]
    cut += ["device files"] if _of(tables, "devices_left") else []
    ages = [age for age in _list(status.get("segments")) if isinstance(age, (int, float))]
    spool_b, limits = _of(status, "parts", "status", "spool_b"), _of(status, "parts", "limits")
    hung = [status.get("n_helpers_hung"), _of(counts, "events", "nvml-hung") or 0]
    procs, most = _text(_of(tables, "processes")), _text(_of(tables, "most_processes"))
    files, gaps = _text(_of(tables, "files")), _seconds(_of(counts, "gap_ms"))
    windows, dropped = _text(_of(counts, "windows")), _text(_of(counts, "dropped"))
    heard = _of(tables, "ends_heard")
    lines = [
        f"tables    {procs} of {most} processes, {files} files; truncated: {', '.join(cut) or 'none'}",
        f"sockets   {_HEARD[heard] if isinstance(heard, bool) else '–'}"
        + (_UNCOUNTED if _of(tables, "bytes_counted") is False else ""),
        f"written   {windows} windows, {dropped} records dropped, {gaps} of gaps",
        f"spool     {_mib(spool_b)}, {len(ages)} open segments"
        + (f", the oldest {long_words(max(ages))} old" if ages else ""),
        f"itself    {_mib(_of(limits, 'rss_b'))} of memory, {_text(_of(limits, 'cpu_pct'))} % of a core"
        + (", tables at half their pace" if _of(limits, "slowed") else ""),
        f"hung      {_text(hung[0])} looks at files, {_text(hung[1])} NVML calls",
    ]
    error = status.get("last_error")
    if isinstance(error, dict):
        said = f"{error.get('kind')} at {error.get('place')}: {error.get('text')}"
        lines.append(f"error     {time_words(error.get('at'))} {clean(said, 200)}")
    return lines


def _table(title: str, heads: Sequence[str], rows: list[list[str]]) -> list[str]:
    """Columns as wide as their widest cell; an empty table says so."""
    if not rows:
        return [f"{title}: none", ""]
    shown = [list(heads), *rows[:MOST_ROWS]]
    widths = [max(display_width(row[place]) for row in shown) for place in range(len(heads))]
    lines = [
        "  ".join(fit(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown
    ]
    more = [f"… {len(rows) - MOST_ROWS} more: --json has all"] if len(rows) > MOST_ROWS else []
    return [f"{title}: {len(rows)}", *(f"  {line}" for line in [*lines, *more]), ""]


# -- cells


def _of(body: Any, *path: str) -> Any:
    """A value inside; null where the path ends early."""
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in _list(value) if isinstance(row, dict)]


def _text(value: Any, limit: int = 80) -> str:
    return "–" if value is None else clean(str(value), limit)


def _job_of(run: Any) -> str:
    parts = str(run).split("/")
    return clean(parts[1] if len(parts) > 1 else str(run), 20)


def _seconds(value_ms: Any) -> str:
    return f"{value_ms / 1000:.0f} s" if isinstance(value_ms, (int, float)) else "–"


def _mib(value_b: Any) -> str:
    return f"{value_b / (1 << 20):.1f} MiB" if isinstance(value_b, (int, float)) else "–"
