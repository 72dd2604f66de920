"""`slurm-guard prune`: takes away what was kept for as long as `[keep]` says."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slurm_guard.config import Config
    from slurm_guard.retention import Old


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(prune)


def prune(
    apply: Annotated[bool, typer.Option("--apply", help="do it; without this it is only said")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
) -> None:
    """Say, and with --apply do, what is beyond the days of [keep]: lake, quarantine, reports, mail, views.

    Everything else ends by itself: docs/privacy.md has what is kept where, and for how long.
    """
    import time
    from contextlib import nullcontext

    from slurm_guard.cli.store import send
    from slurm_guard.config import load_config
    from slurm_guard.lake.turns import alone_to_remove
    from slurm_guard.report.viewlog import log_path
    from slurm_guard.retention import remove, rewrite_lines, since

    settings = load_config(config)
    now_at = time.time()
    n_failed = 0
    with alone_to_remove(Path(settings.lake.path)) if apply else nullcontext():
        for old in _find(settings, now_at):
            typer.echo(_line(old, apply))
            failed = remove(old).failed if apply else ()
            n_failed += len(failed)
            for path, why in failed[:5]:
                typer.echo(f"warning: {path}: {why}", err=True)
    days = settings.keep.views_days
    if days > 0 and apply:
        path = log_path(settings.report.views, Path(settings.report.path))
        n = rewrite_lines(path, since(now_at - days * 86_400.0))
        typer.echo(f"views: {n} lines older than {days:g} days removed")
    if not apply:
        typer.echo("nothing was removed: --apply does it")
    elif not send(Path(settings.lake.path), settings, may_shrink=True, patient=True):
        n_failed += 1
    raise typer.Exit(1 if n_failed else 0)


def _find(settings: "Config", now_at: float) -> list["Old"]:
    from slurm_guard.retention import old_days, old_files, old_letters

    keep, lake, reports = settings.keep, Path(settings.lake.path), Path(settings.report.path)
    tables = sorted(path for path in lake.glob("v*/*") if path.is_dir() and not path.is_symlink())
    return [
        old_days("lake", tables, keep.lake_days, now_at),
        old_files("quarantine", lake / "quarantine", keep.quarantine_days, now_at),
        *(old_files("kept parts", place, keep.lake_days, now_at) for place in _parts(settings)),
        old_days("reports", [reports], keep.reports_days, now_at),
        old_letters(reports / "outbox", keep.mail_days, now_at),
    ]


def _parts(settings: "Config") -> list[Path]:
    """Where audits keep results of parts, if it is a folder as they make it: closed, and this user's own."""
    import os

    place = Path(settings.engine.folder or Path(settings.lake.path) / "parts")
    try:
        status = place.lstat()
    except OSError:
        return []
    return [place] if status.st_uid == os.geteuid() and status.st_mode & 0o170077 == 0o040000 else []


def _line(old: "Old", done: bool) -> str:
    if old.kept_days <= 0:
        return f"{old.kind}: kept for ever"
    what = "removed" if done else "would go"
    size = f"{old.size_b / 1e6:.1f} MB"
    return f"{old.kind}: {len(old.files)} files older than {old.kept_days:g} days, {size}, {what}"
