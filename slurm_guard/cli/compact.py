"""`slurm-guard compact`: few large files in place of the lake's many small ones."""

from pathlib import Path
from typing import Annotated

import typer

RECENT_DAYS = 14  # that `collect` looks at: a segment that comes later stays a file of its own. Judgement


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(compact)


def compact(
    lake: Annotated[Path | None, typer.Option("--lake", help="the lake's folder", readable=False)] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
) -> None:
    """Put the files of all days that are over together. `collect` does it for the last two weeks by itself.

    Rows stay as they are; what was put together goes hours later, by the next call.
    """
    from slurm_guard.cli.ownlake import refuse_root
    from slurm_guard.cli.store import refuse_copy, send
    from slurm_guard.config import load_config
    from slurm_guard.errors import EXIT_FAILURE
    from slurm_guard.lake.steps import formats_in

    whole = load_config(config)
    settings = whole.lake
    where = lake or Path(settings.path)
    refuse_root("compact", [where])
    refuse_copy(where)
    if not formats_in(where):
        typer.echo(f"nothing was collected yet: {where}")
    elif not tidy(where, settings.min_free_mib << 20, recent_days=None) or not send(where, whole):
        raise typer.Exit(EXIT_FAILURE)


def tidy(lake: Path, least_free_b: int, recent_days: int | None = RECENT_DAYS) -> bool:
    """Put together and say what was done; false: not, and why is said. `recent_days` null: all of them.

    No failure of this costs a row, and none stops what follows it.
    """
    from datetime import date, datetime, timedelta, timezone

    from slurm_guard.clock import SystemClock
    from slurm_guard.errors import GuardError
    from slurm_guard.lake.compact import compact as put_together
    from slurm_guard.lake.ingest import free_of
    from slurm_guard.lake.turns import alone

    now_at = SystemClock().now_at()
    today = datetime.fromtimestamp(now_at, timezone.utc).date()
    first = date.min if recent_days is None else today - timedelta(days=recent_days)
    try:
        if free_of(lake) < least_free_b:
            return _not_done(f"less than {least_free_b >> 20} MiB are free there")
        with alone(lake):
            done = put_together(lake, (first, today - timedelta(days=1)), now_at)
    except GuardError as error:
        return _not_done(error.sentence)
    except OSError as error:
        return _not_done(f"{error.filename or lake}: {error.strerror or error}")
    if done.n_after:
        size = f"{done.before_b / 1e6:.1f} to {done.after_b / 1e6:.1f} MB"
        typer.echo(f"  {done.n_before} files of days that are over became {done.n_after}: {size}")
    if done.n_removed:
        typer.echo(f"  {done.n_removed} files that were put together before are gone")
    for path, why in done.failed[:5]:
        typer.echo(f"  {path} stays as it is: {why!a}", err=True)
    return True


def _not_done(why: str) -> bool:
    typer.echo(f"  files were not put together: {why}", err=True)
    return False
