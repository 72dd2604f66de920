"""The one place that touches files: whole, on the disk before they are named, never through a link."""

import contextlib
import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from slurm_guard.install.change import Places

MAX_FILE = 16 << 20  # bytes; nothing that we change is larger


@dataclass(frozen=True, slots=True)
class State:
    """What lies at a path. `kind`: none, file, folder or other; the rest belongs to files and folders."""

    kind: str
    sha256: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0


ABSENT = State("none")


def digest(content: bytes) -> str:
    """Names contents."""
    return hashlib.sha256(content).hexdigest()


class Disk:
    """Files by the path under which the machine will see them."""

    def __init__(self, places: Places) -> None:
        self._disk = places.disk
        self._root = places.root

    def at(self, path: Path) -> str:
        """Where it lies here."""
        return str(self._disk(path))

    def holds(self, folder: str) -> bool:
        """Whether it lies in the image, where links lead; without one, always."""
        if self._root is None:
            return True
        return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(self._root))

    def look(self, path: Path) -> State:
        """What is there now; a link is `other`."""
        try:
            status = os.lstat(self.at(path))
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
        if stat.S_ISDIR(status.st_mode):
            return State("folder", "", mode, *owner)
        if not stat.S_ISREG(status.st_mode):
            return State("other", "", mode, *owner)
        return State("file", digest(self.read(path)), mode, *owner)

    def n_names(self, path: Path) -> int:
        """Of a file that is there: 1, and more where it has hard links."""
        return os.lstat(self.at(path)).st_nlink

    def read(self, path: Path) -> bytes:
        """A regular file's bytes. Raises OSError."""
        descriptor = os.open(self.at(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), self.at(path))
        return content

    def stage(self, path: Path, content: bytes, state: State) -> None:
        """The file beside its place, on the disk; mode and owner as told, attributes the old one's."""
        new = self._staged(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if (state.uid, state.gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, state.uid, state.gid)
            _copy_attributes(self.at(path), new)
            os.fchmod(descriptor, state.mode)
            os.fsync(descriptor)

    def swap(self, path: Path) -> None:
        """Put the staged file into its place, in one step."""
        os.rename(self._staged(path), self.at(path))
        _sync_folder(os.path.dirname(self.at(path)))

    def unstage(self, path: Path) -> None:
        """Take a staged file away, if there is one."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self._staged(path))

    def write(self, path: Path, content: bytes, state: State) -> None:
        """Both steps."""
        self.stage(path, content, state)
        self.swap(path)

    def make_folder(self, path: Path, mode: int) -> None:
        """One folder; those above must be there."""
        os.mkdir(self.at(path), mode)
        os.chmod(self.at(path), mode)
        _sync_folder(os.path.dirname(self.at(path)))

    def remove(self, path: Path) -> None:
        """A file."""
        os.unlink(self.at(path))
        _sync_folder(os.path.dirname(self.at(path)))

    def remove_folder(self, path: Path) -> bool:
        """A folder if it is empty; whether it is gone."""
        try:
            os.rmdir(self.at(path))
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _staged(self, path: Path) -> str:
        folder, name = os.path.split(self.at(path))
        return os.path.join(folder, f".{name}.slurm-guard-new")


def _copy_attributes(old: str, new: str) -> None:
    """Access lists, SELinux labels and user attributes of the file that is replaced. Raises OSError."""
    try:
        names = os.listxattr(old, follow_symlinks=False)
    except OSError:
        return
    for name in names:
        value = os.getxattr(old, name, follow_symlinks=False)
        with contextlib.suppress(OSError):
            if os.getxattr(new, name, follow_symlinks=False) == value:
                continue
        os.setxattr(new, name, value, follow_symlinks=False)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
