"""`slurm-guard node status`: what this node's sampler watches now, and whether it is alive at all."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from slurm_guard.doctor.pulse import Pulse

node_app = typer.Typer(no_args_is_help=True, help="Look at the sampler of this node.")


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.add_typer(node_app, name="node")
    node_app.callback()(_root)


def _root() -> None:
    """Keeps `status` a subcommand although it is the only one."""


@node_app.command()
def status(
    node: Annotated[
        str | None, typer.Option("--node", help="node name; default: the only one in the run folder")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the state as one JSON object")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
) -> None:
    """Show what the sampler follows. Exit 1 with `node-silent` when none is alive."""
    import json

    from slurm_guard.cli.nodeview import render
    from slurm_guard.config import load_config
    from slurm_guard.doctor.pulse import find_pulse
    from slurm_guard.errors import GuardError

    run_dir = load_config(config).node.run_dir
    name = node if node is not None else _only_node(run_dir)
    folder = f"{run_dir}/{_checked(name)}"
    found = _read(folder)
    pulse = find_pulse(folder, found)
    if as_json:
        alive = {"alive": pulse.silence is None, "silence": pulse.silence, "beat_age_s": pulse.age_s}
        typer.echo(json.dumps({**(found or {}), **alive}, sort_keys=True))
    elif found is not None:
        for line in render(found, pulse):
            typer.echo(line)
    if pulse.silence is not None:
        raise GuardError("node-silent", f"{name!a}: {pulse.silence}", _hint(pulse))


def _hint(pulse: "Pulse") -> str:
    return pulse.hint or "journalctl -t slurm-guard-sampler shows its last words"


def _only_node(run_dir: str) -> str:
    """The one node of whose sampler there is a folder."""
    from slurm_guard.errors import EXIT_USAGE, GuardError

    try:
        with os.scandir(run_dir) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise GuardError(
            "node-unreadable", f"{run_dir}: {error.strerror}", "name the node with --node, or be root"
        ) from None
    if len(names) == 1:
        return names[0]
    if not names:
        raise GuardError(
            "node-silent", f"no sampler has ever run here: nothing in {run_dir}", "is this a GPU node?"
        )
    shown = ", ".join(f"{name!a}" for name in names[:16])
    raise GuardError("node-several", f"several nodes in {run_dir}: {shown}", "name one: --node N", EXIT_USAGE)


def _checked(name: str) -> str:
    from slurm_guard.errors import EXIT_USAGE, GuardError

    if not name or "/" in name or name.startswith(".") or "\0" in name:
        raise GuardError("node-name", f"{name!a} cannot be a node's name", "--node N", EXIT_USAGE)
    return name


def _read(folder: str) -> dict[str, Any] | None:
    from slurm_guard.errors import GuardError
    from slurm_guard.sampler.status import read_status

    try:
        return read_status(folder)
    except OSError as error:
        raise GuardError(
            "node-unreadable", f"{folder!a}: {error.strerror}", "be root, or look at the folder's mode"
        ) from None
