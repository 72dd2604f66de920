"""Files that hold a secret: read only if nobody but root and who mails could have read or written them."""

import errno
import os
import stat
from pathlib import Path

from slurm_guard.configsafe import has_acl, places_of, reader
from slurm_guard.errors import EXIT_USAGE, GuardError

_MOST_BYTES = 64 * 1024


def read_private(path: Path, key: str) -> str:
    """The file's text. `key`: the configuration's, for the sentence.

    Private is: nobody else may read or write it, or the folder's entry for it. A file of root's may be
    readable by the group of the process, as sites hand secrets to a service. Raises GuardError
    secret-missing, secret-unsafe.
    """
    who = reader()
    try:
        wrong = next((f"{p.path} {p.unsafe}" for p in places_of(path, who) if p.unsafe), "")
        # Not blocking: it may be a pipe. What was judged is what is read: the handle is looked at again.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            wrong = wrong or _exposed(path, status, who.gid)
            raw = b"" if wrong else file.read(_MOST_BYTES + 1)
    except OSError as error:
        hint = "write it, mode 0600, owned by root or who mails" if error.errno == errno.ENOENT else ""
        raise GuardError(
            "secret-missing",
            f"{key}: {path} cannot be read: {error.strerror}",
            hint or "check its owner and mode, and those of its folders",
            EXIT_USAGE,
        ) from None
    if wrong or len(raw) > _MOST_BYTES or b"\0" in raw:
        raise GuardError(
            "secret-unsafe",
            f"{key}: {wrong or f'{path} is no short text'}",
            f"chown it to root or who mails, chmod 0600 {path}, and change the secret in it",
            EXIT_USAGE,
        )
    return raw.decode("utf-8", "replace")


def _exposed(path: Path, status: os.stat_result, gid: int) -> str:
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is no regular file"
    if status.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to uid {status.st_uid}"
    may = stat.S_IMODE(status.st_mode)
    if status.st_uid == 0 and status.st_gid == gid and not has_acl(str(path)):
        may &= ~stat.S_IRGRP
    said = f"{path} may be read or written by others (mode {stat.S_IMODE(status.st_mode):04o})"
    return said if may & 0o077 else ""


def read_password(path: Path) -> str:
    """The first line. Raises GuardError secret-missing, secret-unsafe, secret-odd."""
    first = (read_private(path, "mail.password_file").splitlines() or [""])[0]
    if not first or not first.isascii() or not first.isprintable():
        raise GuardError(
            "secret-odd",
            f"mail.password_file: the first line of {path} is empty, or holds more than printable ASCII",
            "write the password alone on the first line",
            EXIT_USAGE,
        )
    return first
