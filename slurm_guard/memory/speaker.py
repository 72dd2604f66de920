"""Who speaks: the person behind sudo, and the kernel's word for who logged in."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from slurm_guard.siteword import Speaker

_NOBODY = 0xFFFFFFFF  # the kernel's word for: no login (cron, a service)


def find_speaker(environ: Mapping[str, str], loginuid: Path = Path("/proc/self/loginuid")) -> Speaker:
    """The name is sudo's only where root runs this, as nobody else could have been made so by sudo.

    A root shell can still say what it likes there; `login_uid` it cannot change.
    """
    uid = os.getuid()
    name = environ.get("SUDO_USER", "") if uid == 0 else ""
    return Speaker((name or _name_of(uid))[:64], uid, _login_uid(loginuid))


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _login_uid(path: Path) -> int | None:
    try:
        found = int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return None if found == _NOBODY else found
