"""`slurm-guard config check|show`: is the file right, and what holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import tzinfo

    from slurm_guard.config import Config

Where = Annotated[Path | None, typer.Option("--config", help="configuration file", readable=False)]

config_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at the configuration.")


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.add_typer(config_app, name="config")


@config_app.command()
def check(config: Where = None) -> None:
    """Say whether the configuration file is right; every wrong key is named with the nearest valid one."""
    from slurm_guard.clock import SystemClock
    from slurm_guard.config import DEFAULT_PATH, all_keys
    from slurm_guard.configdoubts import doubts
    from slurm_guard.configfile import loose_places

    loaded, zone = _all_right(config)
    for doubt in doubts(loaded, zone, SystemClock().now_at()):
        typer.echo(f"warning: {doubt}", err=True)
    path = config or DEFAULT_PATH
    if config is None and not DEFAULT_PATH.exists():
        typer.echo(f"{path} does not exist: all {len(all_keys())} keys have their defaults")
    else:
        for loose in loose_places(path):
            typer.echo(f"warning: {loose}, whose members can change what holds", err=True)
        typer.echo(f"{path}: right")


def _all_right(config: Path | None) -> "tuple[Config, tzinfo]":
    """It and its zone. All that is wrong is printed; the last of it is raised."""
    from slurm_guard.config import read_config
    from slurm_guard.errors import GuardError
    from slurm_guard.report.words import load_zone

    loaded, faults = read_config(config)
    try:
        zone = load_zone(loaded.report.timezone)
    except GuardError as error:
        faults.append(error)
    for fault in faults[:-1]:
        typer.echo(f"slurm-guard: {fault.slug}: {fault.sentence}\nhint: {fault.hint}", err=True)
    if faults:
        raise faults[-1]
    return loaded, zone


@config_app.command()
def show(config: Where = None) -> None:
    """Print every key with the value that holds and its help, as a TOML file."""
    from slurm_guard.config import load_config, to_toml

    typer.echo(to_toml(load_config(config)), nl=False)
