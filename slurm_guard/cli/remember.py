"""What the audit is told of earlier nights and of the site's words, and what it leaves for later ones."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slurm_guard.audit.facts import Facts
    from slurm_guard.config import Config
    from slurm_guard.lake.view import View
    from slurm_guard.model import Audit

# Skips of files that hold rows of the lake, or what earlier audits learnt.
_UNREAD = ("lake-file-unreadable", "history-file-unreadable", "history-unreadable")


def recall(facts: "Facts", settings: "Config", up_to: int | None) -> "Facts":
    """The facts with what was said and remembered; where words may not be believed, none holds: a skip."""
    from dataclasses import replace

    from slurm_guard.errors import GuardError
    from slurm_guard.memory.nights import read_nights
    from slurm_guard.memory.words import NAME, Book, read_book
    from slurm_guard.model import Skip

    folder = Path(settings.report.path)
    skips: list[Skip] = []
    try:
        book = read_book(folder / NAME)
    except GuardError as error:
        book = Book()
        said = error.sentence.replace(str(folder / NAME), "the file")  # no path of the machine in a document
        skips.append(Skip("site words", error.slug, f"{said}: nothing is explained"))
    skips += [Skip("site words", "words-line", line) for line in book.bad]
    past, unread = read_nights(folder, facts.cluster, facts.from_at, settings.audit.history_nights)
    return replace(facts, words=book.words(up_to), past=past, skips=(*facts.skips, *skips, *unread))


def made_of(document: Path, settings: "Config") -> tuple[Path, ...]:
    """What an audit writes beside a night's document, and makes of it; beside another document nothing."""
    from slurm_guard.cli.chosen import is_inside
    from slurm_guard.memory.nights import NAME
    from slurm_guard.report.archive import DOCUMENT, PAGE

    if document.name != DOCUMENT or not is_inside(Path(settings.report.path), document):
        return ()
    return document.with_name(NAME), document.with_name(PAGE)


def say_more(done: "Audit", published: "tuple[View, Path, Config] | None") -> None:
    """What came while a night was audited (null: a trial, which says nothing of it), and what was unread."""
    from slurm_guard.cli.reopened import tell_newer

    if published is not None:
        tell_newer(*published)
    say_unread(done)


def say_unread(done: "Audit") -> None:
    """On stderr, where files could not be read: a night that lacks their rows looks like a quieter one."""
    import typer

    from slurm_guard.report.safe import clean
    from slurm_guard.report.words import plural

    unread = [skip for skip in done.skips if skip.reason in _UNREAD]
    if unread:
        what = f"{plural(len(unread), 'file')} could not be read, and what is there is missing in this night"
        first = f"{clean(unread[0].subject, 200)}: {clean(unread[0].detail, 200)}"
        more = f"; {len(unread) - 1} more among the document's skips" if len(unread) > 1 else ""
        typer.echo(f"slurm-guard: {what}: {first}{more}", err=True)


def leave(done: "Audit", document: Path, settings: "Config") -> None:
    """The night's index beside its document, and each user's own. Raises GuardError output-unwritable."""
    from slurm_guard.audit.past import night_of
    from slurm_guard.memory.nights import NAME, to_text
    from slurm_guard.report.archive import write_output

    write_output(document.with_name(NAME), to_text(night_of(done)).encode(), 0o640)
    _leave_own(done, document.parent.name, settings)


def leave_page(done: "Audit", document: Path, settings: "Config") -> None:
    """The night's page beside its document, closed as that is. Raises GuardError output-unwritable."""
    from slurm_guard.report.archive import PAGE, write_output
    from slurm_guard.report.page import Options, build_page
    from slurm_guard.report.render import find_method, render_html
    from slurm_guard.report.words import load_zone

    report = settings.report
    zone, method = load_zone(report.timezone), find_method()
    options = Options(report.site, zone, method_url=report.method_url, method_file=method)
    write_output(document.with_name(PAGE), render_html(build_page(done, options)).encode(), 0o640)


def _leave_own(done: "Audit", night: str, settings: "Config") -> None:
    """Each user's own document, where the site has a folder for them. What fails is said on stderr."""
    import typer

    from slurm_guard.errors import GuardError
    from slurm_guard.report.ownfiles import own_folder, write_own

    folder = own_folder(settings.report.own, Path(settings.report.path))
    try:
        written = write_own(folder, night, done, settings.report.own_nights)
    except GuardError as error:
        typer.echo(f"slurm-guard: {error.slug}: {error.sentence}: users cannot see this night", err=True)
        return
    if written is not None and written.failed:
        uid, why = written.failed[0]
        more = f" and {len(written.failed) - 1} more" if len(written.failed) > 1 else ""
        typer.echo(f"slurm-guard: uid {uid}{more} cannot see this night: {folder}: {why}", err=True)
