"""What Slurm's files and commands say: gres.conf, nodes, slurmdbd, a day of accounting."""

import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from slurm_guard.config import Config
from slurm_guard.doctor.facts import Accounting, Database, Gres, GresLine, SlurmNode
from slurm_guard.doctor.finding import NotSeenError
from slurm_guard.hostlist import expand
from slurm_guard.slurm.conf import SlurmConf, logical_lines, read_slurm_conf, read_text
from slurm_guard.slurm.group import run_group
from slurm_guard.slurm.running import Running
from slurm_guard.slurm.sacct import Sacct, runs_of_text

_PLACES = (
    "/etc/slurm/slurm.conf",
    "/etc/slurm-llnl/slurm.conf",
    "/usr/local/etc/slurm.conf",
    "/opt/slurm/etc/slurm.conf",
)
_CACHED = "/run/slurm/conf/slurm.conf"  # where slurmd of a configless site keeps what it was sent
_MOST_FILES = 256  # of one gres.conf line that are looked at; judgement
_DAY_S = 86_400.0


def find_slurm_conf(given: Path | None) -> Path:
    """The named one, SLURM_CONF, or where packages put it. Raises NotSeenError."""
    if given is not None:
        return given
    named = os.environ.get("SLURM_CONF", "")
    if named:
        return Path(named)
    for place in (*_PLACES, _CACHED):
        if Path(place).exists():
            return Path(place)
    raise NotSeenError("there is no slurm.conf where packages put it; name it with --slurm-conf")


def load_conf(given: Path | None) -> SlurmConf:
    """Raises NotSeenError and those of the reader."""
    return read_slurm_conf(find_slurm_conf(given))


def load_gres(slurm_conf: Path) -> Gres:
    """gres.conf as it lies beside slurm.conf, its device files looked at without being opened."""
    path = slurm_conf.with_name("gres.conf")
    try:
        text = read_text(path)
    except FileNotFoundError:
        return Gres(str(path), None)
    return Gres(str(path), parse_gres(text))


def parse_gres(text: bytes) -> tuple[GresLine, ...]:
    """Its lines; an `Include` is not followed: Slurm's own man page has none there."""
    found = []
    for number, _, words in logical_lines(text):
        fields: dict[str, str] = {}
        for part in words.decode("utf-8", "surrogateescape").split():
            key, sign, value = part.partition("=")
            if sign:
                fields.setdefault(key.lower(), value.strip('"'))
        if fields:
            found.append(_gres_line(number, fields))
    return tuple(found)


def _gres_line(number: int, fields: Mapping[str, str]) -> GresLine:
    named = fields.get("file") or fields.get("multiplefiles") or ""
    files = _device_files(named)[:_MOST_FILES]
    missing, plain = [], []
    for name in files:
        try:
            mode = os.stat(name).st_mode  # noqa: PTH116
        except OSError:
            missing.append(name)
            continue
        if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
            plain.append(name)
    return GresLine(number, fields, tuple(files), tuple(missing), tuple(plain))


def _device_files(text: str) -> list[str]:
    """`/dev/nvidia[0-3],/dev/nvidia7`, by the way in which host lists are written."""
    found: list[str] = []
    depth = 0
    part = ""
    for char in f"{text},":
        depth += (char == "[") - (char == "]")
        if char == "," and depth <= 0:
            found += _expanded(part) if part else []
            part = ""
        else:
            part += char
    return found


def _expanded(name: str) -> list[str]:
    folder, _, last = name.rpartition("/")
    try:
        return [f"{folder}/{each}" for each in expand(last)]
    except ValueError:
        return [name]


def _ask(command: list[str], timeout_s: float, most: int = 32 << 20) -> str:
    """A Slurm command's text. Raises NotSeenError with its last words."""
    try:
        done = run_group(command, {**os.environ, "LC_ALL": "C"}, timeout_s)
    except subprocess.TimeoutExpired:
        raise NotSeenError(f"{command[0]} did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise NotSeenError(f"{command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
        raise NotSeenError(f"{command[0]} ended with {done.returncode}: {last[:200]}")
    return done.stdout[:most].decode("utf-8", "replace")


def _beside(config: Config, name: str) -> str:
    return str(Path(config.slurm.sacct).with_name(name))


def load_nodes(config: Config, timeout_s: float) -> tuple[SlurmNode, ...]:
    """One line a node, by sinfo; a node of several partitions counts once."""
    text = _ask([_beside(config, "sinfo"), "-h", "-a", "-N", "-o", "%N|%G|%T|%E"], timeout_s)
    return parse_nodes(text)


def parse_nodes(text: str) -> tuple[SlurmNode, ...]:
    """The reason comes last, for it is anybody's text."""
    found: dict[str, SlurmNode] = {}
    for line in text.splitlines():
        parts = line.split("|", 3)
        if len(parts) == 4 and parts[0].strip():
            name, gres, state, reason = (part.strip() for part in parts)
            found.setdefault(name, SlurmNode(name, gres, state.lower(), reason[:200]))
    return tuple(found.values())


def load_database(config: Config, auditor: str, timeout_s: float) -> Database:
    """Clusters, TRES and the auditing user's rights, by sacctmgr."""
    program = _beside(config, "sacctmgr")
    clusters = _ask([program, "-nP", "show", "cluster", "format=cluster"], timeout_s).split()
    tres = _ask([program, "-nP", "show", "tres", "format=type,name"], timeout_s)
    user = _ask([program, "-nP", "show", "user", f"name={auditor}", "format=user,adminlevel"], timeout_s)
    admin = next((line.partition("|")[2] for line in user.splitlines() if line.startswith(f"{auditor}|")), "")
    names = ("/".join(part for part in line.split("|") if part) for line in tres.splitlines())
    return Database(tuple(clusters), tuple(name.lower() for name in names), admin.strip().lower())


def load_accounting(config: Config, now_at: float, timeout_s: float) -> Accounting:
    """The last day as the audit would read it."""
    sacct = Sacct(config.slurm.sacct, min(timeout_s, config.slurm.timeout_s), config.slurm.cluster)
    since_at = now_at - _DAY_S
    loaded = runs_of_text(
        sacct.read_text(since_at, now_at), config.slurm.cluster, (since_at, now_at), "sacct"
    )
    bad = [skip.detail for skip in loaded.skips if skip.reason == "bad-accounting-row"]
    starts: dict[int, tuple[float, ...]] = {}
    for run in loaded.runs:
        starts[run.job_id] = (*starts.get(run.job_id, ()), run.start_at)
    return Accounting(len(loaded.runs), len(bad), (bad or [""])[0], starts)


def hook_values(key: str, conf: SlurmConf | None, running: Running | None) -> list[tuple[str, str]]:
    """The values of Prolog=, Epilog= or TaskProlog= with their place: of the files, else of slurmctld."""
    if conf is not None:
        return [(line.value, f"{line.path}:{line.number}") for line in conf.lines_of(key)]
    if running is not None:
        return [(value, "scontrol show config") for value in running.all(key)]
    return []
