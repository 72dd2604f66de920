"""What a node has of ours: folders, samplers, switches, the kernel's control groups."""

import grp
import json
import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slurm_guard.config import Config
from slurm_guard.doctor.facts import Control, Folder, HookSettings, Leftover, SamplerState, Switch
from slurm_guard.doctor.pulse import find_pulse
from slurm_guard.doctor.ways import unsafe_on_way
from slurm_guard.sampler.status import read_status

INSTALL_JOURNAL = Path("/var/lib/slurm-guard/install")
_MOST_NODES = 64  # samplers of one machine that are looked at; judgement
_MOST_JOURNAL = 64 << 20  # bytes; it holds paths and digests. Judgement
_UNIT = "slurm-guardd.service"
_UNIT_PLACES = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


def look_at_folder(path: str) -> Folder:
    """One folder and the file system that it is on. Raises OSError where it may not be looked at."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return Folder(path, False)
    room = os.statvfs(path)
    return Folder(
        path,
        exists=True,
        is_dir=stat.S_ISDIR(status.st_mode),
        mode=stat.S_IMODE(status.st_mode),
        owner=user_name(status.st_uid),
        uid=status.st_uid,
        gid=status.st_gid,
        group=_group_name(status.st_gid),
        free_b=room.f_bavail * room.f_frsize,
        n_free=room.f_favail,
        n_inodes=room.f_files,
        unsafe=unsafe_on_way(str(Path(path).parent)),
    )


def user_name(uid: int) -> str:
    """The name, else the number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def look_at_folders(config: Config) -> dict[str, Folder]:
    """Those that hooks and sampler write."""
    node = config.node
    places = {"run": node.run_dir, "spool": node.spool_dir, "progress": config.progress.client_dir}
    return {name: look_at_folder(path) for name, path in places.items()}


def find_nodes(config: Config, host: str) -> tuple[str, ...]:
    """Names of this machine's nodes: those with a folder of tickets, else the host's own."""
    try:
        with os.scandir(config.node.run_dir) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        names = []
    return tuple(names[:_MOST_NODES]) or (host,)


def load_samplers(config: Config) -> tuple[SamplerState, ...]:
    """The state of each sampler that ever ran here since the boot."""
    run_dir = config.node.run_dir
    names = [name for name in find_nodes(config, "") if name]
    return tuple(_sampler(name, f"{run_dir}/{name}") for name in names)


def _sampler(node: str, folder: str) -> SamplerState:
    status = read_status(folder)
    pulse = find_pulse(folder, status)
    release = str((status or {}).get("version") or "")[:40]
    return SamplerState(node, pulse.silence, pulse.hint, release, _cuts(status or {}))


def _cuts(status: Mapping[str, Any]) -> tuple[str, ...]:
    tables = status.get("tables")
    if not isinstance(tables, dict):
        return ()
    found = []
    if tables.get("ends_heard") is False:
        found.append("connections that come and go between two looks")
    if tables.get("bytes_counted") is False:
        found.append("bytes of connections, and so no tunnel")
    if tables.get("processes_truncated") is True:
        found.append("some of the processes, which are more than node.max_procs")
    return tuple(found)


def find_switches(config: Config, settings: HookSettings | None) -> tuple[Switch, ...]:
    """Files that exist and switch hooks or sampler off."""
    named = [config.node.disabled, config.node.disabled_everywhere]
    if settings is not None:
        named += settings.values.get("DISABLED", "").split(":")
    found = []
    for path in dict.fromkeys(name for name in named if name):
        try:
            found.append(Switch(path, os.lstat(path).st_mtime))
        except (FileNotFoundError, NotADirectoryError):
            continue
    return tuple(found)


def look_at_control(config: Config) -> Control:
    """Control groups, systemd's unit, and the user that parses."""
    mounts = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
    kinds = [(parts[2], parts[3]) for parts in (line.split(" ") for line in mounts) if len(parts) > 3]
    return Control(
        freezer_v1=any(kind == "cgroup" and "freezer" in options.split(",") for kind, options in kinds),
        unified=any(kind == "cgroup2" for kind, _ in kinds),
        unit=_enabled_unit(),
        parser_user=_parser(config.progress.parser_user),
    )


def _enabled_unit() -> str:
    """The link that `systemctl enable` makes, without asking systemd, which may not be there."""
    for place in _UNIT_PLACES:
        for path in sorted(Path(place).glob(f"*.wants/{_UNIT}")):
            return str(path)
    return ""


def _parser(name: str) -> str:
    try:
        return "it has root's rights" if pwd.getpwnam(name).pw_uid == 0 else ""
    except KeyError:
        return "this machine does not know it"


def find_traces(config: Config, hook_settings: Path, journal: Path = INSTALL_JOURNAL) -> tuple[str, ...]:
    """What of ours is there. A package makes none of it, and neither does whoever writes guard.toml first."""
    made = (config.node.run_dir, config.node.spool_dir, config.lake.path, config.report.path)
    places = (journal, hook_settings, *map(Path, made))
    found = [str(path) for path in places if path.exists()]
    return tuple(found + ([_enabled_unit()] if _enabled_unit() else []))


def find_leftovers(folder: Path = INSTALL_JOURNAL) -> tuple[Leftover, ...]:
    """The journal of an installation or a removal that did not end; it says `applied` where all is done."""
    path = folder / "journal.json"
    if not path.exists():
        return (Leftover(str(folder), "begun"),) if folder.is_dir() and any(folder.iterdir()) else ()
    try:
        status = str(json.loads(path.read_bytes()[:_MOST_JOURNAL])["status"])[:40]
    except (ValueError, KeyError, TypeError):
        status = "unreadable"
    return () if status == "applied" else (Leftover(str(path), status),)
