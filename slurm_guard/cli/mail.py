"""`slurm-guard mail`: the night's letters; a dry run unless --send."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slurm_guard.config import Config
    from slurm_guard.model import Audit
    from slurm_guard.report.letterbox import Letterbox
    from slurm_guard.report.post import Draft


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(mail)


def mail(
    audit: Annotated[
        Path | None, typer.Option("--audit", help="audit document; default: the latest", readable=False)
    ] = None,
    night: Annotated[str | None, typer.Option("--night", help="the night that began on this date")] = None,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", help="a reader of the digest instead of all readers; may be repeated"),
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="send; without it everything but that is done")
    ] = False,
    outbox: Annotated[Path | None, typer.Option("--outbox", help="folder of letters and their state")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="letters that were not sent, and why")] = False,
    again: Annotated[
        str | None,
        typer.Option("--again", help="let a refused, unclear or given up letter go with the next --send"),
    ] = None,
) -> None:
    """Mail the night's digest to its readers, each exactly once however often this is run."""
    from slurm_guard.cli.mailbox import call_again, list_unsent
    from slurm_guard.cli.mailing import drafts_of
    from slurm_guard.cli.ownlake import refuse_root
    from slurm_guard.clock import SystemClock
    from slurm_guard.config import load_config
    from slurm_guard.report.archive import choose_document, read_document
    from slurm_guard.report.letterbox import Letterbox

    settings = load_config(config)
    base = Path(settings.report.path)
    box = Letterbox(outbox or base / "outbox", SystemClock())
    if list_:
        list_unsent(box)
        return
    refuse_root("mail", [outbox or base])
    if again is not None:
        call_again(box, again)
    else:
        path = choose_document(audit, night, base)
        whole = read_document(path)
        drafts = drafts_of(whole, to, settings, _page_of(path, settings))
        _log(path, whole, to or [], settings)
        _mail(box, drafts, settings, send)


def _page_of(document: Path, settings: "Config") -> str:
    """The night's page as its readers find it; empty where there is none, as beside a trial's document."""
    from slurm_guard.cli.chosen import is_inside
    from slurm_guard.report.archive import PAGE

    page = document.resolve().with_name(PAGE)
    if not page.is_file():
        return ""
    base = settings.report.page_url.rstrip("/")
    if base.startswith(("https://", "http://")) and is_inside(Path(settings.report.path), document):
        return f"{base}/{page.parent.name}/{PAGE}"
    return str(page)


def _log(path: Path, whole: "Audit", to: list[str], settings: "Config") -> None:
    """Letters show runs to whoever opens them, in a dry run too."""
    from slurm_guard.cli.chosen import is_inside, log_look
    from slurm_guard.report.safe import clean
    from slurm_guard.report.viewlog import owners

    if is_inside(Path(settings.report.path), path):
        asked = f"to {clean(', '.join(to), 180)}" if to else ""
        seen = (len(whole.judgements), owners(whole.judgements))
        log_look("mail", (path.resolve().parent.name, asked, "eml"), seen, settings)


def _mail(box: "Letterbox", drafts: "list[Draft]", settings: "Config", send: bool) -> None:
    """Write the letters; with `send` also send them, and what still waits of earlier runs."""
    from slurm_guard.cli.mailing import send_all
    from slurm_guard.report.post import Post

    if send:
        send_all(box, drafts, settings)
        return
    for draft in drafts:
        letter, path = Post(box, settings.mail.sender, False).show(draft)
        size = f"{len(letter.content) / 1000:.1f} kB"
        typer.echo(f"{draft.to}: {letter.subject} ({size}): {path}")
    typer.echo("dry run: nothing was sent; --send sends")
