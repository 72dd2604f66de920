"""The rig's daemons: started once, known by pid and start time, stopped always."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.rig.layout import JOB_IDS, Rig, RigError

MARK = "SLURM_GUARD_RIG"  # in the environment of every daemon: what a crash left is found by it
GPU_MARK = "SLURM_GUARD_RIG_GPU"  # … and of every process of a job
_children: list[subprocess.Popen[bytes]] = []  # held, so that nobody warns of a child that lives on
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_env(rig: Rig) -> dict[str, str]:
    """What every program of the rig gets, and nothing of the caller's."""
    return {"PATH": _PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC", "SLURM_CONF": str(rig.conf)}


def start(rig: Rig, name: str, argv: list[str], env: dict[str, str] | None = None) -> None:
    """Start a daemon that stays in the foreground, unless it lives; its words go to log/<name>.out."""
    if is_alive(rig, name):
        return
    with (rig.path / "log" / f"{name}.out").open("ab") as out:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env={**base_env(rig), MARK: rig.root, **(env or {})},
            start_new_session=True,
        )
    _children.append(child)
    ticks = start_ticks(child.pid)
    _pid_file(rig, name).write_text(f"{child.pid} {ticks}\n", "ascii")


def stop(rig: Rig, name: str, wait_s: float = 10.0) -> None:
    """TERM, then KILL after `wait_s`. Nothing happens when it does not live."""
    known = _known(_pid_file(rig, name))
    if known is not None:
        end([known], wait_s)
    _pid_file(rig, name).unlink(missing_ok=True)


def is_alive(rig: Rig, name: str) -> bool:
    """Whether the daemon of that name lives."""
    return _known(_pid_file(rig, name)) is not None


def end(pids: Iterable[int], wait_s: float = 5.0) -> None:
    """TERM to all, KILL to those that are left, until none is."""
    marks = {pid: start_ticks(pid) for pid in pids}
    for number, patience_s in ((signal.SIGTERM, wait_s), (signal.SIGKILL, 5.0)):
        for pid, ticks in marks.items():
            if ticks is not None and start_ticks(pid) == ticks:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            _reap()
            if not any(ticks is not None and start_ticks(pid) == ticks for pid, ticks in marks.items()):
                return
            time.sleep(0.05)


def sweep(rig: Rig) -> list[int]:
    """Living processes of this rig, whoever started them: slurmstepds, jobs, samplers, leftovers."""
    marks = [f"{MARK}={rig.root}\0".encode(), f"{GPU_MARK}={rig.root}/".encode()]
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            environ = b"\0" + (entry / "environ").read_bytes() + b"\0"
            title = (entry / "cmdline").read_bytes()
            if any(b"\0" + mark in environ for mark in marks) or _is_own_stepd(rig, title):
                found.append(int(entry.name))
    for pid_file in (rig.path / "run").glob("*/sampler.pid"):
        pid = _known(pid_file)
        if pid is not None:
            found.append(pid)
    return sorted(set(found))


def _is_own_stepd(rig: Rig, title: bytes) -> bool:
    """26.05's slurmstepd writes its title over its environment; the title has the job's number."""
    found = re.match(rb"slurmstepd: \[(\d+)[.+]", title)
    return found is not None and 0 <= int(found[1]) - rig.first_job_id < JOB_IDS


def has_strangers(rig: Rig) -> bool:
    """Whether daemons of another rig live on this machine, inside whatever root."""
    mark, mine = f"\0{MARK}=".encode(), f"\0{MARK}={rig.root}\0".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environ = b"\0" + (entry / "environ").read_bytes() + b"\0"
            if mark in environ and mine not in environ:
                return True
    return False


def start_ticks(pid: int) -> int | None:
    """When the process began, in clock ticks since boot; null: it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def wait_for(what: str, test: Callable[[], bool], limit_s: float = 30.0, every_s: float = 0.1) -> None:
    """Until `test()`; RigError after `limit_s`."""
    until = time.monotonic() + limit_s
    while not test():
        if time.monotonic() > until:
            raise RigError(f"waited {limit_s:.0f} s for {what}")
        time.sleep(every_s)


def call(rig: Rig, argv: list[str], limit_s: float = 60.0) -> str:
    """Run a command to its end; its output. RigError has its last words."""
    try:
        done = subprocess.run(
            argv, env=base_env(rig), capture_output=True, text=True, timeout=limit_s, check=False, cwd="/"
        )
    except subprocess.TimeoutExpired:
        raise RigError(f"{argv[0]} did not end within {limit_s:.0f} s") from None
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()[-600:]
        raise RigError(f"{' '.join(argv[:4])} ended with status {done.returncode}: {words}")
    return done.stdout


def _pid_file(rig: Rig, name: str) -> Path:
    return rig.path / "pid" / name


def _known(path: Path) -> int | None:
    try:
        pid, ticks = (int(word) for word in path.read_text("ascii").split())
    except (OSError, ValueError):
        return None
    return pid if start_ticks(pid) == ticks else None


def _reap() -> None:
    """Daemons that this very process started turn into zombies until asked for."""
    for child in list(_children):
        if child.poll() is not None:
            _children.remove(child)


def version(argv: list[str]) -> str:
    """First line of what a program says of itself."""
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip().partition("\n")[0]


def kill(rig: Rig, name: str) -> None:
    """End a daemon as a crash would, without a word to it."""
    known = _known(_pid_file(rig, name))
    if known is not None:
        os.kill(known, signal.SIGKILL)
