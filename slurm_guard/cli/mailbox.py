"""`slurm-guard mail --list` and `--again`: letters that nobody got, and another try."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from slurm_guard.report.letterbox import Letterbox


def list_unsent(box: "Letterbox") -> None:
    """One line a letter of the last two weeks that was not sent for certain."""
    from slurm_guard.report.letterbox import Status
    from slurm_guard.report.safe import clean

    unsent = [k for k in box.recent() if k.state.status not in (Status.SENT, Status.SUPERSEDED)]
    for k in unsent:
        state = k.state
        said = clean(f"{state.to}: {state.subject}: {state.detail}", 300)
        typer.echo(f"{k.name}  {state.status.value}  {said}")
    if not unsent:
        typer.echo("every letter of the last two weeks was sent")


def call_again(box: "Letterbox", name: str) -> None:
    """Let one letter wait again. Raises GuardError letter-unknown, letter-sent, letter-damaged."""
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.report.letterbox import Status
    from slurm_guard.report.safe import clean

    with box.locked():
        kept = next((k for k in box.recent() if k.name == name), None)
        if kept is None or not kept.letter_path.exists():
            raise GuardError(
                "letter-unknown", f"no letter {clean(name, 120)} is kept", "--list names them", EXIT_USAGE
            )
        if kept.state.status is Status.SENT:
            raise GuardError(
                "letter-sent",
                f"{kept.state.to} has it: {clean(kept.state.detail, 200)}",
                exit_code=EXIT_USAGE,
            )
        if not kept.state.sender:
            raise GuardError(
                "letter-damaged",
                f"what is kept of this letter cannot be read: {clean(kept.state.detail, 200)}",
                f"send {kept.letter_path} by hand, or remove {kept.path} and mail the night anew",
            )
        box.call_again(kept)
    typer.echo(f"{kept.state.to}: waits for the next `slurm-guard mail --send`")
