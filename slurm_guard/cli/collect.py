"""`slurm-guard collect`: from the nodes' spools to the lake."""

from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(collect)


def collect(
    config: Annotated[Path | None, typer.Option("--config", help="configuration file")] = None,
    spool: Annotated[
        list[Path] | None, typer.Option("--spool", help="a spool folder; may be given more than once")
    ] = None,
    lake: Annotated[Path | None, typer.Option("--lake", help="the lake's folder")] = None,
) -> None:
    """Take what the nodes wrote into the lake; bad files are named and put in quarantine with the reason."""
    from slurm_guard.config import load_config
    from slurm_guard.lake.ingest import collect as collect_spools

    settings = load_config(config).lake
    where = lake or Path(settings.path)
    report = collect_spools(spool or [Path(path) for path in settings.spools], where)
    typer.echo(
        f"{report.n_new} files new ({report.n_rows} rows), {report.n_known} known, "
        f"{len(report.refused)} in quarantine: {where}"
    )
    if report.left_out:
        said = ", ".join(f"{n} {kind!a}" for kind, n in report.left_out)
        typer.echo(f"  left out, of kinds that only a later release knows: {said}")
    for refused in report.refused:
        mark = "" if refused.new else " (as before)"
        # What stands in a refused file may be anybody's words: shown without control characters.
        typer.echo(f"  {refused.path!a} {refused.slug}: {refused.sentence!a}{mark}")
