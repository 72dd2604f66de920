"""The configuration's file, read such that no path can hang the reader or fill its memory."""

import os
import stat
from pathlib import Path

from slurm_guard.configsafe import Place, Reader, judge, places_of, reader
from slurm_guard.errors import EXIT_USAGE, GuardError

MAX_BYTES = 1 << 20  # every key with its help is 6 kB: judgement


def read_file(path: Path) -> bytes:
    """The file's bytes. A FIFO or a device is not even opened: it could hang, or never end.

    Raises GuardError config-missing, config-unreadable, config-unsafe.
    """
    who = reader()
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            folder = stat.S_ISDIR(mode)
            raise GuardError(
                "config-unreadable",
                f"{path} is {'a folder' if folder else 'no regular file'}",
                f"name a file in it, such as {path / 'guard.toml'}" if folder else "name a file of TOML",
                EXIT_USAGE,
            )
        # Should it have become a FIFO meanwhile, O_NONBLOCK opens it without waiting for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            _refuse_unsafe(path, [*places_of(path, who), judge(str(path), os.fstat(file.fileno()), who)], who)
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise GuardError(
            "config-missing",
            f"there is no configuration file {path}",
            "`slurm-guard config show` prints one with every key; without --config the defaults hold",
            EXIT_USAGE,
        ) from None
    except OSError as error:
        raise GuardError(
            "config-unreadable", f"{path}: {error.strerror}", "check its owner and mode", EXIT_USAGE
        ) from None
    if len(raw) > MAX_BYTES:
        raise GuardError(
            "config-unreadable",
            f"{path} is larger than {MAX_BYTES >> 20} MiB",
            "name a file of TOML",
            EXIT_USAGE,
        )
    return raw


def loose_places(path: Path) -> list[str]:
    """What somebody of root's group, or the reader's own, may write on the way to the file: warnings."""
    return [f"{place.path} {place.loose}" for place in places_of(path, reader()) if place.loose]


def _refuse_unsafe(path: Path, places: list[Place], who: Reader) -> None:
    """Nobody else decides what the reader does: which programs it starts, what it allows and keeps."""
    unsafe = next((place for place in places if place.unsafe), None)
    if unsafe is None:
        return
    whose = "root's" if who.uid == 0 else "root's or yours"
    raise GuardError(
        "config-unsafe",
        f"{unsafe.path} {unsafe.unsafe}; nothing of {path} is believed",
        f"the file, the folder that holds it and links to it must be {whose} and be written by nobody else "
        f"(`chown root` and `chmod go-w`, on what the sentence names)",
        EXIT_USAGE,
    )
