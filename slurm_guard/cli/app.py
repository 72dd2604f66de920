"""The command line's root: one explicit list of commands, and the one place that prints a GuardError."""

import os
import sys

import typer

from slurm_guard.cli.crash import write_crash_report
from slurm_guard.errors import EXIT_FAILURE, GuardError

app = typer.Typer(
    name="slurm-guard",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Which of last night's GPU-hours are explained by training progress, which are not, and why.",
)


def main() -> None:
    """Entry point: expected errors as slug, sentence and hint; exit codes as in docs/errors.md."""
    _register()
    try:
        app(standalone_mode=True)
    except GuardError as error:
        print(f"slurm-guard: {error.slug}: {error.sentence}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our pipe left; Python must not complain when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILURE)
    except Exception as error:  # noqa: BLE001  # the last boundary: it becomes a file, with its path
        where = write_crash_report(error)
        print(f"slurm-guard: unexpected: {type(error).__name__}: {error}", file=sys.stderr)
        if where is not None:
            print(f"hint: please send us {where} after reading it", file=sys.stderr)
        sys.exit(EXIT_FAILURE)


def _register() -> None:
    """Each command module has `add(app)`; importing it must stay cheap."""
    import importlib

    for name in COMMANDS:
        importlib.import_module(f"slurm_guard.cli.{name}").add(app)


COMMANDS: tuple[str, ...] = (
    # in the order in which `--help` lists them; one module of this package each
    "collect",
    "node",
    "audit",
    "config",
    "progress",
    "report",
    "mail",
    "demo",
)
