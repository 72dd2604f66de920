"""`slurm-guard progress`: `show` what the audit would read from a job's files; `step=…` tells progress."""

import fnmatch
import os
import shlex
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slurm_guard.wire import LogFile, Point


class _Group(TyperGroup):
    """`slurm-guard progress step=5` needs no further word."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # click's types, which Typer has of its own
        """`tell`, where the first word is no command: a slip in a script is told, and does not end it."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["tell", *args])


MOVES = ("train", "end")  # phases of points that move the counter (docs/formats.md)

progress_app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"ignore_unknown_options": True},  # `-5` is a slip as well, for `tell` to say so
    help="Look at the progress that jobs log; `step=10 tokens=40960` tells it.",
)


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.add_typer(progress_app, name="progress")
    progress_app.callback()(_root)


def _root() -> None:
    """Two things that one does with progress."""


_COUNTERS = frozenset(("step", "samples", "tokens", "epoch"))


def _is_said(name: str, value: str) -> bool:
    """Whether the value is one that this field can have: `step=$i` of an empty variable is none."""
    from slurm_guard.progress.values import to_float

    if name in ("phase", "run"):
        return value != ""
    number = to_float(value.strip())
    return number is not None and (name not in _COUNTERS or number >= 0)


@progress_app.command(context_settings={"ignore_unknown_options": True})
def tell(
    pairs: Annotated[
        list[str], typer.Argument(help="step=… total=… samples=… tokens=… loss=… phase=… run=…")
    ],
) -> None:
    """Write a record to $SLURM_GUARD_PROGRESS, as `slurm-guard progress step=… tokens=…`. Never ends a job.

    The exit status is 0 whatever happens: a script with `set -e` goes on.
    """
    from slurm_guard.progress.client import progress

    def complain(words: str) -> None:
        typer.echo(f"progress: {words}", err=True)

    words = [pair.lstrip("-") for pair in pairs]  # `--step=5` is meant so, too
    fields = dict(word.split("=", 1) for word in words if "=" in word and not word.startswith("force="))
    step = fields.pop("step", None)
    if len(fields) + (step is not None) < len(pairs):
        odd = next((pair for pair in pairs if "=" not in pair), "force=")
        complain(f"{odd[:40]!a} is no name=value as in `slurm-guard progress step=5`; left out")
    if step is not None:
        fields = {"step": step, **fields}
    for name in [name for name, value in fields.items() if not _is_said(name, value)]:
        complain(f"{name[:40]}={fields.pop(name)[:40]!a} is no number; left out")
    if _COUNTERS.isdisjoint(fields) and "phase" not in fields:
        if fields or step is not None:
            complain("no counter (step=, samples=, tokens= or epoch=) is left; nothing was written")
        return
    progress(fields.pop("step", None), force=True, **fields)


@progress_app.command()
def show(
    paths: Annotated[
        list[str], typer.Argument(help="log files (stdout, event files, JSON lines), or folders with them")
    ],
    n_points: Annotated[int, typer.Option("--points", min=0, help="show this many points of each end")] = 0,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
) -> None:
    """Print the tracks and problems that a reader finds in these files.

    The exit status is 1 if none of them could be opened.
    """
    from slurm_guard.config import load_config
    from slurm_guard.progress.show import read_paths

    result = read_paths(paths, load_config(config).progress)
    for log in result.logs:
        points = [p for p in result.points if (p.file, p.track) == (log.file, log.track)]
        for line in _lines(log, points, n_points):
            typer.echo(line)
    for path in paths:
        if Path(path).is_dir() and not any(_lies_in(log.path, path) for log in result.logs):
            typer.echo("\n  ".join((_clean(path), *_about_folder(path))))
    if result.truncated:
        typer.echo("a limit was met: not everything was read")
    if all(log.ino is None for log in result.logs):
        raise typer.Exit(1)


# What a folder without a log of a known name is told: the walk looks at names, and opens no other file.
_NOTHING_KNOWN = (
    "no log of a name that is looked for (event files, .wandb, trainer_state.json, metrics.csv, mlruns, "
    "checkpoints, …), at most four folders deep"
)
_NAME_IT = "name the file itself, or tell the job where it is: sbatch --comment='guard:progress=PATH'"
_OUTPUTS = ("slurm-*.out", "*.out", "*.err")  # what the output of a job is usually called, the usual first
_OUTPUT_IS_READ = "but a job's stdout and stderr are read wherever Slurm says that they are"
_MOST_NAMES = 10_000  # of a folder, in which one is looked for
# What a file is told in which nothing was found.
_WAY_OUT = (
    "print lines such as step=120 loss=2.31, or append them to $SLURM_GUARD_PROGRESS; "
    "a site's own lines are taught by a pattern (docs/progress.md, How to be auditable)"
)
_NOTHING_FOUND = ("no-progress:", "unknown-format:", "data-rows:", "unfit-rows:", "unread-counter:")
# What the commonest flags of points mean; the others stand in docs/progress.md.
_FLAGS = {
    "weak": "a progress bar, or a checkpoint's name: it speaks only for a run that has no better log",
    "epoch": "only epochs are told, counted in millionths: log the step, and what lies between is seen, too",
    "step-back": "the counter fell: a resume, or a second training",
    "unplaced": "rows of a database: their own times are all there is to place them",
}


def _about_folder(folder: str) -> list[str]:
    """What is said of a folder in which no log was found."""
    try:
        with os.scandir(folder) as found:
            files = [entry for entry in islice(found, _MOST_NAMES) if entry.is_file(follow_symlinks=False)]
        for form in _OUTPUTS:
            mine = [entry for entry in files if fnmatch.fnmatch(entry.name, form)]
            if mine:
                newest = max(mine, key=lambda entry: entry.stat(follow_symlinks=False).st_mtime).path
                words = f"show what is read in it: slurm-guard progress show {_clean(shlex.quote(newest))}"
                return [_NOTHING_KNOWN, _OUTPUT_IS_READ, words]
    except OSError as error:
        return [f"it was not looked through: {os.strerror(error.errno or 0)}"]
    return [_NOTHING_KNOWN, _NAME_IT]


def _lies_in(path: str, folder: str) -> bool:
    inside = Path(folder).resolve()
    return inside in (Path(path), *Path(path).parents)


def _clean(text: str) -> str:
    from slurm_guard.report.safe import clean

    return clean(text, 200)


def _lines(log: "LogFile", points: "Sequence[Point]", n_points: int) -> list[str]:
    """One file and track as text without control characters."""
    out = [_clean(log.path)]
    if log.source is None:
        out.append("  no progress read")
    else:
        out.append(f"  source {log.source}, track {log.track}: {_summary(points)}")
        ends = points if len(points) <= 2 * n_points else [*points[:n_points], *points[-n_points:]]
        out.extend(f"    {_point(point)}" for point in ends[: 2 * n_points])
        if len(_moving(points)) == 1:
            out.append("  one counter alone shows no progress: log it again and again")
        flags = sorted({flag for point in points for flag in point.flags})
        out.extend(f"  {flag}: {_FLAGS[flag]}" for flag in flags if flag in _FLAGS)
    out.extend(f"  problem: {_clean(problem)}" for problem in log.problems)
    if log.source is None and any(problem.startswith(_NOTHING_FOUND) for problem in log.problems):
        out.append(f"  {_WAY_OUT}")
    return out


def _summary(points: "Sequence[Point]") -> str:
    """Counts, segments, flags, first and last counter."""
    if not points:
        return "no points"
    moving = _moving(points) or points
    segments = len({p.segment for p in points})
    flags = sorted({flag for p in points for flag in p.flags})
    said = f", flags {', '.join(flags)}" if flags else ""
    first, last = _counter(moving[0]), _counter(moving[-1])
    parts = "1 segment" if segments == 1 else f"{segments} segments"
    count = "1 point" if len(moving) == 1 else f"{len(moving)} points"
    marked = len(points) - len(moving)
    count += f" and {marked} {'mark' if marked == 1 else 'marks'}" if marked else ""
    return f"{count} in {parts}, {first} to {last}, {_span(points)}{said}"


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
        return f"{_time(min(stamps))} to {_time(max(stamps))}"
    seen = [p.obs_hi_at for p in points if p.track.startswith("checkpoint") and p.obs_hi_at is not None]
    return f"there by {_time(min(seen))} to {_time(max(seen))}" if seen else "no times in it"


def _time(at: float) -> str:
    from datetime import datetime, timezone

    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def _point(point: "Point") -> str:
    at = "no time" if point.at is None else _time(point.at)
    loss = "" if point.loss is None else f" loss {point.loss:.6g}"
    total = "" if point.total is None else f" of {point.total}"
    return f"{at} {point.phase} {_counter(point)}{total}{loss} {' '.join(point.flags)}".rstrip()
