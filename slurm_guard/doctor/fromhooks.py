"""What slurmd would run, whether it leads to our shims, and what these would start. Nothing is run here."""

import glob
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from slurm_guard.doctor.facts import HookFile, HookLine, HookSettings
from slurm_guard.doctor.fromslurm import hook_values
from slurm_guard.doctor.ways import may_enter, unsafe_on_way
from slurm_guard.hooks.settings import Settings
from slurm_guard.slurm.conf import SlurmConf
from slurm_guard.slurm.running import Running

KEYS = {
    "Prolog": "slurm-guard-prolog",
    "Epilog": "slurm-guard-epilog",
    "TaskProlog": "slurm-guard-task-prolog",
}
SETTINGS_FILE = "slurm-guard-hooks.conf"
SETTINGS_DEFAULT = f"/etc/slurm-guard/{SETTINGS_FILE}"
NAMES = ("PYTHON", *(name.upper() for name in Settings._fields))
_MOST_TEXT = 256 << 10  # bytes of a script that are read
_MOST_LINE = 500  # characters of a line that are searched
_MOST_MATCHES = 200  # of a glob
_MOST_CALLED = 8
_EXEC = re.compile(r"^exec (?:'(/[^'\n]+)'|(/[\w./+@%-]+))", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # [[:cntrl:]] of the shim
_WORD = re.compile(r"/[\w./+@%-]+")
# What ends processes by name or by a user that is not the job's own.
_KILL = re.compile(
    r"\b(?:pkill|killall)\b[^#\n|;]*(?:slurm-guard|\bpython|(?:-u|-U|--user|--uid|--euid)[ =]?(?:root|0)\b)"
)
_OF_USER = re.compile(
    r"\b(?:pkill|killall)\b[^#\n|;]*(?:-u|-U|--user|--uid)[ =]?\"?\$\{?SLURM_(?:JOB_USER|JOB_UID|UID)"
)
_ASKS_UID = re.compile(r"SLURM_(?:JOB_)?UID\W|\broot\b|\bid -u\b|SLURM_JOB_USER\W+(?:==?|!=)")


def load_hooks(conf: SlurmConf | None, running: Running | None) -> tuple[HookLine, ...]:
    """Every line of the three keys with the programs that it stands for on this machine."""
    return tuple(
        _line(key, value, place) for key in KEYS for value, place in hook_values(key, conf, running) if value
    )


def _line(key: str, value: str, place: str) -> HookLine:
    is_glob = any(char in value for char in "*?[")
    paths = sorted(glob.glob(value))[:_MOST_MATCHES] if is_glob else [value]  # noqa: PTH207  as Slurm does
    files = [look_at(path, KEYS[key]) for path in paths]
    called = dict.fromkeys(
        path for file in files for path in (file.shim, *_becomes(file)) if path not in paths
    )
    inner = [look_at(path, KEYS[key], inner=True) for path in called if path]
    return HookLine(key, value, place, is_glob, (*files, *inner))


def look_at(path: str, shim: str, *, inner: bool = False) -> HookFile:
    """One program. Raises nothing: what cannot be looked at is not there, or not readable."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return HookFile(path, False, False, False, False, _is_shim(path, shim), "", inner)
    mode = stat.S_IMODE(status.st_mode)
    text = _text(path)
    ours, found = _leads(path, text, shim)
    return HookFile(
        path,
        exists=True,
        regular=stat.S_ISREG(status.st_mode),
        executable=bool(mode & 0o111),
        world_runs=mode & 0o005 == 0o005 and may_enter(path),
        ours=ours,
        shim=found,
        inner=inner,
        script=text is None or text.startswith("#!"),
        unsafe=unsafe_on_way(path),
        kills="" if _is_shim(path, shim) else _kill_line(text or ""),
    )


def _becomes(file: HookFile) -> list[str]:
    """What a script ends in: the site's own program, in those that `slurm-guard install` writes."""
    if _is_shim(file.path, Path(file.shim).name):
        return []
    return [found[1] or found[2] for found in _EXEC.finditer(_text(file.path) or "")][:_MOST_CALLED]


def _is_shim(path: str, shim: str) -> bool:
    return Path(path).name == shim or Path(os.path.realpath(path)).name == shim


def _leads(path: str, text: str | None, shim: str) -> tuple[bool | None, str]:
    """Whether running it runs our shim, and where that is."""
    if _is_shim(path, shim):
        return True, path
    if text is None:
        return None, ""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    named = next((word for word in _WORD.findall(bare) if Path(word).name == shim), "")
    if named or shim in bare:
        return True, named
    for word in dict.fromkeys(_WORD.findall(bare)):  # a folder of scripts, as run-parts and loops take them
        for inside in _inside(word.rstrip("/")):
            if _is_shim(inside, shim) or shim in (_text(inside) or ""):
                return True, inside if _is_shim(inside, shim) else ""
    return False, ""


def _inside(folder: str) -> list[str]:
    try:
        if not folder.endswith(".d") and "log" not in folder.rsplit("/", 1)[-1]:
            return []
        return [entry.path for entry in os.scandir(folder)][:_MOST_MATCHES]
    except OSError:
        return []


def _text(path: str) -> str | None:
    """The beginning of a regular file; null: it may not be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            return file.read(_MOST_TEXT).decode("utf-8", "replace")
    except OSError:
        return None


def _kill_line(text: str) -> str:
    lines = [line[:_MOST_LINE] for line in text.splitlines()]
    asks = any(_ASKS_UID.search(_OF_USER.sub("", line)) for line in lines)
    for line in lines:
        bare = line.partition("#")[0]
        if _KILL.search(bare) or (_OF_USER.search(bare) and not asks):
            return line.strip()[:120]
    return ""


def load_settings(hooks: Sequence[HookLine], given: Path | None = None) -> HookSettings:
    """What the prolog's shim would take: its own values, and those of the file that it reads."""
    shim = next((file.shim for line in hooks if line.key == "Prolog" for file in line.files if file.shim), "")
    values = _own_values(_text(shim) if shim else None)
    beside = str(Path(shim).parent / SETTINGS_FILE) if shim else ""
    places = [str(given)] if given is not None else [place for place in (beside, SETTINGS_DEFAULT) if place]
    path = next((place for place in places if Path(place).is_file()), "")
    if not path:
        return HookSettings("", values)
    refused = _refused(path)
    text = _text(path)
    if text is None:
        return HookSettings(path, values, refused or "it cannot be read")
    taken, odd = parse_settings(text)
    return HookSettings(path, values if refused else {**values, **taken}, refused, odd, text.count("\r\n"))


def _refused(path: str) -> str:
    """As the shim's own look at `ls -ldn`: a plain file of root's that nobody else may write."""
    status = Path(path).lstat()
    if not stat.S_ISREG(status.st_mode):
        return "it is a link, or no regular file"
    if status.st_uid != 0:
        return f"it belongs to uid {status.st_uid}"
    if status.st_mode & 0o022:
        return f"others may write it (mode {stat.S_IMODE(status.st_mode):04o})"
    return ""


def parse_settings(text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Settings and the lines that are none, as the shim reads them."""
    values: dict[str, str] = {}
    odd = []
    for line in text.split("\n"):
        name, sign, value = line.partition("=")
        if name in NAMES and sign:
            value = value[:-1] if _CONTROL.match(value[-1:]) else value  # the CR of a file of Windows'
            value = value.removeprefix('"').removeprefix("'") if value[:1] in "\"'" else value
            values[name] = value[:-1] if value[-1:] in ("'", '"') else value
        elif line.strip() and not line.startswith("#"):
            odd.append(line.strip()[:80])
    return values, tuple(odd)


def _own_values(text: str | None) -> dict[str, str]:
    defaults = {name.upper(): str(value) for name, value in zip(Settings._fields, Settings(), strict=True)}
    defaults["PYTHON"] = "/usr/bin/python3"
    head = (text or "").partition("\n# ---\n")[0]
    return {**defaults, **{k: v for k, v in parse_settings(head)[0].items() if v or k in defaults}}
