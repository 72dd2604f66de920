"""Small files that others read at any moment: whole or not at all."""

from __future__ import annotations

import os


def write_whole(path: str, content: bytes, *, mode: int = 0o640, durable: bool = True) -> bool:
    """Write aside, then rename; false: the disk refused, and nothing is left behind.

    `durable`: synced before it is renamed; for what is about now and not about later it need not be. `mode`
    holds whatever the umask. The name aside begins with a dot, which collectors of all kinds pass over, and
    has our pid: another sampler may write the same file. What lies there goes first, whatever it is: others
    may write the folder, and to open a FIFO would wait for its reader.
    """
    folder, name = os.path.split(path)
    new = os.path.join(folder, f".{name}.{os.getpid()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    _forget(new)
    try:
        fd = os.open(new, flags, mode)
        try:
            os.fchmod(fd, mode)
            left = memoryview(content)
            while left:
                left = left[os.write(fd, left) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(new, path)
    except OSError:
        _forget(new)
        return False
    return True


def write_public(path: str, text: str) -> bool:
    """What everybody may read, and what is about now: not synced."""
    return write_whole(path, text.encode("utf-8", "backslashreplace"), mode=0o644, durable=False)


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
