"""Who else may change slurm.conf, which says what root runs on every node: told, and left as it is."""

import pwd
from pathlib import Path
from shlex import quote

from slurm_guard.configsafe import Reader, places_of
from slurm_guard.slurm.conf import SlurmConf


def find_loose(conf: SlurmConf) -> tuple[str, ...]:
    """A sentence for each of its files, folders and links that others than root and SlurmUser may change."""
    who = _slurm_user(conf)
    said = []
    for path in conf.files:
        try:
            places = places_of(path, who)
        except OSError:
            continue  # it was read a moment ago; what is wrong with it now, others say
        said += [
            f"{place.path} {place.unsafe}, and slurm.conf says what root runs on every node:"
            f" `{_mend(place.path, place.unsafe)}`"
            for place in places
            if place.unsafe
        ]
    return tuple(dict.fromkeys(said))


def _mend(path: str, why: str) -> str:
    if not why.startswith("belongs"):
        return f"chmod go-w {quote(path)}"
    return f"chown {'-h ' if Path(path).is_symlink() else ''}root: {quote(path)}"


def _slurm_user(conf: SlurmConf) -> Reader:
    """Slurm's daemons write files of theirs; not set, or nobody here, it is root."""
    name = conf.last("SlurmUser") or "root"
    try:
        row = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        return Reader(0, 0)
    return Reader(row.pw_uid, row.pw_gid)
