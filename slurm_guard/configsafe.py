"""Who may write the configuration: root's parts act on it, so it must be root's, or the reader's own.

Looked at are the file, the folder that holds it, and every symbolic link on the way with the folder that
holds that: configuration management links files and folders. Folders above are not: whoever may rename one
can only put something of his own there, which then has the wrong owner.
"""

import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

MOST_LINKS = 40  # the kernel's own bound
_ACL = "system.posix_acl_access"


class Reader(NamedTuple):
    """Whose rights the configuration would act with."""

    uid: int
    gid: int

    @property
    def owners(self) -> tuple[int, ...]:
        """Who may own what is read."""
        return (0,) if self.uid == 0 else (0, self.uid)

    @property
    def groups(self) -> tuple[int, ...]:
        """Groups that may write it, with a warning: root's, and of a user his own."""
        return (0,) if self.uid == 0 else (0, self.gid)


class Place(NamedTuple):
    """A file or folder that decides what is read. `unsafe`: why somebody else may change it; "": nobody.
    `loose`: a warning; "": none."""

    path: str
    unsafe: str
    loose: str


def reader() -> Reader:
    """This process."""
    return Reader(os.geteuid(), os.getegid())


def places_of(path: Path, who: Reader) -> list[Place]:
    """Every place on the way to the file, the file last. Raises OSError."""
    found: list[Place] = []
    first, *rest = path.absolute().parts
    here, n_links = Path(first), 0
    while rest:
        name, *rest = rest
        there = here.parent if name == ".." else here / name
        status = there.lstat()
        is_link = stat.S_ISLNK(status.st_mode)
        if is_link or not rest:
            found.append(judge(str(here), here.stat(), who))
            found.append(_judge_owner(str(there), status, who) if is_link else judge(str(there), status, who))
        if not is_link:
            here = there
            continue
        n_links += 1
        if n_links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = there.readlink()
        here = Path(target.anchor or here)
        rest = [*(part for part in target.parts if part != target.anchor), *rest]
    return list(dict.fromkeys(found))


def judge(path: str, status: os.stat_result, who: Reader) -> Place:
    """One file or folder, by its owner and mode."""
    place = _judge_owner(path, status, who)
    # In a folder such as /tmp nobody takes away or renames what is not his.
    shared = stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX)
    if place.unsafe or shared:
        return place
    if status.st_mode & stat.S_IWOTH:
        return place._replace(unsafe="may be written by everybody")
    if status.st_mode & stat.S_IWGRP:
        said = f"may be written by group {status.st_gid}"
        if status.st_gid not in who.groups:
            return place._replace(unsafe=said)
        if has_acl(path):  # the group's bits are then what any of its users and groups may have
            return place._replace(unsafe="may be written by those that its ACL names")
        return place._replace(loose=said)
    return place


def _judge_owner(path: str, status: os.stat_result, who: Reader) -> Place:
    foreign = status.st_uid not in who.owners
    return Place(path, f"belongs to uid {status.st_uid}" if foreign else "", "")


def has_acl(path: str) -> bool:
    """Whether it has an ACL; the group's bits then mean another thing."""
    try:
        os.getxattr(path, _ACL)
    except OSError:
        return False
    return True
