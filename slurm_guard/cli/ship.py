"""`slurm-guard ship`: a node's finished spool files to where a collector can have them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slurm_guard.lake.prune import Bounds


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
    from slurm_guard.lake import prune as pruning
    from slurm_guard.lake import ship as shipping

    if (to is None) == (not serve):
        raise GuardError("ship-way", "one of --to and --serve is needed", "see docs/transport.md", EXIT_USAGE)
    name = node or os.uname().nodename.partition(".")[0]
    settings = load_config(config)
    folder = shipping.own_folder(spool or Path(settings.node.spool_dir), name)
    if to is None:
        for path in shipping.serve(folder, sys.stdin.buffer, sys.stdout.buffer):
            typer.echo(f"not sent: {path}", err=True)
        return
    place = to / name
    done = shipping.push(folder, name, to, pruning.read_pruned(place))
    bounds = pruning.Bounds(settings.lake.drop_mib << 20, settings.lake.drop_days * 86_400.0)
    _prune(place, bounds)
    skipped = f", {len(done.skipped)} skipped" if done.skipped else ""
    typer.echo(
        f"{done.n_new} files new, {done.n_known} known, {len(done.refused)} refused{skipped}: {to / name}"
    )
    for path in done.refused:
        typer.echo(f"  {path}: it stands there with another size, and stays")
    for path in done.skipped:
        typer.echo(f"  {path}: it cannot be sent, and stays")
    if done.refused or done.skipped:
        raise typer.Exit(EXIT_FAILURE)


def _prune(place: Path, bounds: "Bounds") -> None:
    """Give up what the collector says it has, where that is too much or too old; see docs/transport.md."""
    from slurm_guard.errors import GuardError
    from slurm_guard.lake.prune import prune, read_acks

    try:
        gone = prune(place, read_acks(place), bounds)
    except OSError as error:
        why = f"{error.filename or place}: {error.strerror or error}"
        raise GuardError("drop-unwritable", why, "see docs/transport.md") from None
    if gone.n:
        typer.echo(f"{gone.n} files that are in the lake left {place}")
    if gone.over(bounds):
        typer.echo(f"{gone.waiting_b} bytes in {place} are not in the lake as far as it says, and stay")
