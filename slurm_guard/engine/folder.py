"""The folder of the parts' results: whole files that nobody but the audit's user can have written.

They are pickles, which run what stands in them. So the folder must be the user's own and closed to all
others, is never reached by a link of its own name, and is asked again by every process; what lies in it is
opened below its descriptor. Each file has a head that says of which release it is, and a digest of its name
and the rest.
"""

import errno
import hashlib
import os
import secrets
import shutil
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slurm_guard.engine.digest import code_digest
from slurm_guard.engine.pickled import from_bytes, to_bytes
from slurm_guard.errors import GuardError

_MAGIC = b"slurm-guard part 1"
_LEVEL = 1  # of zlib: a fifth of the bytes for 6 % of the time that a part takes. Measured
_MOST_HEAD = 256


class Folder:
    """An open one. `close` it, or leave that to the end of the process."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd

    def close(self) -> None:
        """The descriptor; nothing can be read or written any more."""
        os.close(self.fd)

    def names(self) -> set[str]:
        """Of what lies there. By path: on a network's file system that asks the server."""
        return {path.name for path in self.path.iterdir()}

    def get(self, name: str) -> Any:
        """What was put there under this name; null: nothing, another release's, or what a disk has spoilt."""
        content = self._content(name)
        return None if content is None else from_bytes(zlib.decompress(content))

    def is_whole(self, name: str) -> bool:
        """Whether `get` would give it."""
        return self._content(name) is not None

    def _content(self, name: str) -> bytes | None:
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe would be waited for
            fd = os.open(name, flags, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _unsafe(self.path / name, "is a link") from None
            raise
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise _unsafe(self.path / name, "is no file")
            if why := _open_to(status):
                raise _unsafe(self.path / name, why)
            head = file.readline(_MOST_HEAD).rstrip(b"\n")
            content = file.read()
        return content if head == _head(name, content) else None

    def put(self, name: str, value: object) -> None:
        """The whole file or none, whoever else is writing the same one. Raises OSError."""
        content = zlib.compress(to_bytes(value), _LEVEL)
        self.put_bytes(name, _head(name, content) + b"\n" + content)

    def put_bytes(self, name: str, content: bytes) -> None:
        """Likewise, as they are."""
        # Two nodes may write one name at once, with processes of one number: the name is drawn.
        temporary = f".{name[:100]}.{secrets.token_hex(8)}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=self.fd), "wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except BaseException:
            try:
                os.unlink(temporary, dir_fd=self.fd)
            except OSError:
                pass
            raise

    def drop(self, name: str) -> None:
        """It is not there afterwards. Raises OSError."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            pass

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder in it for what one process has no room for, until it is done; one that is killed leaves it
        to the next audit (kept.py). Raises as `below`."""
        name = f".scratch-{secrets.token_hex(8)}"
        folder = self.below(name)
        try:
            yield folder.path
        finally:
            folder.close()
            shutil.rmtree(self.path / name, ignore_errors=True)

    def below(self, name: str, *, make: bool = True) -> "Folder":
        """A folder in it, under the same conditions. Raises GuardError parts-unsafe, OSError."""
        if make:
            try:
                os.mkdir(name, 0o700, dir_fd=self.fd)
            except FileExistsError:
                pass
        return _opened(self.path / name, name, self.fd)


def open_folder(path: Path, *, make: bool = True) -> Folder:
    """The folder at `path`, made when absent. Raises GuardError parts-unsafe, OSError."""
    if make:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir(0o700)
        except FileExistsError:
            pass
    return _opened(path, str(path), None)


def _opened(path: Path, name: str, above: int | None) -> Folder:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=above)
    except NotADirectoryError:  # also what Linux says of a link
        raise _unsafe(path, "is a link, or no folder") from None
    if why := _open_to(os.fstat(fd)):
        os.close(fd)
        raise _unsafe(path, why)
    return Folder(path, fd)


def _open_to(status: os.stat_result) -> str:
    """Who else may have written it, in words; empty: nobody."""
    if status.st_uid != os.geteuid():
        return f"belongs to uid {status.st_uid} and not to uid {os.geteuid()}, who audits"
    mode = stat.S_IMODE(status.st_mode)
    return f"is open to others (mode {mode:04o})" if mode & 0o077 else ""


def _unsafe(path: Path, why: str) -> GuardError:
    return GuardError(
        "parts-unsafe",
        f"{path} {why}: what lies there is not read, and nothing was published",
        "remove it, or name a folder of the audit's user alone (mode 0700) in [engine] folder",
    )


def _head(name: str, content: bytes) -> bytes:
    """The name is in it: a file in the place of another is none."""
    digest = hashlib.sha256(name.encode() + b"\n")
    digest.update(content)
    return b"%s %s %s" % (_MAGIC, code_digest().encode(), digest.hexdigest().encode())
