"""Whose documents a reader may have: the whole nights, or those of his own runs; and the log of views."""

import os
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from slurm_guard.config import Config
    from slurm_guard.errors import GuardError


@dataclass(frozen=True, slots=True)
class Archive:
    """Where this reader's documents are."""

    reports: Path
    own: Path
    is_own: bool  # the reports are closed to the reader: only what was written for him

    @property
    def scope(self) -> str:
        """Said above everything; empty: the whole nights."""
        uid = os.getuid()
        return (
            f"Your own runs alone (uid {uid}); what names anybody else was left out." if self.is_own else ""
        )

    def find(self, audit: Path | None, night: str | None) -> Path:
        """The document meant. Raises GuardError audit-or-night, night-syntax, document-missing, own-none."""
        from slurm_guard.report.archive import choose_document, parse_night
        from slurm_guard.report.ownfiles import find_own

        if audit is None and self.is_own:
            return find_own(self.own, os.getuid(), None if night is None else parse_night(night))
        return choose_document(audit, night, self.reports)


def archive_of(settings: "Config") -> Archive:
    """A reader to whom a night is open reads the reports; another has his own, where the site keeps any."""
    from slurm_guard.report.archive import is_closed
    from slurm_guard.report.ownfiles import own_folder

    reports = Path(settings.report.path)
    own = own_folder(settings.report.own, reports)
    there = os.path.lexists(reports) or os.path.lexists(own)
    return Archive(reports, own, os.geteuid() != 0 and there and is_closed(reports))


def log_view(
    archive: Archive,
    path: Path | None,
    what: tuple[str, str, str],
    seen: "tuple[int, AbstractSet[str]]",
    settings: "Config",
) -> None:
    """Who looks at which runs of the reports, before they are shown. One's own document is nobody else's
    business, nor is a file from elsewhere.

    `path`: of one document, null: of several nights; `seen`: how many runs, and whose.
    """
    if not archive.is_own and (path is None or is_inside(archive.reports, path)):
        log_look("report", what, seen, settings)


_LATE_S = 36 * 3600.0  # a night is audited before the next one ends, and that takes hours. Judgement


def say_age(archive: Archive, until_at: float) -> None:
    """On stderr, where the latest night is so old that one after it should be there: nobody else would. A
    demo has one night, and that of a date long ago."""
    from slurm_guard.cli.demo import MARK
    from slurm_guard.clock import SystemClock

    age_s = SystemClock().now_at() - until_at
    if not archive.is_own and age_s > _LATE_S and not (archive.reports.parent / MARK).exists():
        typer.echo(
            f"slurm-guard: the latest document's night ended {age_s / 86_400:.1f} days ago, and none after "
            "it was audited: look at what runs `slurm-guard audit` (systemctl status slurm-guard-audit)",
            err=True,
        )


def is_inside(reports: Path, path: Path) -> bool:
    """Whether a document is one of the reports, and not from elsewhere."""
    return reports.resolve() in path.resolve().parents


def log_look(
    command: str,
    what: tuple[str, str, str],
    seen: "tuple[int, AbstractSet[str]]",
    settings: "Config",
) -> None:
    """One line in the log of views, before anything is shown. Where it cannot be written, root and who owns
    the log are told so and see what they asked for all the same; anybody else sees no run but his own.

    `what`: the nights, what was asked for (empty: everything), the format. Raises GuardError view-unlogged.
    """
    from slurm_guard.cli.spoken import speaker
    from slurm_guard.clock import SystemClock
    from slurm_guard.report.viewlog import append_view, log_path, owner_of, view_line

    by, path = speaker(), log_path(settings.report.views, Path(settings.report.path))
    wrong = append_view(path, view_line(SystemClock().now_at(), by, (command, *what), seen))
    if not wrong:
        return
    owner = owner_of(path)
    if os.geteuid() not in (0, owner) and seen[1] != {by.name}:
        raise _unlogged(command, wrong, owner)
    typer.echo(f"slurm-guard: this view could not be logged: {wrong}", err=True)


def _unlogged(command: str, wrong: str, owner: int | None) -> "GuardError":
    import pwd

    from slurm_guard.errors import GuardError

    sentence = f"nothing is shown: who looks at others' runs is logged, and this could not be: {wrong}"
    try:
        name = "root" if owner is None else pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"'#{owner}'"  # as sudo takes a uid
    hint = f"sudo -u {name} slurm-guard {command} …   # with the options that were given"
    return GuardError("view-unlogged", sentence, hint)
