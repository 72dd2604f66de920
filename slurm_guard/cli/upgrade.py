"""`slurm-guard upgrade`: the hooks of this release in place of those that are there, with jobs running."""

from typing import Annotated

import typer

from slurm_guard.cli.install import Apply, Format, Prefix, Root


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(upgrade)


def upgrade(
    apply: Apply = False,
    root: Root = None,
    prefix: Prefix = None,
    format_: Annotated[Format, typer.Option("--format", help="of what is printed")] = "text",
) -> None:
    """Renew hooks, settings and units with this release's, one file at a time; a dry run unless --apply.

    Run it from the new release, installed beside the old one: its folder is what the hooks then name. Running
    jobs are not touched, nor is slurm.conf. Under systemd the sampler is restarted.
    """
    from slurm_guard.cli.install import places, say, show, tell
    from slurm_guard.install.session import carry_out, prepare_upgrade, renew_sampler

    ready = prepare_upgrade(places(root, prefix))
    show(ready, apply, format_)
    if apply:
        tell(carry_out(ready, say) + renew_sampler(ready.asked.places))
