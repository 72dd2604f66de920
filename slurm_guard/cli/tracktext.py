"""What `slurm-guard progress show` prints: tracks, problems, what each word means; no control characters."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from slurm_guard.progress.meanings import meaning_of, slug_of
from slurm_guard.report.safe import clean as safe

if TYPE_CHECKING:
    from slurm_guard.progress.node import Result
    from slurm_guard.wire import LogFile, Point

MOVES = ("train", "end")  # phases of points that move the counter (docs/formats.md)
# What files are told in which nothing was found.
_WAY_OUT = (
    "to be read, a job prints lines such as step=120 loss=2.31 to its stdout, appends them to "
    "$SLURM_GUARD_PROGRESS, or logs to TensorBoard; a site's own lines are taught by a pattern "
    "(docs/progress.md, How to be auditable)"
)
_NONE_TELLS = "nothing here tells progress: a run that logs nowhere else is not auditable (no accusation)"
_LIMITS = frozenset(("capped", "run-capped", "timeout", "parser-died", "oversized", "walk-capped"))
_UNREAD = "a limit was met: not everything was read"
_THINNED = "there are more points than are kept: some, evenly, stand for all"
_ONE_ALONE = "one counter alone shows no progress: log it again and again"


def clean(text: str) -> str:
    """Safe for a terminal, and short."""
    return safe(text, 200)


def about_log(log: "LogFile", points: "Sequence[Point]", n_points: int) -> list[str]:
    """One file and track. `n_points`: shown of each end."""
    out = [clean(log.path)]
    if log.source is None:
        out.append("  no progress read")
    else:
        out.append(f"  source {log.source}, track {log.track}: {_summary(points)}")
        ends = points if len(points) <= 2 * n_points else [*points[:n_points], *points[-n_points:]]
        out.extend(f"    {_point(point)}" for point in ends[: 2 * n_points])
        if len(_moving(points)) == 1:
            out.append(f"  {_ONE_ALONE}")
    if log.params is not None:
        out.append(f"  the model: {_size(log)}")
    out.extend(f"  problem: {clean(problem)}" for problem in log.problems)
    return out


def about_all(result: "Result") -> list[str]:
    """What each flag and problem means, how many files tell something, and the way out where one does not."""
    words = {flag for point in result.points for flag in point.flags}
    words |= {slug_of(problem) for log in result.logs for problem in log.problems}
    out = []
    if result.truncated:
        out = [_UNREAD if not _LIMITS.isdisjoint(words) else _THINNED]
    said = [f"  {clean(word)}: {meaning}" for word in sorted(words) if (meaning := meaning_of(word))]
    out += ["", "what these words mean, and what to do", *said] if said else []
    files = {log.path for log in result.logs}
    tracks = Counter((point.file, point.track) for point in _moving(result.points))
    telling = {log.path for log in result.logs if tracks[(log.file, log.track)] > 1}
    if not telling and files:
        return [*out, "", _NONE_TELLS, _WAY_OUT]
    if len(files) > 1:
        out += ["", f"{len(telling)} of {len(files)} files tell progress"]
    return [*out, _WAY_OUT] if any(log.source is None and log.ino for log in result.logs) else out


def _size(log: "LogFile") -> str:
    """How many parameters the model has, and who says so."""
    sparse = log.params is not None and log.dense is not None and log.dense < log.params
    dense = f", {log.dense:,} of them in every token's way" if sparse else ""
    whose = "the newest checkpoint's headers" if log.params_from == "header" else "the log's own words"
    return f"{log.params:,} parameters{dense} (by {whose})"


def _summary(points: "Sequence[Point]") -> str:
    """Counts, segments, flags, first and last counter."""
    if not points:
        return "no points"
    moving = _moving(points) or points
    segments = len({p.segment for p in points})
    flags = sorted({flag for p in points for flag in p.flags})
    said = f", flags {', '.join(flags)}" if flags else ""
    first, last = _counter(moving[0]), _counter(moving[-1])
    parts = "" if segments == 1 else f" in {segments} segments"
    count = "1 point" if len(moving) == 1 else f"{len(moving)} points"
    marked = len(points) - len(moving)
    count += f" and {marked} {'mark' if marked == 1 else 'marks'} ({_phases(points)})" if marked else ""
    span = first if first == last else f"{first} to {last}"
    return f"{count}{parts}, {span}, {_span(moving)}{said}"


def _phases(points: "Sequence[Point]") -> str:
    """What the marks are of."""
    return ", ".join(sorted({point.phase for point in points if point not in _moving([point])}))


def _moving(points: "Sequence[Point]") -> "Sequence[Point]":
    """The training's, with a counter: marks of evaluations and checkpoints move nothing."""
    return [p for p in points if p.phase in MOVES and (p.step, p.samples, p.tokens) != (None, None, None)]


def _counter(point: "Point") -> str:
    if point.step is not None and "epoch" in point.flags:
        return f"epoch {point.step / 1e6:.6g}"  # the clock counts in millionths
    for name, value in (("step", point.step), ("samples", point.samples), ("tokens", point.tokens)):
        if value is not None:
            return f"{name} {value}"
    return point.phase


def _span(points: "Sequence[Point]") -> str:
    """First and last claimed time; of checkpoints, which claim none, the kernel's."""
    stamps = [p.at for p in points if p.at is not None]
    if stamps:
        return _from_to(min(stamps), max(stamps))
    seen = [p.obs_hi_at for p in points if p.track.startswith("checkpoint") and p.obs_hi_at is not None]
    return f"there by {_from_to(min(seen), max(seen))}" if seen else "no times in it"


def _from_to(first_at: float, last_at: float) -> str:
    first, last = _time(first_at), _time(last_at)
    return first if first == last else f"{first} to {last}"


def _time(at: float) -> str:
    from datetime import datetime, timezone

    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def _point(point: "Point") -> str:
    at = "no time" if point.at is None else _time(point.at)
    loss = "" if point.loss is None else f" loss {point.loss:.6g}"
    total = "" if point.total is None else f" of {point.total}"
    return f"{at} {point.phase} {_counter(point)}{total}{loss} {' '.join(point.flags)}".rstrip()
