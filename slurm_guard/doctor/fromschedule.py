"""What starts the night: timers of systemd and files of cron, read as these read them, and their programs."""

import contextlib
import os
import pwd
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote

import slurm_guard
from slurm_guard.doctor.crontab import find_fault, is_roots_night, is_setting
from slurm_guard.doctor.timer import Timer
from slurm_guard.doctor.ways import barrier

_CRON = ("/etc/crontab", "/etc/anacrontab")
_CRON_D = "/etc/cron.d"
_SPOOLS = ("/var/spool/cron", "/var/spool/cron/crontabs")
_CRON_FOLDERS = (_CRON_D, "/etc/cron.daily", *_SPOOLS)
_UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/system")
_NAME = re.compile(r"[A-Za-z0-9_-]+")  # of a file that Debian's cron reads in /etc/cron.d
_PROGRAM = re.compile(r"(?<![\w./+@%~])(/[\w./+@%~-]*/slurm-guard[\w.-]*)")
_MOST_TEXT = 65_536


def find_schedule(root: Path = Path("/"), knows: Callable[[str], bool] | None = None) -> tuple[Timer, ...]:
    """Enabled timers, then files of cron; what may not be read is passed over. `knows` an account."""
    found = [timer for place in _UNITS for timer in _timers(root, place)]
    files = [_below(root, name) for name in _CRON]
    for place in _CRON_FOLDERS:
        with contextlib.suppress(OSError):
            files += sorted(path for path in _below(root, place).iterdir() if path.is_file())
    for path in files:
        with contextlib.suppress(OSError):
            text = path.read_bytes().decode("utf-8", "replace")
            if len(text) > _MOST_TEXT:
                text = text[: text.rfind("\n", 0, _MOST_TEXT) + 1]
            if _ours(text):
                found.append(_of_cron(root, path, text, knows or _is_known))
    return tuple({timer.path: timer for timer in found}.values())


def _timers(root: Path, place: str) -> Iterator[Timer]:
    for path in sorted(_below(root, place).glob("*.wants/slurm-guard*.timer")):
        service = path.with_suffix(".service").name
        texts = [_below(root, folder) / service for folder in _UNITS]
        lines: list[str] = []
        with contextlib.suppress(OSError, StopIteration):
            lines = next(each for each in texts if each.is_file()).read_text("utf-8", "replace").splitlines()
        programs = _programs([line for line in lines if line.startswith("ExecStart=")])
        yield Timer(str(path), programs, *_gone(root, programs, service))


def _ours(text: str) -> list[str]:
    lines = text.split("\n")  # and at nothing else: cron keeps a CR
    return [line for line in lines if "slurm-guard" in line and not line.lstrip().startswith("#")]


def _of_cron(root: Path, path: Path, text: str, knows: Callable[[str], bool]) -> Timer:
    """Faults that cron says in a log alone, the first of them."""
    lines = _ours(text)
    programs = _programs(lines)
    status, name = path.stat(), quote(str(path))
    right = f"chown root:root {name} && chmod 644 {name}"
    in_folder = path.parent == _below(root, _CRON_D)
    system = in_folder or path == _below(root, _CRON[0])
    of_user = path.parent in [_below(root, place) for place in _SPOOLS]
    debian = not _below(root, "/usr/sbin/crond").exists()  # which takes names with a dot
    fault, remedy = "", ""
    if in_folder and debian and not _NAME.fullmatch(path.name):
        better = re.sub(r"[^A-Za-z0-9_-]+", "-", path.name)
        fault = "cron passes over a file with such a name"
        remedy = f"mv {name} {quote(str(path.with_name(better)))}"
    elif system and status.st_uid != 0:
        fault, remedy = f"it belongs to uid {status.st_uid}, and cron reads root's alone", right
    elif system and status.st_mode & 0o022:
        mode = stat.S_IMODE(status.st_mode)
        fault, remedy = f"others may write it (mode {mode:04o}), and cron does not read it", right
    elif (system or of_user) and (wrong := find_fault(text, lines, status.st_nlink))[0]:
        fault, remedy = wrong[0], wrong[1].replace("{name}", name)
    elif system and (strange := next((u for u in map(_user, lines) if u is not None and not knows(u)), None)):
        fault = f"where its line has to name a user there is {strange[:60]!a}, who is unknown here"
        remedy = "30 2 * * * slurm-guard-audit …   # the user stands between the times and the command"
    else:
        fault, remedy = _gone(root, programs, name)
    roots = [is_roots_night(line) for line in lines if (path.name if of_user else _user(line)) == "root"]
    return Timer(str(path), programs, fault, remedy, as_root=(system or of_user) and any(roots))


def _user(line: str) -> str | None:
    """The user's place in a line of a system's crontab; null: the line sets a variable."""
    if is_setting(line):
        return None
    words = line.split(None, 6)
    at = 1 if line.lstrip().startswith("@") else 5
    return words[at] if len(words) > at else "nothing"


def _is_known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _programs(lines: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(program for line in lines for program in _PROGRAM.findall(line)))


def _gone(root: Path, programs: tuple[str, ...], where: str) -> tuple[str, str]:
    gone = next((program for program in programs if not _below(root, program).exists()), "")
    if not gone:
        return "", ""
    return f"it starts {gone}, which is not there", f"command -v slurm-guard   # and write that into {where}"


def find_barred(timers: tuple[Timer, ...]) -> tuple[tuple[str, str], ...]:
    """Programs of the night and our package, each with the place that bars whoever looks from it."""
    beside = Path(sys.executable).with_name("slurm-guard")
    programs = [program for timer in timers for program in timer.programs]
    ways = dict.fromkeys([*programs, *([str(beside)] if os.path.lexists(beside) else [])])
    ways[str(Path(slurm_guard.__file__).parent)] = None
    return tuple((way, place) for way in ways if (place := barrier(Path(way))))


def _below(root: Path, place: str) -> Path:
    return root / place.lstrip("/")
