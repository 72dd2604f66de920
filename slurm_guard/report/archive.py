"""Audit documents on disk: read one, find a night's, write a page whole or not at all.

Layout: `<report.path>/<YYYY-MM-DD>/audit.json`, the date being that of the window's start in the site's zone.
"""

import os
import re
from datetime import date
from pathlib import Path

from slurm_guard import document
from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, EXIT_USAGE, GuardError
from slurm_guard.model import Audit

DOCUMENT = "audit.json"


def read_document(path: Path) -> Audit:
    """The audit in a file. Raises GuardError document-missing, document-unreadable and those of the codec."""
    try:
        return document.from_json(path.read_text(encoding="utf-8"))
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


def find_document(folder: Path, night: str | None) -> Path:
    """A night's document (`2026-09-22`), or the latest. Raises GuardError document-missing, night-syntax."""
    if night is not None:
        return folder / _day(night) / DOCUMENT
    found = sorted(p for p in folder.glob(f"*/{DOCUMENT}") if re.fullmatch(r"\d{4}-\d\d-\d\d", p.parent.name))
    if not found:
        raise GuardError(
            "document-missing",
            f"there is no night in {folder}",
            "run `slurm-guard audit` first, or name a document with --audit",
            EXIT_NOTHING_TO_AUDIT,
        )
    return found[-1]


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise GuardError(
            "night-syntax", f"{text!a} is not a date", "write it like 2026-09-22", EXIT_USAGE
        ) from None


def write_output(path: Path, content: bytes) -> None:
    """Whole or not at all. Raises GuardError output-unwritable."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise GuardError(
            "output-unwritable", f"{path} cannot be written: {error.strerror}", "name another file with -o"
        ) from None
