"""Atomic files below root's folders: a temporary name in the same folder, fsync, rename."""

from __future__ import annotations

import os

from slurm_guard.light import NamedTuple

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_ABOVE_MODE = 0o755  # of folders above a store: users pass through them to their progress files


class Store(NamedTuple):
    """A root folder of ours. `mode`: of each folder from it downwards; `durable`: bytes before names."""

    root: str
    mode: int
    durable: bool


def run_store(run_dir: str) -> Store:
    """Tickets for the sampler, on tmpfs: passed through by all, listed by root."""
    return Store(run_dir, 0o711, False)


def spool_store(spool_dir: str) -> Store:
    """What the collector reads; its group comes from the folder's set-group-id bit."""
    return Store(spool_dir, 0o750, True)


def client_store(client_dir: str) -> Store:
    """Progress files; the TaskProlog lists the folder as the job's user."""
    return Store(client_dir, 0o755, False)


def open_folder(store: Store, below: str) -> int:
    """A descriptor of `<root>/<below>`, made when absent. Raises OSError.

    The root may be a link of the admin's; below it links are refused. A folder that somebody else owns, or
    that everybody may write, is refused: links could be planted in it.
    """
    fd = _open_root(store.root, store.mode)
    for name in below.split("/") if below else []:
        above = fd
        try:
            fd = _open_or_make(name, store.mode, above)
        finally:
            os.close(above)
    return fd


def write_file(store: Store, below: str, name: str, data: bytes) -> None:
    """Write `<root>/<below>/<name>` whole or not at all. Raises OSError.

    The folder itself is not synced: after a power cut within the file system's commit interval (5 s on ext4)
    the name may be missing, never the content wrong; a second journal commit costs as much as the first.
    """
    folder_fd = open_folder(store, below)
    temporary = f".{name}.{os.getpid()}.tmp"
    try:
        _write_new(folder_fd, temporary, data, store)
        os.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except BaseException:  # the time-out too: no half file stays behind; then on to the boundary
        try:
            os.unlink(temporary, dir_fd=folder_fd)
        except OSError:
            pass
        raise
    finally:
        os.close(folder_fd)


def _write_new(folder_fd: int, name: str, data: bytes, store: Store) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(name, flags, store.mode & 0o640, dir_fd=folder_fd)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        if store.durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def _open_root(path: str, mode: int) -> int:
    try:
        return _own(os.open(path, _FLAGS), path)
    except FileNotFoundError:
        parent = path.rstrip("/").rpartition("/")[0]
        if parent:
            os.close(_open_root(parent, _ABOVE_MODE))
    _make(path, mode, None)
    return _own(os.open(path, _FLAGS), path)


def _open_or_make(name: str, mode: int, above_fd: int) -> int:
    try:
        return _own(os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=above_fd), name)
    except FileNotFoundError:
        _make(name, mode, above_fd)
    return _own(os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=above_fd), name)


def _make(path: str, mode: int, above_fd: int | None) -> None:
    try:
        os.mkdir(path, mode, dir_fd=above_fd)
    except FileExistsError:  # another hook was faster
        pass


def _own(fd: int, path: str) -> int:
    """The descriptor back if the folder is root's (or ours, in tests) to write; else PermissionError."""
    info = os.fstat(fd)
    if info.st_uid in (0, os.geteuid()) and not info.st_mode & 0o002:
        return fd
    os.close(fd)
    raise PermissionError(1, "folder is not root's alone to write", path)
