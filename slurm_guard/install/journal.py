"""What an installation changes, kept before it does: what was there, what is to be there, and all bytes.

Whether a step was done is not written down; it is seen by comparing the file with both. So a half-finished
installation can be finished or undone, whenever and however it ended.
"""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from slurm_guard import __version__
from slurm_guard.errors import GuardError
from slurm_guard.install.disk import Disk, State, digest

# Format history
#     1  2026-11: Journal. A field may come to it with a default (tests/fixtures/formats/journal-1.txt).
FORMAT = 1
APPLYING, APPLIED, UNDOING = "applying", "applied", "undoing"
_FILE = "journal.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One path. `first`: before slurm-guard ever changed it; `was`: before this time; `after`: then."""

    path: Path
    first: State
    was: State
    after: State
    edit: bool = False


@dataclass(frozen=True, slots=True)
class Journal:
    """All entries in the order in which they are done. `undo`: programs that take back what was run."""

    status: str
    role: str
    entries: tuple[Entry, ...]
    undo: tuple[tuple[str, ...], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    release: str = __version__

    def entry(self, path: Path) -> Entry | None:
        """That path's, if it was ever changed."""
        return next((entry for entry in self.entries if entry.path == path), None)

    def put(self, **changes: object) -> "Journal":
        """The same with other values."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


class Keeper:
    """The journal's folder: journal.json and the contents by their digest."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self.disk = disk
        self.folder = folder

    def is_begun(self) -> bool:
        """Whether an installation ended before its journal was there: then nothing was changed yet."""
        none = self.disk.look(self.folder / _FILE).kind == "none"
        return none and self.disk.look(self.folder).kind == "folder"

    def load(self) -> Journal | None:
        """Null: nothing was installed by us. A journal that cannot be read is a GuardError."""
        path = self.folder / _FILE
        try:
            data = json.loads(self.disk.read(path))
            return _journal_of(data)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            where = self.disk.at(path)
            raise GuardError(
                "install-journal", f"{where} cannot be read: {error}", _remedy(error, str(where))
            ) from None

    def save(self, journal: Journal) -> None:
        """Whole or not at all."""
        text = json.dumps(_plain(journal), indent=1) + "\n"
        self.disk.write(self.folder / _FILE, text.encode(), _private())

    def keep(self, content: bytes) -> None:
        """A content, to be had again by its digest."""
        path = self._blob(digest(content))
        if self.disk.look(path).sha256 != digest(content):
            self.disk.write(path, content, _private())

    def content(self, sha256: str) -> bytes:
        """What was kept. A damaged one is a GuardError: it is never written anywhere."""
        try:
            content = self.disk.read(self._blob(sha256))
        except OSError as error:
            raise GuardError("install-journal", f"a kept file is missing: {error}") from None
        if digest(content) != sha256:
            raise GuardError("install-journal", f"{self.disk.at(self._blob(sha256))} was changed")
        return content

    def forget(self) -> None:
        """The journal and all that it kept."""
        if self.disk.look(self.folder / _FILE).kind != "none":
            self.disk.remove(self.folder / _FILE)
        self.disk.unstage(self.folder / _FILE)
        blobs = Path(self.disk.at(self.folder / "blobs"))
        for path in sorted(blobs.iterdir()) if blobs.is_dir() else []:
            path.unlink()
        self.disk.remove_folder(self.folder / "blobs")
        self.disk.remove_folder(self.folder)

    def _blob(self, sha256: str) -> Path:
        return self.folder / "blobs" / sha256


class _LaterError(ValueError):
    """A format of a later release."""


def _remedy(error: Exception, where: str) -> str:
    blobs = "what was there before lies in blobs/ beside it"
    if isinstance(error, _LaterError):
        return "nothing was changed; the later release that wrote it can: use its slurm-guard"
    if isinstance(error, PermissionError):
        return "nothing was changed; look as root"
    if isinstance(error, OSError):
        return f"nothing was changed; {blobs}"
    return (
        f"nothing was changed; `rm {quote(where)}`, then `slurm-guard install --apply` with the options of"
        f" before takes the files into a new one, from which uninstall takes them off; {blobs} until then"
    )


def _private() -> State:
    return State("file", "", 0o600, os.geteuid(), os.getegid())


def _plain(journal: Journal) -> dict[str, object]:
    data: dict[str, object] = {"format": FORMAT, **dataclasses.asdict(journal)}
    data["entries"] = [
        {**dataclasses.asdict(entry), "path": os.fspath(entry.path)} for entry in journal.entries
    ]
    data["options"] = dict(journal.options)
    return data


def _journal_of(data: dict[str, object]) -> Journal:
    """A field that a later release added is left out; one that an earlier one lacked has its default."""
    if data["format"] != FORMAT:
        later = isinstance(data["format"], int) and data["format"] > FORMAT
        sentence = f"format {data['format']}, where this release knows {FORMAT}"
        raise _LaterError(sentence) if later else ValueError(sentence)
    rows, undo, options = data["entries"], data.get("undo", []), data.get("options", {})
    if (
        not isinstance(rows, list)
        or not isinstance(undo, list)
        or not isinstance(options, dict)
        or data["status"] not in (APPLYING, APPLIED, UNDOING)
    ):
        raise ValueError("it is no journal of an installation")
    return Journal(
        str(data["status"]),
        str(data["role"]),
        tuple(_entry_of(row) for row in rows),
        tuple(tuple(str(word) for word in words) for words in undo),
        tuple((str(name), str(value)) for name, value in options.items()),
        str(data.get("release", "")),
    )


def _entry_of(row: dict[str, Any]) -> Entry:
    first, was, after = (_state_of(row[name]) for name in ("first", "was", "after"))
    return Entry(Path(row["path"]), first, was, after, bool(row.get("edit", False)))


def _state_of(row: dict[str, Any]) -> State:
    return State(**{part.name: row[part.name] for part in dataclasses.fields(State) if part.name in row})
