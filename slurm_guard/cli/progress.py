"""`slurm-guard progress show`: what the audit would read from a job's files, and every problem with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slurm_guard.wire import LogFile, Point

progress_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Look at the progress that jobs log."
)


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.add_typer(progress_app, name="progress")
    progress_app.callback()(_root)


def _root() -> None:
    """Keeps `show` a subcommand although it is the only one."""


@progress_app.command()
def show(
    paths: Annotated[list[str], typer.Argument(help="log files: stdout, event files, JSON lines")],
    n_points: Annotated[int, typer.Option("--points", min=0, help="show this many points of each end")] = 0,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
) -> None:
    """Print the tracks and problems that a reader finds in these files."""
    from slurm_guard.config import load_config
    from slurm_guard.progress.show import read_paths

    result = read_paths(paths, load_config(config).progress)
    for log in result.logs:
        points = [p for p in result.points if (p.file, p.track) == (log.file, log.track)]
        for line in _lines(log, points, n_points):
            typer.echo(line)
    if result.truncated:
        typer.echo("a limit was met: not everything was read")


def _lines(log: "LogFile", points: "Sequence[Point]", n_points: int) -> list[str]:
    """One file and track as text without control characters."""
    from slurm_guard.report.safe import clean

    out = [f"{clean(log.path, 200)}"]
    if log.source is None:
        out.append("  no progress read")
    else:
        out.append(f"  source {log.source}, track {log.track}: {_summary(points)}")
        ends = points if len(points) <= 2 * n_points else [*points[:n_points], *points[-n_points:]]
        out.extend(f"    {_point(point)}" for point in ends[: 2 * n_points])
    out.extend(f"  problem: {clean(problem, 200)}" for problem in log.problems)
    return out


def _summary(points: "Sequence[Point]") -> str:
    """Counts, segments, flags, first and last counter."""
    if not points:
        return "no points"
    moving = [p for p in points if (p.step, p.samples, p.tokens) != (None, None, None)] or points
    segments = len({p.segment for p in points})
    flags = sorted({flag for p in points for flag in p.flags})
    said = f", flags {', '.join(flags)}" if flags else ""
    first, last = _counter(moving[0]), _counter(moving[-1])
    parts = "1 segment" if segments == 1 else f"{segments} segments"
    return f"{len(points)} points in {parts}, {first} to {last}, {_span(points)}{said}"


def _counter(point: "Point") -> str:
    for name, value in (("step", point.step), ("samples", point.samples), ("tokens", point.tokens)):
        if value is not None:
            return f"{name} {value}"
    return point.phase


def _span(points: "Sequence[Point]") -> str:
    """First and last claimed time."""
    stamps = [p.at for p in points if p.at is not None]
    return f"{_time(min(stamps))} to {_time(max(stamps))}" if stamps else "no times in it"


def _time(at: float) -> str:
    from datetime import datetime, timezone

    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def _point(point: "Point") -> str:
    at = "no time" if point.at is None else _time(point.at)
    loss = "" if point.loss is None else f" loss {point.loss:.6g}"
    total = "" if point.total is None else f" of {point.total}"
    return f"{at} {point.phase} {_counter(point)}{total}{loss} {' '.join(point.flags)}".rstrip()
