"""Starts the node's sampler from the prolog, once, so that it outlives the kill of the prolog's group."""

import _signal  # type: ignore[import-not-found]  # `signal` itself costs 3 ms for its enums
import fcntl
import os
import time

from slurm_guard.hooks.end import PID_FILE, is_alive, read_start_ticks
from slurm_guard.hooks.environ import read_small
from slurm_guard.hooks.settings import Settings
from slurm_guard.hooks.spool import open_folder, run_store, write_file

BEAT_FILE = "beat"  # seconds since boot, written anew by a sampler that goes round
MAX_SILENCE_S = 300.0  # thirty beats: judgement
_LOCK_FILE = "sampler.lock"
_STARTED = b"s"
_SYSLOG = "/dev/log"  # where the sampler speaks by itself, or to the journal
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def ensure_sampler(settings: Settings, node: str) -> str | None:
    """Start the sampler unless one is alive for this node. Returns what went wrong, null when nothing did.

    Raises OSError when the run folder cannot be used.
    """
    folder = f"{settings.run_dir}/{node}"
    if is_alive(folder):
        return None
    folder_fd = open_folder(run_store(settings.run_dir), node)
    try:
        lock = os.open(_LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=folder_fd)
    finally:
        os.close(folder_fd)
    try:
        if not _take(lock) or is_alive(folder):
            return None
        return _start(settings, node)
    finally:
        os.close(lock)


def _take(lock: int) -> bool:
    """Whether the lock is ours; else another prolog is starting the sampler at this moment, or one runs."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # a fork that fails raises the same: it must not come here
        return False
    return True


def find_silence(folder: str, proc: str = "/proc") -> str | None:
    """A word about a sampler that lives and does not go round: stopped, or hung in the kernel; null: none.

    It is left alone: it may come back, and a second one beside it would write into the same streams. One of a
    release without a beat is not judged, and a new one has as long to make its first.
    """
    try:
        beat_s = float(read_small(f"{folder}/{BEAT_FILE}", 64))
        start_s = int(read_small(f"{folder}/{PID_FILE}", 64).split()[1]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    silent_s = time.clock_gettime(time.CLOCK_BOOTTIME) - max(beat_s, start_s)
    # false also for NaN, a nonsense file's
    if not (beat_s >= 0 and silent_s > MAX_SILENCE_S and is_alive(folder, proc)):
        return None
    return f"the sampler lives but has not gone round for {silent_s:.0f} s: stopped or hung, left alone"


def command(settings: Settings, node: str) -> list[str]:
    """The sampler's command line; `%n` in the configuration's path becomes the node."""
    entry = f"{settings.lib}/slurm_guard/hooks/sampler_main.py"
    config = settings.config.replace("%n", node)
    argv = [settings.sampler_python, "-I", entry, "--config", config, "--node", node]
    return argv if settings.syslog == _SYSLOG else [*argv, "--log", settings.syslog]


def sampler_env(settings: Settings, node: str) -> dict[str, str]:
    """All of the environment that the sampler gets; nothing of the job's."""
    env = {"PATH": _PATH, "LANG": os.environ.get("LANG", "C.UTF-8")}
    if "TZ" in os.environ:
        env["TZ"] = os.environ["TZ"]
    if settings.sampler_ld_library_path:
        env["LD_LIBRARY_PATH"] = settings.sampler_ld_library_path.replace("%n", node)
    return env


def _start(settings: Settings, node: str) -> str | None:
    """Fork twice and wait until the grandchild has a session of its own and has become the sampler.

    slurmd kills the prolog's process group as soon as the prolog is done; without the wait the child may
    not have left the group by then. The pipe closes by itself at exec: more than the first byte is an error.
    """
    try:
        answer, report = os.pipe()  # close-on-exec, both ends
        child = os.fork()
    except OSError as error:
        return f"sampler not started: no child to be had: {error.strerror}"
    if child == 0:
        _child(settings, node, report)
    os.close(report)
    told = b""
    try:
        while part := os.read(answer, 256):
            told += part
    finally:
        os.close(answer)
        os.waitpid(child, 0)
    if told == _STARTED:
        return None
    return f"sampler not started: {told.removeprefix(_STARTED).decode('utf-8', 'replace') or 'no answer'}"


def _child(settings: Settings, node: str, report: int) -> None:
    """In the first child: leave the group, fork again, become the sampler. Never returns."""
    try:
        os.setsid()
        if os.fork() == 0:
            _detach(report)
            start_ticks = read_start_ticks(os.getpid())
            pid_line = f"{os.getpid()} {start_ticks}\n".encode()
            write_file(run_store(settings.run_dir), node, PID_FILE, pid_line)
            os.write(report, _STARTED)
            argv = command(settings, node)
            os.execve(argv[0], argv, sampler_env(settings, node))  # noqa: S606  words from the shim alone
    except BaseException as error:  # noqa: BLE001  a fork must never run on in the hook's code
        try:
            os.write(report, f"{type(error).__name__}: {error}"[:200].encode("utf-8", "replace"))
        finally:
            os._exit(127)
    os._exit(0)


def _detach(report: int) -> None:
    """Take nothing along: no descriptor, no signal setting, no folder of the caller's."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
        if fd > 2 and fd != report:
            try:
                os.close(fd)
            except OSError:  # the listing's own, gone already
                pass
    _signal.setitimer(_signal.ITIMER_REAL, 0)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
    for number in (_signal.SIGALRM, _signal.SIGPIPE, _signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM):
        _signal.signal(number, _signal.SIG_DFL)
    os.umask(0o022)
    os.chdir("/")
