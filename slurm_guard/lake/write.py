"""Whole files or none: a temporary name in the same folder, fsync, rename; and closed to everybody else.

The lake holds everybody's runs (rulings 26). What is written is at most 0640, what is made at most 0750:
a umask may close it further and cannot open it. Group and set-group-id bit come from the folder above, as an
admin gave it.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

CLOSED, CLOSED_FOLDER = 0o640, 0o750
_PROBE_B = 1 << 16  # more than what a failed write may have left free


def write_whole(path: Path, content: bytes | Callable[[BinaryIO], object], mode: int = CLOSED) -> None:
    """Put bytes, or what a function writes, at `path`; its folder is made when absent. `mode`: as the umask
    leaves it. Raises OSError."""
    make_folder(path.parent, CLOSED_FOLDER if mode == CLOSED else 0o777)
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC  # may be looked at before it counts
        with os.fdopen(os.open(temporary, flags, mode), "wb") as out:
            if callable(content):
                _let_write(content, out)
            else:
                out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _let_write(content: Callable[[BinaryIO], object], out: BinaryIO) -> None:
    """Raises OSError where it was the disk that failed."""
    try:
        content(out)
    except OSError:
        raise
    except Exception:
        # Polars hides what the disk said (ENOSPC) in an error of its own: the disk is asked once more.
        left = _PROBE_B
        while left > 0:  # the last blocks may still take a part
            left -= os.write(out.fileno(), bytes(left))
        raise


def make_folder(folder: Path, mode: int = CLOSED_FOLDER) -> None:
    """With its parents, each that is made of this `mode`, as the umask leaves it. Raises OSError."""
    for each in reversed([folder, *folder.parents]):
        if not each.is_dir():
            each.mkdir(exist_ok=True, mode=mode)


def close_folder(folder: Path) -> None:
    """Take from everybody else what an earlier release let them.

    Another user's folder is left as it is: it is that user's to close. Raises OSError.
    """
    about = folder.stat()
    if about.st_mode & stat.S_IRWXO and os.geteuid() in (0, about.st_uid):
        folder.chmod(stat.S_IMODE(about.st_mode) & ~stat.S_IRWXO)
