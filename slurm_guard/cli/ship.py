"""`slurm-guard ship`: a node's finished spool files to where a collector can have them."""

from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(ship)


def ship(
    to: Annotated[
        Path | None,
        typer.Option("--to", readable=False, help="copy to this drop folder, below the node's name"),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="answer on stdin and stdout: the forced command of an ssh key")
    ] = False,
    node: Annotated[
        str | None,
        typer.Option("--node", help="the node's name in Slurm; default: the host's, without domain"),
    ] = None,
    spool: Annotated[Path | None, typer.Option("--spool", help="the spool folder", readable=False)] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
) -> None:
    """Send what is finished and not there yet; the spool is only read."""
    import os
    import sys

    from slurm_guard.config import load_config
    from slurm_guard.errors import EXIT_FAILURE, EXIT_USAGE, GuardError
    from slurm_guard.lake import ship as shipping

    if (to is None) == (not serve):
        raise GuardError("ship-way", "one of --to and --serve is needed", "see docs/transport.md", EXIT_USAGE)
    name = node or os.uname().nodename.partition(".")[0]
    folder = shipping.own_folder(spool or Path(load_config(config).node.spool_dir), name)
    if to is None:
        shipping.serve(folder, sys.stdin.buffer, sys.stdout.buffer)
        return
    done = shipping.push(folder, name, to)
    typer.echo(f"{done.n_new} files new, {done.n_known} known, {len(done.refused)} refused: {to / name}")
    for path in done.refused:
        typer.echo(f"  {path}: it stands there with another size, and stays")
    if done.refused:
        raise typer.Exit(EXIT_FAILURE)
