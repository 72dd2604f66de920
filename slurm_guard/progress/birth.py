"""When a file's inode was made: statx(2), which Python's `os` does not offer. A user cannot set that time."""

import ctypes
import os
import struct

_AT_EMPTY_PATH = 0x1000  # <fcntl.h>
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW = -100, 0x100
_BTIME = 0x800  # STATX_BTIME of <linux/stat.h>
_SIZE_B = 256
_MASK_AT, _BTIME_AT = 0, 80  # offsets of stx_mask and stx_btime in struct statx
_libc = ctypes.CDLL(None, use_errno=True)


def birth_of(fd: int) -> float | None:
    """UTC epoch seconds of the open file's birth; null: the C library or the file system does not say."""
    return _birth(fd, b"", _AT_EMPTY_PATH)


def birth_at(path: str) -> float | None:
    """The same of a path, which is not opened; of a symbolic link, the link's."""
    return _birth(_AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW)


def _birth(fd: int, path: bytes, flags: int) -> float | None:
    statx = getattr(_libc, "statx", None)
    if statx is None:
        return None
    into = ctypes.create_string_buffer(_SIZE_B)
    if statx(fd, path, flags, _BTIME, into) != 0:
        return None
    (mask,) = struct.unpack_from("=I", into, _MASK_AT)
    seconds, nanos = struct.unpack_from("=qI", into, _BTIME_AT)
    return float(seconds) + nanos / 1e9 if mask & _BTIME else None
