"""Entry: `python -I -m slurm_guard.sampler --config FILE --node NAME`. One sampler per node, by a lock.

`--wait`: where another sampler is at work, wait for its end instead of leaving (so under systemd in any case:
a service that leaves would not be started again when the other one ends). `--log PATH`: a datagram socket
that takes syslog lines, instead of the machine's.
"""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

if __package__ in (None, ""):  # started by its path: put our package where imports find it
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from slurm_guard import wire
from slurm_guard.clock import SteadyClock, SystemClock
from slurm_guard.config import Config, NodeConfig, load_config
from slurm_guard.errors import EXIT_DONE, EXIT_FAILURE, EXIT_USAGE, GuardError
from slurm_guard.sampler.beat import Notify
from slurm_guard.sampler.events import Journal
from slurm_guard.sampler.limits import Limits, be_nice, leave_slurmd
from slurm_guard.sampler.loop import Loop, Place
from slurm_guard.sampler.nvml_client import NvmlClient, Pace
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.rounds import place_of
from slurm_guard.sampler.runs import Folders
from slurm_guard.sampler.status import mark_stopped
from slurm_guard.sampler.writer import Instant

LOCK_WAIT_S = 3.0  # the prolog that starts us holds the lock for a moment: judgement, its budget is 2 s
_TRY_S = 0.05
_PATIENT_TRY_S = 1.0


class Words(NamedTuple):
    """The command line."""

    config: str
    node: str
    log: str | None
    wait: bool


def parse_args(args: list[str]) -> Words:
    """Raises GuardError usage; argparse would cost megabytes."""
    found: dict[str, str] = {}
    words = list(args)
    while words:
        name, _, value = words.pop(0).partition("=")
        if name == "--wait" and not value:
            found[name] = "yes"
            continue
        if name not in ("--config", "--node", "--log") or (not value and not words):
            raise GuardError(
                "usage",
                f"unknown or incomplete word {name}",
                "python -m slurm_guard.sampler --config FILE --node NAME [--wait] [--log SOCKET]",
                EXIT_USAGE,
            )
        found[name] = value if value else words.pop(0)
    node = found.get("--node", "")
    if not node or "/" in node or node.startswith("."):
        raise GuardError("usage", "--node NAME is missing or no node's name", "", EXIT_USAGE)
    return Words(found.get("--config", ""), node, found.get("--log"), "--wait" in found)


def lock(folder: str, waiting: Callable[[], None] | None = None) -> int | None:
    """The lock's descriptor; null: another sampler has it. With `waiting`, called once a second, it waits for
    ever. Raises OSError when the folder cannot be used.
    """
    os.makedirs(folder, mode=0o711, exist_ok=True)  # as the hooks make it: passed through by all
    fd = os.open(os.path.join(folder, "sampler.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until_s = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            late = time.monotonic() >= until_s
        if late and waiting is None:
            os.close(fd)
            return None
        if late and waiting is not None:
            waiting()
        time.sleep(_PATIENT_TRY_S if late else _TRY_S)


def write_pid(folder: str, proc: Proc) -> None:
    """`pid start_ticks`, whole or not at all."""
    stat = proc.stat(os.getpid())
    path = os.path.join(folder, "sampler.pid")
    new = f"{path}.{os.getpid()}"
    with open(new, "w", encoding="ascii") as out:
        out.write(f"{os.getpid()} {stat.start_ticks if stat is not None else 0}\n")
    os.rename(new, path)


def main(args: list[str] | None = None) -> int:
    """Run until told to stop. Exit 0 also when another sampler is at work already.

    However it ends, the journal hears why: started by a prolog it has no other way to say so.
    """
    try:
        words = parse_args(sys.argv[1:] if args is None else args)
    except GuardError as error:
        return _refuse(error)
    journal = Journal(words.node, words.log)
    try:
        config = load_config(Path(words.config) if words.config else None)
    except GuardError as error:
        _last_word(journal, f"error: {error}")
        return _refuse(error)
    folders = folders_of(config.node, words.node)
    loop: Loop | None = None
    try:
        if lock(folders.run, _waiting(words)) is None:
            return EXIT_DONE
        loop = _prepare(config, words, folders, journal)
        reason = loop.run()
    except Exception as error:  # noqa: BLE001  the sampler's last boundary: what ends it is told
        if loop is None and isinstance(error, OSError):
            reason = f"error: sampler-folder: {error.filename}: {error.strerror}"
        else:
            reason = f"error: {type(error).__name__} at {place_of(error)}: {error}"
        print(reason.removeprefix("error: "), file=sys.stderr)
        _last_word(journal, reason)
        mark_stopped(folders.run, time.time(), wire.clip(reason, 256) or "")
        return EXIT_FAILURE
    return EXIT_FAILURE if reason.startswith("error") else EXIT_DONE


def _prepare(config: Config, words: Words, folders: Folders, journal: Journal) -> Loop:
    """A loop of which signals and the journal know. Raises OSError."""
    os.umask(0o027)
    proc, clock = Proc(), SteadyClock(SystemClock())
    write_pid(folders.run, proc)
    be_nice(config.node.nice)
    moved = leave_slurmd(os.environ)
    reader = NvmlClient(
        clock.mono_s, clock.now_at, pace_of(config.node), folders.run, config.node.accounting_mode
    )
    loop = Loop(config, Place(words.node, proc.boot_id(), folders), clock, reader, proc)
    loop.streams.journal = journal
    for part in loop.parts:
        if isinstance(part, Limits):
            part.moved = moved

    def leave(number: int, _: FrameType | None) -> None:
        loop.stop_reason = signal.Signals(number).name

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return loop


def _waiting(words: Words) -> Callable[[], None] | None:
    """What to do while another sampler is at work; null: leave. A service that waits is ready and alive."""
    if not words.wait and "INVOCATION_ID" not in os.environ:
        return None
    notify = Notify(os.environ.get("NOTIFY_SOCKET"))

    def tell() -> None:
        notify.send("READY=1", "WATCHDOG=1", "STATUS=waiting: another sampler of this node is at work")

    return tell


def _last_word(journal: Journal, reason: str) -> None:
    at = time.time()
    event = wire.Event(at, None, "sampler-stopped", {"reason": wire.clip(reason, 512), "pid": os.getpid()})
    journal.tell(event, Instant(at, time.monotonic()))


def _refuse(error: GuardError) -> int:
    print(f"{error}\nhint: {error.hint}" if error.hint else str(error), file=sys.stderr)
    return error.exit_code


def pace_of(node: NodeConfig) -> Pace:
    """How often NVML is asked for what, and how long it may be silent."""
    gap_limit_s = node.sample_interval_s * node.gap_factor
    return Pace(node.sample_interval_s, gap_limit_s, node.table_interval_s, node.nvml_deadline_s)


def folders_of(config: NodeConfig, node: str) -> Folders:
    """The node's own folders below run and spool."""
    return Folders(os.path.join(config.run_dir, node), os.path.join(config.spool_dir, node))


if __name__ == "__main__":
    sys.exit(main())
