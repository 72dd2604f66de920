"""`slurm-guard uninstall`: everything as it was before `slurm-guard install`; a dry run unless --apply."""

from typing import Annotated

import typer

from slurm_guard.cli.install import Apply, Prefix, Root


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(uninstall)


def uninstall(
    apply: Apply = False,
    reconfigure: Annotated[
        bool, typer.Option("--reconfigure", help="`scontrol reconfigure` when slurm.conf is as before")
    ] = False,
    now: Annotated[
        bool,
        typer.Option("--now", help="do not ask Slurm whether it still names the hooks; slurm.conf is read"),
    ] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="also spool, lake, reports, and a configuration that was changed")
    ] = False,
    root: Root = None,
    prefix: Prefix = None,
) -> None:
    """Put everything back as it was, byte for byte; a dry run unless --apply.

    slurm.conf comes first, and the hooks go only when Slurm names them no more. Of a file that somebody
    changed since, only our lines are taken out. Data stays unless --purge.
    """
    from slurm_guard.cli.install import places, say, tell
    from slurm_guard.install.removal import Removal, prepare_uninstall, take_back
    from slurm_guard.install.show import plain

    where = places(root, prefix)
    if apply:
        tell(take_back(where, Removal(reconfigure, now, purge), say))
        return
    outlook = prepare_uninstall(where, purge=purge)
    for step in outlook.steps:
        if step.sentence:
            typer.echo(plain(step.sentence))
    for folder in outlook.purged:
        typer.echo(f"{plain(str(folder))} is removed with all that is in it")
    if outlook.waiting:
        typer.echo(f"problem: {plain(outlook.waiting)}")
        typer.echo("nothing was changed; --apply would go as far as that")
        raise typer.Exit(1)
    typer.echo("nothing was changed; --apply does it")
