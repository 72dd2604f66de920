"""The command line's root: one explicit list of commands, and the one place that prints a GuardError."""

import errno
import os
import sys
from typing import Annotated, NoReturn

import typer

from slurm_guard import __version__
from slurm_guard.cli.crash import write_crash_report
from slurm_guard.errors import EXIT_FAILURE, HEAD_ONLY, GuardError

app = typer.Typer(
    name="slurm-guard",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its markup swallows [words in brackets], which are our sections' names
    help="Which of last night's GPU-hours are explained by training progress, which are not, and why.",
)


def main() -> None:
    """Entry point: expected errors as slug, sentence and hint; exit codes as in docs/errors.md."""
    _register()
    try:
        _run()
    except GuardError as error:
        _say(error)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if error.name not in HEAD_ONLY:
            _crash(error)
        what = f"this installation is a node's half: {error.name}, which this command needs, is not in it"
        _say(
            GuardError(
                "half", what, "run it on the head node, or install slurm-guard beside slurm-guard-node"
            )
        )
        sys.exit(EXIT_FAILURE)
    except BrokenPipeError:  # the reader of our pipe left; Python must not complain when it flushes
        _forget_output()
        sys.exit(EXIT_FAILURE)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            _crash(error)
        what = f"{error.filename} cannot be written" if error.filename else "what was to be written cannot be"
        _say(GuardError("no-room", f"{what}: {error.strerror}", "make room, or write elsewhere"))
        _forget_output()
        sys.exit(EXIT_FAILURE)
    except Exception as error:  # noqa: BLE001  # the last boundary: it becomes a file, with its path
        _crash(error)


# A full disk, quota or file system can meet any write: that is no fault of ours to be reported.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


def _run() -> None:
    """The command, and what it printed on its way before anybody believes that it is done."""
    try:
        app(standalone_mode=True)
    except SystemExit:
        sys.stdout.flush()
        raise


def _say(error: GuardError) -> None:
    print(f"slurm-guard: {error.slug}: {error.sentence}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def _forget_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _crash(error: Exception) -> NoReturn:
    where = write_crash_report(error)
    print(f"slurm-guard: unexpected: {type(error).__name__}: {error}", file=sys.stderr)
    if where is not None:
        print(f"hint: please send us {where} after reading it", file=sys.stderr)
    sys.exit(EXIT_FAILURE)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"slurm-guard {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="print the version and exit"),
    ] = False,
) -> None:
    """Keeps the version an option of the whole program."""


def _register() -> None:
    """Each command module has `add(app)`; importing it must stay cheap."""
    import importlib

    for name in COMMANDS:
        importlib.import_module(f"slurm_guard.cli.{name}").add(app)


COMMANDS: tuple[str, ...] = (
    # in the order in which `--help` lists them; one module of this package each
    "collect",
    "ship",
    "imports",
    "node",
    "audit",
    "config",
    "doctor",
    "progress",
    "declare",
    "report",
    "lake",
    "mail",
    "explain",
    "disposition",
    "compact",
    "prune",
    "forget",
    "checks",
    "install",
    "upgrade",
    "uninstall",
    "demo",
    "simulate",
)
