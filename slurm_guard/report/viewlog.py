"""Who looked at whose runs (rulings 26): one line of JSON a view, only ever added to."""

import json
import os
import stat
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

from slurm_guard.model import Judgement
from slurm_guard.siteword import Speaker

NAME = "views.jsonl"
KIND = "slurm-guard view"
FORMAT = 1
MOST_USERS = 100  # named in a line; the rest is counted. Judgement
_MOST_TEXT = 200


def log_path(configured: str, reports: Path) -> Path:
    """The configured file, else `views.jsonl` in the reports' folder."""
    return Path(configured) if configured else reports / NAME


def owners(judgements: Iterable[Judgement]) -> set[str]:
    """Whose runs they are."""
    return {j.run.user[:64] or f"uid {j.run.uid}" for j in judgements}


def view_line(
    at: float, by: Speaker, what: tuple[str, str, str, str], seen: tuple[int, AbstractSet[str]]
) -> str:
    """One view as a line. `what`: the command, the nights, what was asked for (empty: everything), and the
    format; `seen`: how many runs, and whose."""
    command, nights, narrowed, form = what
    n_runs, named = seen[0], sorted(seen[1])
    record = {
        "kind": KIND,
        "format": FORMAT,
        "at": round(at, 3),
        "by": by.name,
        "uid": by.uid,
        "login_uid": by.login_uid,
        "command": command,
        "nights": nights[:_MOST_TEXT],
        "narrowed": narrowed[:_MOST_TEXT],
        "as": form,
        "n_runs": n_runs,
        "n_users": len(named),
        "users": named[:MOST_USERS],
    }
    return json.dumps(record, ensure_ascii=True, separators=(",", ":"))


def owner_of(path: Path) -> int | None:
    """The uid whose log it is: of the file, and where there is none, or something else in its place, of the
    folder that it would be in. Null: nobody can tell."""
    try:
        about = path.lstat()
        return about.st_uid if stat.S_ISREG(about.st_mode) else path.parent.stat().st_uid
    except FileNotFoundError:
        return next((each.stat().st_uid for each in path.absolute().parents if each.is_dir()), None)
    except OSError:
        return None


def append_view(path: Path, line: str) -> str:
    """Add it; what went wrong in words, empty when nothing did. No link is followed, no pipe waited for."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    data = f"{line}\n".encode("ascii")
    try:
        fd = os.open(path, flags, 0o640)
    except OSError as error:
        return f"{path}: {error.strerror}"
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            return f"{path} is no regular file"
        if os.geteuid() == 0 and about.st_size == 0:  # the reports' owner has to add to it as well
            folder = path.parent.stat()
            os.fchown(fd, folder.st_uid, folder.st_gid)
        n = os.write(fd, data)  # one call: lines of two views do not mix
        return "" if n == len(data) else f"{path}: only a part of the line was written"
    except OSError as error:
        return f"{path}: {error.strerror}"
    finally:
        os.close(fd)
