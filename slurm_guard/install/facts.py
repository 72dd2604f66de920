"""What the planner has to know of this machine: Slurm's version and lines, the site's programs, systemd."""

import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.install.change import Places
from slurm_guard.install.disk import Disk
from slurm_guard.install.files import Installation, settings_paths, this_installation
from slurm_guard.install.loose import find_loose
from slurm_guard.slurm.conf import SlurmConf, read_slurm_conf
from slurm_guard.slurm.group import run_group

USUAL = ("/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf", "/usr/local/etc/slurm.conf")
# What slurmd keeps of a configuration that it was sent (configless).
SENT = ("/run/slurm/conf/slurm.conf", "/var/spool/slurmd/conf-cache/slurm.conf")
MAX_PROGRAM = 256 << 10  # of a site's, looked through for a call of ours
DATA_FOLDERS = ("spool", "lake", "reports")
CALL_S = 20.0  # of scontrol, systemctl: judgement


@dataclass(frozen=True, slots=True)
class Facts:
    """`version` null: not known. `hands_off`: why slurm.conf is not edited; "": it is."""

    places: Places
    role: str
    have: Installation
    version: tuple[int, int] | None
    conf: SlurmConf | None
    hands_off: str
    systemd: bool
    old_settings: Mapping[Path, bytes] = field(default_factory=dict)
    texts: Mapping[str, bytes] = field(default_factory=dict)
    accounts: frozenset[str] = frozenset()
    real: Mapping[Path, Path] = field(default_factory=dict)  # slurm.conf's files where links lead
    can: frozenset[str] = frozenset()  # programs that are installed
    with_task_prolog: bool = True
    # Of folders of our data that are there: owner, group and mode.
    folders: Mapping[str, tuple[str, str, int]] = field(default_factory=dict)
    loose: tuple[str, ...] = ()  # who else may change slurm.conf, a sentence each


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line. `slurm_conf` null: found; `edit_conf` False: never edited.

    `must_read` False: a slurm.conf that cannot be read is said, and nothing is learnt of the site's programs.
    """

    role: str
    places: Places
    slurm_conf: Path | None = None
    slurm_version: str | None = None
    edit_conf: bool = True
    with_task_prolog: bool = True
    must_read: bool = True


def gather(asked: Asked) -> Facts:
    """Look at the machine; nothing is changed. GuardError where slurm.conf cannot be read."""
    disk = Disk(asked.places)
    version = parse_version(asked.slurm_version) if asked.slurm_version else find_version(asked.places)
    path = asked.slurm_conf or find_conf(asked.places)
    conf, unread = _read_if_able(asked, path, version)
    settings = [path for path in settings_paths(asked.places) if disk.look(path).kind == "file"]
    return Facts(
        places=asked.places,
        role=asked.role,
        have=this_installation(),
        version=version,
        conf=conf,
        hands_off=unread or _hands_off(asked, conf),
        systemd=_has_systemd(asked.places),
        old_settings={path: disk.read(path) for path in settings},
        texts=_site_programs(asked.places, conf) if conf else {},
        real=_real_paths(asked.places, conf),
        accounts=_accounts(),
        folders=_folders(asked.places),
        can=frozenset(name for name in ("systemd-sysusers", "systemd-tmpfiles") if shutil.which(name)),
        with_task_prolog=asked.with_task_prolog,
        # In an image owners are whoever unpacked it: doctor looks where it runs.
        loose=find_loose(conf) if conf is not None and asked.places.root is None else (),
    )


def parse_version(text: str) -> tuple[int, int]:
    """(22, 5) of "22.05", "slurm 22.05.8" or "slurm-wlm 24.11.5"; raises GuardError."""
    match = re.search(r"(?<!\d)(\d\d)\.(\d\d)(?!\d)", text)
    if match is None:
        raise GuardError(
            "slurm-version", f"{text[:60]!a} is no version of Slurm", "write it like 23.11", EXIT_USAGE
        )
    return int(match[1]), int(match[2])


def find_version(places: Places) -> tuple[int, int] | None:
    """What the machine's own Slurm says; null: none is there, or a staged image is meant."""
    if places.root is not None:
        return None
    for words in (("scontrol", "--version"), ("slurmd", "-V"), ("slurmctld", "-V")):
        done = call(words)
        if done is not None and done.returncode == 0:
            try:
                return parse_version(done.stdout.decode("utf-8", "replace"))
            except GuardError:
                continue
    return None


def call(words: Sequence[str]) -> "subprocess.CompletedProcess[bytes] | None":
    """A program of the machine's, with a time limit; null: it is not there or did not answer."""
    try:
        return run_group(words, {**os.environ, "LC_ALL": "C"}, CALL_S)
    except (OSError, subprocess.TimeoutExpired):
        return None


def find_conf(places: Places) -> Path | None:
    """SLURM_CONF, or the first of the usual places that is there."""
    named = os.environ.get("SLURM_CONF") if places.root is None else None
    for text in [named] if named else [*USUAL, *SENT]:
        if text and os.path.exists(places.disk(Path(text))):
            return Path(text)
    return None


def _read_conf(places: Places, path: Path, version: tuple[int, int] | None) -> SlurmConf:
    from slurm_guard.slurm.conf import read_text

    return read_slurm_conf(path, lambda one: read_text(places.disk(one)), version)


def _read_if_able(
    asked: Asked, path: Path | None, version: tuple[int, int] | None
) -> tuple[SlurmConf | None, str]:
    """And why it could not be read."""
    if path is None:
        return None, ""
    try:
        return _read_conf(asked.places, path, version), ""
    except GuardError as error:
        if asked.must_read:
            raise
        return None, error.sentence


def _hands_off(asked: Asked, conf: SlurmConf | None) -> str:
    """ "" where slurm.conf is edited."""
    if conf is None:
        return "no slurm.conf was found (--slurm-conf names it)"
    if not asked.edit_conf:
        return "--no-slurm-conf was given"
    if str(conf.path).startswith(("/run/", "/var/spool/")) or "conf-cache" in conf.path.parts:
        return f"{conf.path} was sent by slurmctld (configless): it is changed on the controller"
    if asked.slurm_conf is not None:
        return ""
    if asked.role == "node":
        return "with --role node it is left to the machine that keeps it; --slurm-conf names one to edit"
    hosts = [value.split("(")[0].split(".")[0] for value in conf.values("SlurmctldHost")]
    if hosts and socket.gethostname().split(".")[0] not in hosts and asked.places.root is None:
        return f"this machine is none of its controllers ({', '.join(hosts)}); --slurm-conf names one to edit"
    return ""


def _has_systemd(places: Places) -> bool:
    if places.root is not None:
        return any(
            os.path.exists(places.disk(Path(text)))
            for text in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
        )
    return os.path.isdir("/run/systemd/system")


def _real_paths(places: Places, conf: SlurmConf | None) -> dict[Path, Path]:
    if conf is None or places.root is not None:  # in an image a link's end is not ours to follow
        return {}
    return {path: Path(os.path.realpath(path)) for path in conf.files}


def _site_programs(places: Places, conf: SlurmConf) -> dict[str, bytes]:
    """What the site's own programs hold, by the value that names them: do they call us already?"""
    import glob

    found: dict[str, bytes] = {}
    for key in ("Prolog", "Epilog", "TaskProlog"):
        for value in conf.values(key):
            if not value.startswith("/"):
                continue
            paths = glob.glob(str(places.disk(Path(value))))[:64]
            found[value] = b"\n".join(_program_text(path) for path in paths)
    return found


def _program_text(path: str) -> bytes:
    """Its text and, of a link, where it leads."""
    try:
        leads = os.fsencode(os.readlink(path)) if os.path.islink(path) else b""
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return leads + b"\n" + file.read(MAX_PROGRAM)
    except OSError:
        return b""


def _folders(places: Places) -> dict[str, tuple[str, str, int]]:
    found = {}
    for name in DATA_FOLDERS:
        try:
            path = places.disk(places.state / name)
            found[name] = (path.owner(), path.group(), stat.S_IMODE(path.stat().st_mode))
        except (OSError, KeyError):
            continue
    return found


def _accounts() -> frozenset[str]:
    import grp
    import pwd

    return frozenset([*(row.pw_name for row in pwd.getpwall()), *(row.gr_name for row in grp.getgrall())])
