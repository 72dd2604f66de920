"""What is known of a node's spool: a file of the same name, size and time is not read again.

A cache and nothing more: lost or broken, every file is read again and found to be in the lake already.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from slurm_guard.lake.write import write_whole

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Known:
    """One file as it was last seen. `reason`: the slug it was refused for, null for a good one."""

    size: int
    mtime_ns: int
    digest: str | None
    n_rows: int
    reason: str | None


def read_manifest(path: Path) -> dict[str, Known]:
    """Files by `<kind>/<name>`; empty when there is no manifest or it does not make sense."""
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != FORMAT:
            return {}
        return {name: Known(*_fields(entry)) for name, entry in data["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _fields(entry: list[object]) -> tuple[int, int, str | None, int, str | None]:
    size, mtime_ns, digest, n_rows, reason = entry
    if type(size) is not int or type(mtime_ns) is not int or type(n_rows) is not int:
        raise TypeError("not a manifest's entry")
    return size, mtime_ns, _text(digest), n_rows, _text(reason)


def _text(value: object) -> str | None:
    if value is not None and type(value) is not str:
        raise TypeError("not a manifest's entry")
    return value


def write_manifest(path: Path, files: dict[str, Known]) -> None:
    """Sorted, so that the same spool gives the same bytes; nothing is written when nothing changed."""
    body = {
        name: [known.size, known.mtime_ns, known.digest, known.n_rows, known.reason]
        for name, known in sorted(files.items())
    }
    raw = (json.dumps({"format": FORMAT, "files": body}, indent=0) + "\n").encode("ascii")
    if not _same(path, raw):
        write_whole(path, raw)


def _same(path: Path, raw: bytes) -> bool:
    try:
        return path.stat().st_size == len(raw) and path.read_bytes() == raw
    except OSError:
        return False
