"""`slurm-guard progress`: `show` what the audit would read from a job's files; `step=…` tells progress."""

import fnmatch
import os
import shlex
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class _Group(TyperGroup):
    """`slurm-guard progress step=5` needs no further word."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # click's types, which Typer has of its own
        """`tell`, where the first word is no command: a slip in a script is told, and does not end it."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["tell", *args])


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
    """Print the tracks and problems that a reader finds in these files, and what the words mean.

    The exit status is 1 if none of them could be opened.
    """
    from slurm_guard.cli.tracktext import about_all, about_log, clean
    from slurm_guard.config import load_config
    from slurm_guard.progress.show import read_paths

    result = read_paths(paths, load_config(config).progress)
    for log in result.logs:
        points = [p for p in result.points if (p.file, p.track) == (log.file, log.track)]
        for line in about_log(log, points, n_points):
            typer.echo(line)
    for path in paths:
        if Path(path).is_dir() and not any(_lies_in(log.path, path) for log in result.logs):
            typer.echo("\n  ".join((clean(path), *_about_folder(path))))
    for line in about_all(result):
        typer.echo(line)
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


def _about_folder(folder: str) -> list[str]:
    """What is said of a folder in which no log was found."""
    from slurm_guard.cli.tracktext import clean

    try:
        with os.scandir(folder) as found:
            files = [entry for entry in islice(found, _MOST_NAMES) if entry.is_file(follow_symlinks=False)]
        for form in _OUTPUTS:
            mine = [entry for entry in files if fnmatch.fnmatch(entry.name, form)]
            if mine:
                newest = max(mine, key=lambda entry: entry.stat(follow_symlinks=False).st_mtime).path
                words = f"show what is read in it: slurm-guard progress show {clean(shlex.quote(newest))}"
                return [_NOTHING_KNOWN, _OUTPUT_IS_READ, words]
    except OSError as error:
        return [f"it was not looked through: {os.strerror(error.errno or 0)}"]
    return [_NOTHING_KNOWN, _NAME_IT]


def _lies_in(path: str, folder: str) -> bool:
    inside = Path(folder).resolve()
    return inside in (Path(path), *Path(path).parents)
