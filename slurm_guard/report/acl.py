"""A POSIX access control list that lets one more user read a file or list a folder (acl(5)).

The owner of a file may set it without being root, which chown may not; the system call takes bytes.
"""

import os
import struct

_NAME = "system.posix_acl_access"
_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NO_ID = 0xFFFFFFFF


def let_read(fd: int, uid: int, *, folder: bool = False) -> None:
    """The owner may write, `uid` may read (and enter a folder), nobody else may anything.

    Raises OSError (ENOTSUP where the file system knows no such lists).
    """
    reads, owns = (5, 7) if folder else (4, 6)
    entries = [
        (_USER_OBJ, owns, _NO_ID),
        (_USER, reads, uid),
        (_GROUP_OBJ, 0, _NO_ID),
        (_MASK, reads, _NO_ID),
        (_OTHER, 0, _NO_ID),
    ]
    packed = struct.pack("<I", _VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(fd, _NAME, packed)
