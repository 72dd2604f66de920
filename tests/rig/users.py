"""The ordinary users of the rig: made when missing, removed by the last rig that uses them."""

import hashlib
import os
import pwd
import subprocess
from pathlib import Path

from tests.rig import procs
from tests.rig.layout import AUDITOR, USERS, Rig, RigError

_LEASES = Path("/run/slurm-guard-rig")  # one folder a user: `made` if a rig created it, one file a rig


def make_users(rig: Rig) -> None:
    """All users of the rig, with a home inside the rig and a lease outside of it."""
    for user in (*USERS, AUDITOR):
        folder = _LEASES / user
        folder.mkdir(parents=True, exist_ok=True)
        if not _exists(user):
            _add(user)
            (folder / "made").touch()
        (folder / _lease(rig)).write_text(rig.root, "utf-8")
        entry = pwd.getpwnam(user)
        home = rig.home(user)
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755)
        os.chown(home, entry.pw_uid, entry.pw_gid)


def has_neighbours(rig: Rig) -> bool:
    """Whether another rig lives on this machine; one inside another root has its leases there."""
    return any(_living(rig, _LEASES / user) for user in USERS) or procs.has_strangers(rig)


def _living(rig: Rig, folder: Path) -> list[Path]:
    """Leases of other rigs that still have their rig.json."""
    if not folder.is_dir():
        return []
    leases = [path for path in folder.iterdir() if path.name not in ("made", _lease(rig))]
    return [path for path in leases if (Path(path.read_text("utf-8")) / "rig.json").exists()]


def drop_users(rig: Rig) -> None:
    """Give the leases back; a user that a rig made and no rig needs is removed."""
    for user in (*USERS, AUDITOR):
        folder = _LEASES / user
        if not folder.is_dir():
            continue
        (folder / _lease(rig)).unlink(missing_ok=True)
        if _living(rig, folder):
            continue
        if (folder / "made").exists() and _exists(user):
            subprocess.run(["userdel", user], check=False, capture_output=True)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    if _LEASES.is_dir() and not any(_LEASES.iterdir()):
        _LEASES.rmdir()


def as_user(user: str) -> list[str]:
    """The words before a command that is to run as `user`, with nothing of root's left."""
    entry = pwd.getpwnam(user)
    return [
        "setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups",
        "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs",
    ]  # fmt: skip


def _add(user: str) -> None:
    # '*' and not '!': sshd refuses accounts that are locked, even for keys.
    command = ["useradd", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/bin/sh", "--password", "*", user]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RigError(f"useradd {user}: {done.stderr.strip()}")


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _lease(rig: Rig) -> str:
    return hashlib.sha256(rig.root.encode()).hexdigest()[:16]
