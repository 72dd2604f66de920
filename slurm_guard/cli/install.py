"""`slurm-guard install`: hooks, settings, units and slurm.conf's lines; a dry run unless --apply."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from slurm_guard.install.change import Places
    from slurm_guard.install.session import Prepared

Role = Literal["node", "head", "all"]
Format = Literal["text", "json"]
Root = Annotated[Path | None, typer.Option(help="a staged image; nothing is started")]
Prefix = Annotated[Path | None, typer.Option(help="everything below this folder, beside the system's places")]
Apply = Annotated[bool, typer.Option("--apply", help="do it; without, nothing is changed")]


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(install)


def install(
    role: Annotated[Role, typer.Option(help="what this machine is: a GPU node, the head node, both")] = "all",
    apply: Apply = False,
    slurm_conf: Annotated[
        Path | None,
        typer.Option(help="the slurm.conf to edit; default: found, edited on its controller alone"),
    ] = None,
    slurm_version: Annotated[
        str | None, typer.Option(help="as 23.11; default: asked of scontrol or slurmd")
    ] = None,
    no_slurm_conf: Annotated[
        bool, typer.Option("--no-slurm-conf", help="leave slurm.conf alone; its lines are printed")
    ] = False,
    print_slurm_conf: Annotated[
        bool, typer.Option("--print-slurm-conf", help="print slurm.conf's lines and nothing else")
    ] = False,
    no_task_prolog: Annotated[
        bool, typer.Option("--no-task-prolog", help="without TaskProlog: no SLURM_GUARD_PROGRESS in jobs")
    ] = False,
    reconfigure: Annotated[
        bool, typer.Option("--reconfigure", help="`scontrol reconfigure` when slurm.conf was changed")
    ] = False,
    root: Root = None,
    prefix: Prefix = None,
    format_: Annotated[Format, typer.Option("--format", help="of what is printed")] = "text",
) -> None:
    """Put hooks, settings, units and slurm.conf's lines onto this machine; a dry run unless --apply.

    The site's own Prolog, Epilog and TaskProlog go on as before, with their exit status. `slurm-guard
    uninstall` puts everything back, byte for byte.
    """
    from slurm_guard.install.facts import Asked
    from slurm_guard.install.session import prepare
    from slurm_guard.install.show import plain

    edit = not (no_slurm_conf or print_slurm_conf)
    if slurm_conf is not None and root is None:
        slurm_conf = slurm_conf.absolute()
    must = slurm_conf is not None or not no_slurm_conf or print_slurm_conf
    where = places(root, prefix, slurm_conf)
    asked = Asked(role, where, slurm_conf, slurm_version, edit, not no_task_prolog, must)
    ready = prepare(asked)
    if print_slurm_conf:
        for line in ready.plan.by_hand:
            typer.echo(plain(line))
        return
    show(ready, apply, format_)
    if apply:
        _apply(ready, reconfigure)


def places(root: Path | None, prefix: Path | None, conf: Path | None = None) -> "Places":
    """Absolute, or a GuardError."""
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.install.change import Places

    for name, path in (("--root", root), ("--prefix", prefix), ("--slurm-conf", conf)):
        if path is not None and (not path.is_absolute() or ".." in path.parts):
            raise GuardError("install-path", f"{name} {path} is not absolute", "", EXIT_USAGE)
    if root is not None and not root.is_dir():
        raise GuardError("install-path", f"--root {root} is no folder", "", EXIT_USAGE)
    return Places(prefix, root)


def show(ready: "Prepared", apply: bool, format_: Format) -> None:
    """The plan; a dry run that would be refused ends with 1."""
    from slurm_guard.install.show import plan_json, plan_text

    write = plan_json if format_ == "json" else plan_text
    typer.echo(write(ready.keeper.disk, ready.plan, ready.changes))
    if apply:
        return
    able = not ready.plan.problems
    if format_ == "text":
        deed = "does it" if able else "changes nothing either, before that is mended"
        typer.echo(f"nothing was changed; --apply {deed}")
    if not able:
        raise typer.Exit(1)


def tell(failed: list[str]) -> None:
    """What failed or stays: exit 1 if anything did."""
    for sentence in failed:
        typer.echo(f"warning: {sentence}", err=True)
    if failed:
        raise typer.Exit(1)


def _apply(ready: "Prepared", reconfigure: bool) -> None:
    from slurm_guard.install import live
    from slurm_guard.install.session import carry_out

    failed = carry_out(ready, say)
    if any(change.edit for change in ready.changes) and ready.asked.places.root is None:
        if reconfigure:
            live.reconfigure()
            say("scontrol reconfigure: done")
        else:
            say("next: `scontrol reconfigure`, when every node has its hooks")
    tell(failed)


def say(line: str) -> None:
    """Progress goes to standard error: standard output is the plan."""
    from slurm_guard.install.show import plain

    typer.echo(plain(line), err=True)
