"""What would go wrong, found before anything is changed."""

import fcntl
import os
import re
import stat
from array import array
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from slurm_guard.errors import EXIT_USAGE, HEAD_ONLY, GuardError
from slurm_guard.install.change import Change, Places, Problem
from slurm_guard.install.disk import Disk
from slurm_guard.install.files import Installation

SPARE = 1 << 20  # bytes that stay free: judgement
# What slurm.conf, a crontab, a unit and the shims' settings all read as it is written: no blank, quote, #, =,
# % or backslash, and none of * ? [ ], which make Slurm look for files of such names.
_PLAIN = re.compile(r"[\w./+@~-]+")
_PLAIN_WORDS = "letters, digits and . _ + - @ ~ alone"

# linux/fs.h, the same on x86-64 and arm64
_FS_IOC_GETFLAGS, _FS_IMMUTABLE_FL, _FS_APPEND_FL = 0x80086601, 0x10, 0x20


def find_problems(
    places: Places, have: Installation, role: str, changes: Sequence[Change], journal: Path
) -> list[Problem]:
    """Everything that is in the way, not the first alone."""
    disk = Disk(places)
    found: list[Problem] = []
    if os.geteuid() != 0 and places.is_live:
        found.append(
            Problem("only root can install here", "sudo, or --prefix or --root for a place of your own")
        )
    found += _odd(have, role)
    for change in changes:
        found += _problems_of(disk, change)
    if changes:
        found += _no_room(disk, changes, journal)
    if role in ("node", "all") and places.root is None and os.geteuid() == 0:
        found += _unsafe(disk, have, changes)
    return list(dict.fromkeys(found))


def refuse_prefix(prefix: Path | None) -> None:
    """Raises GuardError install-path: slurm.conf would name hooks that Slurm cannot read, or others."""
    if prefix is None or _PLAIN.fullmatch(str(prefix)):
        return
    raise GuardError(
        "install-path",
        f"--prefix {str(prefix)!a} would stand in slurm.conf, in crontabs and units, which misread it",
        f"a path of {_PLAIN_WORDS}",
        EXIT_USAGE,
    )


def _odd(have: Installation, role: str) -> list[Problem]:
    paths = [have.lib, have.python, have.sampler_python] if role in ("node", "all") else []
    paths += [have.program] if role in ("head", "all") else []
    return [
        Problem(
            f"slurm-guard itself lies at {str(path)!a}, which hooks, crontabs and units misread",
            f"install it into a folder whose path has {_PLAIN_WORDS}, as /opt/slurm-guard",
        )
        for path in paths
        if not _PLAIN.fullmatch(str(path))
    ]


def find_lacking(places: Places, have: Installation, role: str) -> list[Problem]:
    """The head's part without the head's half: every night would end at its first command.

    In an image what lies there counts: the installation that runs may be another half.
    """
    if role not in ("head", "all"):
        return []
    gone = sorted(name for name in HEAD_ONLY if find_spec(name) is None)
    if places.root is not None:
        gone = [name for name in gone if not places.disk(have.lib / name).exists()]
    if not gone:
        return []
    return [
        Problem(
            f"this installation is a node's half: {', '.join(gone)} not in it, and the nightly audit, which"
            f" --role {role} sets up, would fail each night",
            "on the head install the package slurm-guard beside slurm-guard-node; on a node give --role node",
        )
    ]


def find_marked(disk: Disk, paths: Sequence[Path]) -> list[Problem]:
    """Files to be taken off, or their folders, that `chattr` holds: half an uninstall would be done."""
    parts = dict.fromkeys(
        part for path in paths for where in [disk.at(path)] for part in (os.path.dirname(where), where)
    )
    return [
        Problem(f"{part} is marked immutable or append-only", _off(part)) for part in parts if _is_held(part)
    ]


def _problems_of(disk: Disk, change: Change) -> list[Problem]:
    where = disk.at(change.path)
    try:
        now = disk.look(change.path)
    except OSError as error:
        return [Problem(f"{where} cannot be looked at: {error.strerror}")]
    if now.kind not in ("none", "file"):
        hint = "name the file that the link leads to" if os.path.islink(where) else "move it out of the way"
        return [Problem(f"{where} is there and is no plain file", hint)]
    folder = _nearest(os.path.dirname(where))
    if not os.path.isdir(folder):
        return [Problem(f"{folder} is no folder")]
    if not disk.holds(folder):
        return [Problem(f"{folder} leads out of the image")]
    if _is_held(folder):
        why = "is marked immutable or append-only, and files are to be replaced there"
        return [Problem(f"{folder} {why}", _hints(change, folder))]
    if not os.access(folder, os.W_OK | os.X_OK):
        why = "is on a read-only file system" if _is_read_only(folder) else "cannot be written"
        return [Problem(f"{folder} {why}, and files are to be put there", _hint(change))]
    return _fixed(disk, where, change) if now.kind == "file" else []


def _fixed(disk: Disk, where: str, change: Change) -> list[Problem]:
    """A file that cannot be replaced although its folder can be written: chattr +i, or mounted by itself.

    It is never opened for writing: slurmd's execve of a hook in that moment would fail as "text file busy",
    and a prolog that cannot be run drains its node.
    """
    if _is_held(where):
        return [Problem(f"{where} is marked immutable or append-only", _hints(change, where))]
    if not os.access(where, os.W_OK):
        return [Problem(f"{where} cannot be written", _hint(change))]
    if where in _mounted():
        return [Problem(f"{where} is mounted by itself and cannot be replaced", _hint(change))]
    others = disk.n_names(change.path) - 1
    if change.edit and others:
        # Written in place, a file that a full disk or a kill cuts short is no slurm.conf any more.
        return [
            Problem(
                f"{where} has {others} other name{'s' * (others > 1)} (hard links), which would go on without"
                " our lines, as it is replaced in one step",
                f"`find / -xdev -samefile {where}` names them; `cp -p {where} {where}.new && mv {where}.new"
                f" {where}` makes it a file of its own; {_hint(change)}",
            )
        ]
    return []


def _hint(change: Change) -> str:
    return "--print-slurm-conf shows the lines, --no-slurm-conf leaves it alone" if change.edit else ""


def _hints(change: Change, held: str) -> str:
    """With how the mark of `chattr` is taken off."""
    return "; ".join(filter(None, (_off(held), _hint(change))))


def _off(held: str) -> str:
    return f"`lsattr -d {held}` shows the mark, `chattr -ia {held}` takes it off"


def _no_room(disk: Disk, changes: Sequence[Change], journal: Path) -> list[Problem]:
    need: dict[int, tuple[str, int]] = {}
    for change in changes:
        size = len(change.content or b"") + 4096
        now = disk.look(change.path)
        old = os.lstat(disk.at(change.path)).st_size if now.kind == "file" else 0
        for path, more in ((disk.at(change.path), size), (disk.at(journal), size + old)):
            folder = _nearest(os.path.dirname(path))
            if not os.path.isdir(folder):
                continue  # in the way, which is said
            device = os.stat(folder).st_dev
            need[device] = (folder, need.get(device, ("", 0))[1] + more)
    found = []
    for folder, size in need.values():
        room = os.statvfs(folder)
        if room.f_bavail * room.f_frsize < size + SPARE:
            found.append(
                Problem(
                    f"the file system of {folder} has no room for {(size + SPARE) >> 10} KiB", "make room"
                )
            )
    return found


def _unsafe(disk: Disk, have: Installation, changes: Sequence[Change]) -> list[Problem]:
    """slurmd runs all this as root: nobody else may be able to change it."""
    programs = {disk.at(change.path) for change in changes if change.mode & 0o111}
    package = str(have.lib / "slurm_guard")
    for path in [*sorted(programs), package, str(have.python), str(have.sampler_python)]:
        for part in (path, *map(str, Path(path).parents)):
            why = _loose(part)
            if why:
                return [
                    Problem(
                        f"{part} {why}, and root would run what is below it",
                        "install slurm-guard into a folder of root's alone, as /opt/slurm-guard",
                    )
                ]
    return []


def _loose(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return ""
    if status.st_uid != 0:
        return f"belongs to uid {status.st_uid}"
    others = stat.S_IMODE(status.st_mode) & 0o002
    group = stat.S_IMODE(status.st_mode) & 0o020 and status.st_gid != 0
    if (others or group) and not (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
        return "can be written by others"
    return ""


def _nearest(folder: str) -> str:
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return folder


def _is_held(path: str) -> bool:
    """Whether `chattr` marked it so that it cannot be replaced. False where the file system has no marks."""
    marks = array("l", [0])
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _FS_IOC_GETFLAGS, marks)
        finally:
            os.close(fd)
    return bool(marks[0] & (_FS_IMMUTABLE_FL | _FS_APPEND_FL))


def _is_read_only(folder: str) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _mounted() -> set[str]:
    try:
        rows = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return set()
    return {row.split()[4].replace("\\040", " ") for row in rows}
