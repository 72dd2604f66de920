"""Children that give up rights: forked without exec, so that the job's user can never trace them."""

import contextlib
import ctypes
import gc
import os
import pwd
import resource
import signal
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

NOBODY = 65_534
_PDEATHSIG, _DUMPABLE, _NO_NEW_PRIVS = 1, 4, 38  # <linux/prctl.h>
MEMORY_B = 512 << 20
# Objects made before Python looks for circles among them: records hold none, and looking through them again
# and again costs a thirtieth of the time (measured).
COLLECT_AFTER = 50_000
MAX_FD = 65_536  # higher ones are never opened here
_libc = ctypes.CDLL(None, use_errno=True)


class Child(NamedTuple):
    """A running child."""

    pid: int

    def end(self) -> bool:
        """Kill and reap without waiting for one that hangs in the kernel; False: it does hang."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        for _ in range(100):
            try:
                if os.waitpid(self.pid, os.WNOHANG)[0] == self.pid:
                    return True
            except ChildProcessError:
                return True
            time.sleep(0.005)
        return False


def start(main: Callable[[], None], keep: Collection[int]) -> Child:
    """Fork; the child keeps only the descriptors in `keep`, runs `main` and leaves without clean-up."""
    pid = os.fork()
    if pid:
        return Child(pid)
    code = 70
    try:
        _close_all(keep)
        os.environ.clear()
        os.chdir("/")
        os.umask(0o077)
        main()
        code = 0
    except MemoryError:
        code = 71
    finally:
        os._exit(code)


def _close_all(keep: Collection[int]) -> None:
    """Standard streams to /dev/null, everything else that is not kept closed."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        if fd not in keep:
            os.dup2(null, fd)
    low = 3
    for fd in sorted(fd for fd in keep if fd > 2):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, MAX_FD)


def become(uid: int, gid: int, groups: list[int]) -> None:
    """Give up root for good, where we are root; raises OSError when that is not possible."""
    if os.geteuid() == 0:
        if uid == 0 or gid == 0:
            raise PermissionError("a child never stays root")
        os.setgroups([group for group in groups if group != 0])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
            raise PermissionError("rights were not given up")
    _prctl(_NO_NEW_PRIVS, 1)
    _prctl(_DUMPABLE, 0)
    _prctl(_PDEATHSIG, signal.SIGKILL)  # after setresuid, which clears it


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def job_ids(uid: int, gid: int | None) -> tuple[int, list[int]]:
    """(gid, groups) of the job's user. Asks the name service, which may hang: call it in a child only."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        own = uid if gid is None else gid
        return own, [own]
    own = entry.pw_gid if gid is None else gid
    return own, os.getgrouplist(entry.pw_name, own)


def parser_ids(name: str) -> tuple[int, int]:
    """(uid, gid) of the user that owns nothing; 65534 when the name is unknown or root."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return NOBODY, NOBODY
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        return NOBODY, NOBODY
    return entry.pw_uid, entry.pw_gid


def limit(cpu_s: int) -> None:
    """What a parser needs and no more: no files, no processes, no core, 512 MB, so many CPU seconds."""
    os.nice(19)  # the node is the job's
    gc.set_threshold(COLLECT_AFTER)
    limit_memory()
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_memory() -> None:
    """512 MB of addresses, whatever a child is made to list or read."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_B, MEMORY_B))
