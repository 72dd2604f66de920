"""Audit documents on disk: read one, find a night's, write a page whole or not at all.

Layout: `<report.path>/<YYYY-MM-DD>/audit.json`, the date being that of the window's start in the site's zone.
"""

import contextlib
import errno
import gc
import os
import re
import stat
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from slurm_guard import document
from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, EXIT_USAGE, GuardError
from slurm_guard.model import Audit

DOCUMENT = "audit.json"
PAGE = "report.html"  # beside it, written by the audit
_NIGHT = r"\d{4}-\d\d-\d\d"


def read_document(path: Path) -> Audit:
    """The audit in a file. Raises GuardError document-missing, document-unreadable and those of the codec."""
    try:
        audit = document.from_json(path.read_text(encoding="utf-8"), str(path))
        gc.freeze()  # looking for what refers back in a big night, where nothing does, is a tenth of its page
        return audit
    except FileNotFoundError:
        raise GuardError(
            "document-missing",
            f"there is no audit document {path}",
            "write one with `slurm-guard audit`",
            EXIT_NOTHING_TO_AUDIT,
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise GuardError(
            "document-unreadable", f"{path} cannot be read: {error}", "check its owner, mode and content"
        ) from None


def choose_document(audit: Path | None, night: str | None, folder: Path) -> Path:
    """The document named by --audit or by --night, else the latest. Raises GuardError audit-or-night."""
    if audit is not None and night is not None:
        raise GuardError(
            "audit-or-night", "--audit and --night name two documents", "leave one of them away", EXIT_USAGE
        )
    return audit if audit is not None else find_document(folder, night)


def find_document(folder: Path, night: str | None) -> Path:
    """A night's document (`2026-09-22`), or the latest. Raises GuardError document-missing, night-syntax."""
    if night is not None:
        return folder / parse_night(night) / DOCUMENT
    found = _documents(folder)
    if not found:
        raise GuardError(
            "document-missing",
            f"there is no night in {folder}",
            "run `slurm-guard audit` first, or name a document with --audit",
            EXIT_NOTHING_TO_AUDIT,
        )
    return found[-1]


def is_closed(folder: Path) -> bool:
    """Whether this process may read no night of the folder: it may not list it, or no document in it."""
    if not os.access(folder, os.R_OK | os.X_OK):
        return True
    nights = [path / DOCUMENT for path in folder.glob("*-*-*") if re.fullmatch(_NIGHT, path.name)]
    return bool(nights) and not any(os.access(path, os.R_OK) for path in nights)


def list_nights(folder: Path) -> list[str]:
    """The nights that have a document, oldest first."""
    return [path.parent.name for path in _documents(folder)]


def _documents(folder: Path) -> list[Path]:
    found = folder.glob(f"*/{DOCUMENT}")
    return sorted(p for p in found if re.fullmatch(_NIGHT, p.parent.name))


def parse_night(text: str) -> str:
    """A night's name from a date. Raises GuardError night-syntax."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise GuardError(
            "night-syntax", f"{text!a} is not a date", "write it like 2026-09-22", EXIT_USAGE
        ) from None


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """With its parents, each that is made of this `mode`, as the umask leaves it: a parent of a closed folder
    tells its name. Raises GuardError output-unwritable."""
    try:
        for each in reversed([folder, *folder.parents]):
            if not each.is_dir():
                each.mkdir(exist_ok=True, mode=mode)
    except OSError as error:
        raise _unwritable(str(folder), error) from None


def write_output(
    path: Path,
    content: bytes | Iterable[bytes],
    mode: int = 0o640,
    *,
    keep_mode: bool = False,
    stale: Sequence[Path] = (),
) -> None:
    """Whole or not at all; into a device or a pipe as it is. `mode`: as the umask leaves it. `keep_mode`: a
    file of this user's that is there already keeps its own. `stale`: what was made of the file that is there:
    it goes once the new one only has to take its name, so that it never lies beside what it is not of.

    Raises GuardError output-unwritable.
    """
    parts = [content] if isinstance(content, bytes) else content
    part = None
    try:
        if path.exists() and not path.is_file():  # renaming a file over /dev/null would be the end of it
            with path.open("wb") as out:
                out.writelines(parts)
            return
        path = Path(os.path.realpath(path))  # a link stays a link
        part = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as out:
            if keep_mode and path.exists() and (about := path.stat()).st_uid == os.geteuid():
                os.fchmod(out.fileno(), stat.S_IMODE(about.st_mode))
            out.writelines(parts)
        for older in stale:
            older.unlink(missing_ok=True)
        part.replace(path)
    except OSError as error:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        raise _unwritable(str(path), error) from None


def _unwritable(what: str, error: OSError) -> GuardError:
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "make room there" if is_full else "check owner and mode of it and its folder, or name another"
    return GuardError("output-unwritable", f"{what} cannot be written: {error.strerror}", hint)
