"""Small files that others read at any moment: whole or not at all, readable by everybody."""

import os


def write_public(path: str, text: str) -> bool:
    """Write beside, then rename; false: the disk refused. Not synced: it is about now, not about later.

    The name beside it begins with a dot and ends in `.new`, so that no collector of `*.prom` takes it.
    """
    folder, name = os.path.split(path)
    new = os.path.join(folder, f".{name}.{os.getpid()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(new, flags, 0o644)
        try:
            os.fchmod(fd, 0o644)  # whatever the umask
            left = memoryview(text.encode("utf-8", "backslashreplace"))
            while left:
                left = left[os.write(fd, left) :]
        finally:
            os.close(fd)
        os.rename(new, path)
    except OSError:
        try:
            os.unlink(new)
        except OSError:
            pass
        return False
    return True
