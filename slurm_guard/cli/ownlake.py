"""Who may collect, audit, mail and forget: root not into a lake or reports that are somebody else's.

What root writes there is root's, and the user that audits can neither add to it nor take it away. Root could
hand each file over, but would then open, create and chown by name in folders that an unprivileged user may
change at any moment; so it is refused, and the user's own rights do it.
"""

import os
import pwd
from pathlib import Path

from slurm_guard.errors import EXIT_USAGE, GuardError


def refuse_root(command: str, folders: list[Path]) -> None:
    """Raises GuardError as-root where this is root and one of the folders is another user's.

    Of a folder that is not there yet the nearest one above it counts: it will be made inside.
    """
    if os.geteuid() != 0:
        return
    folder, owner = next(((each, uid) for each in folders if (uid := _owner(each)) != 0), (Path(), 0))
    if owner == 0:
        return
    try:
        name = pwd.getpwuid(owner).pw_name
        hint = f"runuser -u {name} -- slurm-guard {command}   # with the options that were given"
    except KeyError:
        name = f"uid {owner}, whom this machine does not know"
        hint = f"chown {folder} to the user that audits, and {command} as that user"
    raise GuardError(
        "as-root",
        f"{folder} belongs to {name}, who could neither add to nor replace what root leaves there",
        hint,
        EXIT_USAGE,
    )


def _owner(folder: Path) -> int:
    for place in (folder.absolute(), *folder.absolute().parents):
        try:
            return place.stat().st_uid
        except FileNotFoundError:
            continue
        except OSError:
            return 0  # the command will say why it cannot be entered
    return 0
