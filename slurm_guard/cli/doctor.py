"""`slurm-guard doctor`: what is wrong with this installation, and what to do about it."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class _Format(str, Enum):
    TEXT = "text"
    JSON = "json"


class _For(str, Enum):
    AUTO = "auto"
    NODE = "node"
    HEAD = "head"
    ALL = "all"


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(doctor)


def doctor(
    role: Annotated[
        _For, typer.Option("--role", help="what this machine is for; auto: what it seems to be")
    ] = _For.AUTO,
    format_: Annotated[_Format, typer.Option("--format", help="how it is printed")] = _Format.TEXT,
    check: Annotated[
        list[str] | None, typer.Option("--check", help="only this check; may be given more than once")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="name the checks, and look at nothing")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="also what is in order")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="exit 10 for warnings too, and for what could not be looked at")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", help="seconds that each round of looks may take", min=1, max=600)
    ] = 10.0,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
    slurm_conf: Annotated[
        Path | None,
        typer.Option("--slurm-conf", help="slurm.conf; default: SLURM_CONF, or its place", readable=False),
    ] = None,
    hooks_conf: Annotated[
        Path | None,
        typer.Option(
            "--hooks-conf", help="the hooks' settings; default: where the prolog looks", readable=False
        ),
    ] = None,
) -> None:
    """Look for what is wrong with the installation: each finding is a sentence and a remedy.

    Nothing is changed, no letter is sent, and whatever hangs is left after --timeout seconds. Exit 10 when
    there is a problem.
    """
    from slurm_guard.doctor.collect import Asked, collect
    from slurm_guard.doctor.examine import examine
    from slurm_guard.doctor.finding import Level, Role
    from slurm_guard.doctor.registry import choose
    from slurm_guard.doctor.show import render_json, render_text
    from slurm_guard.errors import EXIT_FINDINGS

    checks = choose(check or [])
    if list_:
        for each in checks:
            typer.echo(f"{each.id:<18} {'+'.join(part.value for part in each.roles):<10} {each.what}")
        return
    wanted = {_For.AUTO: (), _For.ALL: tuple(Role), _For.NODE: (Role.NODE,), _For.HEAD: (Role.HEAD,)}[role]
    facts, roles = collect(Asked(config, slurm_conf, hooks_conf, timeout), frozenset(wanted))
    found = examine(facts, checks, roles)
    if format_ is _Format.JSON:
        typer.echo(render_json(found))
    else:
        for line in render_text(found, everything=verbose):
            typer.echo(line)
    bad = (Level.PROBLEM, Level.WARNING, Level.UNSEEN) if strict else (Level.PROBLEM,)
    if any(found.count(level) for level in bad):
        raise typer.Exit(EXIT_FINDINGS)
