"""`slurm-guard lake`: `show` prints rows of a table to who wants to see for himself; `tables` lists them.

`sync` is in store.py.
"""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slurm_guard.cli.complete import complete_column, complete_table

if TYPE_CHECKING:
    from datetime import tzinfo

    from slurm_guard.config import Config
    from slurm_guard.lake.show import Asked, Shown

lake_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look into the lake: what the nodes recorded, row by row; and its object store.",
)

_Config = Annotated[Path | None, typer.Option("--config", help="configuration file", readable=False)]
_Lake = Annotated[Path | None, typer.Option("--lake", help="the lake's folder", readable=False)]
_TIME = "ISO time (in report.timezone, which is UTC unless set) or epoch seconds"
_MOST = 100_000  # as lake.show has it, which loads Polars


class RowFormat(str, Enum):
    """What comes out."""

    TEXT = "text"
    CSV = "csv"
    JSON = "json"


def add(app: typer.Typer) -> None:
    """Register the command."""
    from slurm_guard.cli.store import sync

    lake_app.command()(sync)
    app.add_typer(lake_app, name="lake")


@lake_app.command()
def tables(
    table: Annotated[
        str | None,
        typer.Argument(help="one table, to see its columns", metavar="TABLE", autocompletion=complete_table),
    ] = None,
    lake: _Lake = None,
    config: _Config = None,
) -> None:
    """List the tables with the days that they have; of one table the columns with their types."""
    from slurm_guard.cli.laketext import about_table, about_tables
    from slurm_guard.config import load_config
    from slurm_guard.lake.about import check_table

    where = lake or Path(load_config(config).lake.path)
    if table is not None:
        check_table(table)
    check_open(where)
    for line in about_tables(where) if table is None else about_table(where, table):
        typer.echo(line)


@lake_app.command()
def show(
    table: Annotated[
        str,
        typer.Argument(help="see `slurm-guard lake tables`", metavar="TABLE", autocompletion=complete_table),
    ],
    job: Annotated[
        int | None, typer.Option("--job", min=0, help="rows of this job (raw id), and of what is on its GPUs")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="rows with this run key")] = None,
    node: Annotated[str | None, typer.Option("--node", help="rows of this node")] = None,
    night: Annotated[
        str | None, typer.Option("--night", help="the day and night that began on this date")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help=f"not before: {_TIME}")] = None,
    to: Annotated[str | None, typer.Option("--to", help="before this time")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where", help="COLUMN=VALUE, of a list one value, `null`: not observed; may be repeated"
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            help="names with commas, or all; default: all, in a terminal the usual ones",
            autocompletion=complete_column,
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=_MOST, help="show so many rows")] = 100,
    form: Annotated[RowFormat, typer.Option("--format", help="what comes out")] = RowFormat.TEXT,
    lake: _Lake = None,
    config: _Config = None,
) -> None:
    """Print rows of a table, the earliest first. Who looked at whose runs is logged.

    The lake holds everybody's runs and is open to those who keep it. A file that cannot be read is named, and
    the exit status is 1 then.
    """
    from slurm_guard.cli.laketext import Page, render
    from slurm_guard.cli.rendered import put_out
    from slurm_guard.config import load_config
    from slurm_guard.lake.about import check_table
    from slurm_guard.lake.show import Asked, show_rows
    from slurm_guard.report.words import load_zone

    settings = load_config(config)
    zone = load_zone(settings.report.timezone)
    check_table(table)
    span = _span(night, from_, to, zone)
    _check_run(run)
    named = _columns(table, columns, usual=form is RowFormat.TEXT)
    asked = Asked(table, named, job, run, node, _where(where or []), *span, limit)
    folder = lake or Path(settings.lake.path)
    check_open(folder, table)
    shown = show_rows(folder, asked)
    _log(folder, asked, shown, form, settings)
    put_out(render(Page(asked, shown, zone), form.value), None)
    _say_left(shown, form)


def _columns(table: str, text: str | None, *, usual: bool) -> tuple[str, ...]:
    """Empty: every one. Raises GuardError narrow-empty."""
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.lake.about import EVERY, USUAL

    if text is None:
        return USUAL[table] if usual else ()
    names = tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))
    if not names:
        raise GuardError("narrow-empty", "--columns names nothing", "leave it away, or say all", EXIT_USAGE)
    return () if names == (EVERY,) else names


def _check_run(run: str | None) -> None:
    """Raises GuardError run-key: a report names runs otherwise than the nodes do."""
    from slurm_guard.errors import EXIT_USAGE, GuardError

    if run is None or run.count("/") == 4:
        return
    parts = run.split("/")
    hint = "it has five parts, as the column run shows them; a job's rows: --job"
    if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
        hint = f"that is a run's id in a report; its rows: --job {parts[1]} --from {parts[2]}"
    raise GuardError("run-key", f"{run[:80]!a} is no run key", hint, EXIT_USAGE)


def _where(texts: list[str]) -> tuple[tuple[str, str], ...]:
    """Raises GuardError where-syntax."""
    from slurm_guard.errors import EXIT_USAGE, GuardError

    for text in texts:
        if "=" not in text:
            raise GuardError(
                "where-syntax", f"--where {text[:40]!a} is no COLUMN=VALUE", "--where pid=4711", EXIT_USAGE
            )
    return tuple((name.strip(), value) for name, _, value in (text.partition("=") for text in texts))


def _span(
    night: str | None, from_: str | None, to: str | None, zone: "tzinfo"
) -> tuple[float | None, float | None]:
    """Raises GuardError night-or-time, night-syntax, time-syntax, time-order."""
    from datetime import datetime, timedelta

    from slurm_guard.cli.audit import parse_instant
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.report.archive import parse_night

    if night is not None:
        if from_ is not None or to is not None:
            raise GuardError(
                "night-or-time",
                "--night names a time by itself, and so do --from and --to",
                "leave one of them away",
                EXIT_USAGE,
            )
        begin = datetime.fromisoformat(parse_night(night)).replace(tzinfo=zone)
        return begin.timestamp(), (begin + timedelta(days=1)).timestamp()
    span = tuple(None if text is None else parse_instant(text, zone) for text in (from_, to))
    if span[0] is not None and span[1] is not None and span[1] <= span[0]:
        raise GuardError("time-order", "--to must be later than --from", "turn them round", EXIT_USAGE)
    return span[0], span[1]


def check_open(lake: Path, table: str | None = None) -> None:
    """Raises GuardError lake-missing, lake-closed for whom it was not made, lake-newer, lake-older."""
    import os

    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.lake.steps import formats_in, homes

    _check_entered([*reversed(lake.absolute().parents)], os.X_OK, lake)
    _check_entered([lake], os.R_OK | os.X_OK, lake)
    roots = [lake / f"v{number}" for number in formats_in(lake)]
    if not roots:
        raise GuardError(
            "lake-missing",
            f"the lake {lake} " + ("holds nothing that was collected" if lake.exists() else "does not exist"),
            "check [lake] path or --lake, and run `slurm-guard collect` first",
            EXIT_USAGE,
        )
    folders = [home.folder for home in homes(lake, table)] if table is not None else []
    _check_entered([*roots, *folders], os.R_OK | os.X_OK, lake)


def _check_entered(folders: list[Path], mode: int, lake: Path) -> None:
    """Those that are there may be entered. Raises GuardError lake-closed."""
    import os

    from slurm_guard.errors import GuardError

    for folder in folders:
        if os.access(folder, os.F_OK) and not os.access(folder, mode):
            raise GuardError(
                "lake-closed",
                f"the lake {lake} is not open to you: it holds everybody's runs",
                "your own runs: slurm-guard report --job JOB; else ask those who keep the lake",
            )


def _log(lake: Path, asked: "Asked", shown: "Shown", form: RowFormat, settings: "Config") -> None:
    """Who looks at whose runs, before they are shown; of another lake than the configured one nothing."""
    from slurm_guard.cli.chosen import log_look
    from slurm_guard.cli.laketext import asked_words
    from slurm_guard.lake.show import owners_of

    if lake.resolve() != Path(settings.lake.path).resolve():
        return
    seen = (len(shown.runs), owners_of(lake, shown.runs))
    log_look(f"lake show {asked.table}", ("", asked_words(asked), form.value), seen, settings)


def _say_left(shown: "Shown", form: RowFormat) -> None:
    """What is not shown: of a table for programs beside it, on stderr; what could not be read."""
    from slurm_guard.cli.laketext import more_words
    from slurm_guard.errors import EXIT_FAILURE
    from slurm_guard.report.safe import clean

    if form is RowFormat.CSV and shown.n_all > len(shown.rows):
        typer.echo(f"slurm-guard: {more_words(shown)}", err=True)
    for name, why in shown.unread[:10]:
        typer.echo(f"slurm-guard: {clean(name, 200)} was passed over: {clean(why, 300)}", err=True)
    if len(shown.unread) > 10:
        typer.echo(f"slurm-guard: and {len(shown.unread) - 10:,} more files", err=True)
    if shown.unread:
        raise typer.Exit(EXIT_FAILURE)
