"""`slurm-guard declare`: what to paste so that a job says what it is for, and what a script says."""

import shlex
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slurm_guard.declaration import Folded


class Field(str, Enum):
    """Where Slurm keeps it."""

    COMMENT = "comment"
    EXTRA = "extra"


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(declare)


def declare(
    kind: Annotated[
        str | None, typer.Option("--kind", help="what the job does: pretrain, sft, inference, …")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="how far it shall come: steps:20000, tokens:2T, epochs:3")
    ] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="GPU-hours that it may take: 400")] = None,
    egress: Annotated[
        str | None,
        typer.Option("--egress", help="whom it speaks to outside: s3.example.org:443,10.2.0.0/16, or none"),
    ] = None,
    progress: Annotated[
        str | None, typer.Option("--progress", help="file that it logs to; %j is the job's id")
    ] = None,
    field: Annotated[
        Field, typer.Option("--in", help="extra: Slurm 23.02 or later, where the site uses it")
    ] = Field.COMMENT,
    check: Annotated[
        Path | None, typer.Option("--check", help="say what this batch script declares", readable=False)
    ] = None,
) -> None:
    """Print what to paste so that a job says what it is for; nothing is asked, sent or changed.

    What is declared is a claim: the audit holds it against what happened.
    """
    options = {"kind": kind, "target": target, "budget": budget, "egress": egress, "progress": progress}
    claims = {key: value for key, value in options.items() if value is not None}
    if check is not None:
        raise typer.Exit(_tell_script(check, field.value))
    for line in _lines_of(claims, field.value) if claims else _EXAMPLE:
        typer.echo(line)


_EXAMPLE = (
    "Say what the job is for, and paste what is printed, for example:",
    "  slurm-guard declare --kind pretrain --target steps:20000 --budget 400",
    "  slurm-guard declare --check train.sh     # what a script declares",
    "All options: slurm-guard declare --help",
)


def _lines_of(claims: dict[str, str], field: str) -> list[str]:
    """What to paste. Raises GuardError intent-wrong, intent-long."""
    from slurm_guard.cli.claimwords import likely_kind
    from slurm_guard.cli.sbatchline import quote_word
    from slurm_guard.declaration import ORDER, WORD, add_claims
    from slurm_guard.errors import EXIT_USAGE, GuardError

    for key, value in claims.items():
        _refuse_wrong(key, value)
    text = add_claims(None, claims)
    if text is None:
        raise GuardError("intent-long", "it is longer than the 1024 bytes that Slurm keeps", "", EXIT_USAGE)
    near = likely_kind(claims["kind"]) if "kind" in claims else None
    lines = [f"# {claims['kind']!a} is a word of your own; if you mean {near}, say that"] if near else []
    lines += [
        "# In the batch script, above its first command; on any Slurm:",
        f"#SBATCH --{field}={quote_word(text)}",
    ]
    lines += ["", "# or, where the site folds these lines (docs/intent.md):"]
    lines += [f"{WORD} {key}={_shown(claims[key])}" for key in ORDER if key in claims]
    return [
        *lines,
        "",
        "# or on the command line of sbatch, salloc and srun:",
        f"--{field}={shlex.quote(text)}",
    ]


def _shown(value: str) -> str:
    """As the line's reader takes it: quotes at both ends are taken off."""
    return f'"{value}"' if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" else value.strip()


def _refuse_wrong(key: str, value: str) -> None:
    from slurm_guard.cli.claimwords import nearest, problems_of
    from slurm_guard.errors import EXIT_USAGE, GuardError

    problems = problems_of(key, value)
    if problems:
        near = nearest(key, value)
        hint = (
            f"did you mean --{key} {shlex.quote(near)}?"
            if near
            else "slurm-guard declare --help has examples"
        )
        given = f", not {value[:80]!a}" if "must be" in problems[0] else ""
        raise GuardError("intent-wrong", f"{problems[0]}{given}", hint, EXIT_USAGE)


def _tell_script(path: Path, field: str) -> int:
    """What the cluster would record of a batch script; 1 where something in it is not understood."""
    from slurm_guard.cli.scriptread import read_script

    read = read_script(path, field)
    folded: Folded = read.folded
    for name, text in (("comment", folded.comment), ("extra", folded.extra)):
        if text is not None:
            typer.echo(f"{name}: {text if text.isprintable() else ascii(text)}")
    for line in read.claims:
        typer.echo(f"  {line}")
    if not read.claims:
        typer.echo("nothing is declared")
    for problem in (*folded.problems, *read.warnings):
        typer.echo(f"warning: {problem}", err=True)
    if read.n_lines:
        typer.echo(
            f"note: {read.n_lines} #GUARD lines count where the site's job_submit.lua reads them", err=True
        )
    return 1 if folded.problems or read.warnings else 0
