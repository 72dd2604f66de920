"""Entry: `python -I -m slurm_guard.sampler --config FILE --node NAME`. One sampler per node, by a lock.

`--wait`: where another sampler is at work, wait for its end instead of leaving (so under systemd in any case:
a service that leaves would not be started again when the other one ends). `--log PATH`: a datagram socket
that takes syslog lines, instead of the machine's.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` itself loads enum and functools
import fcntl
import os
import sys
import time

if __package__ in (None, ""):  # started by its path: put our package where imports find it
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from slurm_guard.clock import SteadyClock, SystemClock
from slurm_guard.errors import EXIT_DONE, EXIT_FAILURE, EXIT_USAGE, GuardError
from slurm_guard.light import TYPE_CHECKING, Any, Callable, NamedTuple
from slurm_guard.sampler import settings
from slurm_guard.sampler.limits import Limits, be_nice, leave_slurmd
from slurm_guard.sampler.locked import Locked
from slurm_guard.sampler.nvml_client import NvmlClient, Pace
from slurm_guard.sampler.procfs import Proc, look
from slurm_guard.sampler.renewal import renew

if TYPE_CHECKING:
    from slurm_guard.config import Config, NodeConfig
    from slurm_guard.sampler.events import Journal
    from slurm_guard.sampler.loop import Loop
    from slurm_guard.sampler.runs import Folders

LOCK_WAIT_S = 3.0  # the prolog that starts us holds the lock for a moment: judgement, its budget is 2 s
_TRY_S = 0.05
_PATIENT_TRY_S = 1.0
_NAMES = {_signal.SIGTERM: "SIGTERM", _signal.SIGINT: "SIGINT"}


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
    # One guard.toml is for the cluster: a key that a release after or before knows must not silence a node.
    left_out: list[str] = []
    try:
        config = settings.load(words.config, left_out)
    except GuardError as error:
        from slurm_guard.sampler.farewell import tell_end

        tell_end(_journal(words), f"error: {error}")
        return _refuse(error)
    folder = os.path.join(config.node.run_dir, words.node)
    loop: Loop | None = None
    try:
        if lock(folder, _waiting(words)) is None:
            return EXIT_DONE
        loop = _prepare(config, words)
        _tell_left_out(loop, left_out)
        reason = loop.run()
        renew(loop, time.monotonic())
    except Exception as error:  # noqa: BLE001  the sampler's last boundary: what ends it is told
        from slurm_guard.sampler.farewell import tell_fault

        tell_fault(_journal(words), folder, error, begun=loop is not None)
        return EXIT_FAILURE
    return EXIT_FAILURE if reason.startswith("error") else EXIT_DONE


def _prepare(config: Config, words: Words) -> Loop:
    """A loop of which signals and the journal know. Raises OSError.

    NVML's process is forked before most of our own code is there: what is there it shares with us only until
    one of both writes to it.
    """
    os.umask(0o027)
    proc, clock = Proc(), SteadyClock(SystemClock())
    proc.locked = Locked(look, lambda pid: proc.ids(pid).uid)
    folder = os.path.join(config.node.run_dir, words.node)
    write_pid(folder, proc)
    be_nice(config.node.nice)
    moved = leave_slurmd(os.environ)
    pace, accounting = pace_of(config.node), config.node.accounting_mode
    reader = NvmlClient(clock.mono_s, clock.now_at, pace, folder, accounting)
    if not os.path.lexists(config.node.disabled):
        reader.begin()
    from slurm_guard.sampler.loop import Loop, Place

    place = Place(words.node, proc.boot_id(), folders_of(config.node, words.node))
    loop = Loop(config, place, clock, reader, proc)
    loop.streams.journal = _journal(words)
    for part in loop.parts:
        if isinstance(part, Limits):
            part.moved = moved

    def leave(number: int, _: Any) -> None:
        loop.stop_reason = _NAMES.get(number, str(number))

    _signal.signal(_signal.SIGTERM, leave)
    _signal.signal(_signal.SIGINT, leave)
    _signal.signal(_signal.SIGHUP, _signal.SIG_IGN)
    return loop


def _tell_left_out(loop: Loop, keys: list[str]) -> None:
    """To the journal, for who reads why a setting does not hold."""
    from slurm_guard import wire

    if keys:
        now = loop.now()
        named = [wire.clip(key, 80) for key in keys[:16]]
        event = wire.Event(now.at, None, "config-unknown", {"keys": named, "n": len(keys)}, now.mono_s)
        loop.streams.journal.tell(event, now)


def _waiting(words: Words) -> Callable[[], None] | None:
    """What to do while another sampler is at work; null: leave. A service that waits is ready and alive."""
    if not words.wait and "INVOCATION_ID" not in os.environ:
        return None
    from slurm_guard.sampler.beat import Notify

    notify = Notify(os.environ.get("NOTIFY_SOCKET"))

    def tell() -> None:
        notify.send("READY=1", "WATCHDOG=1", "STATUS=waiting: another sampler of this node is at work")

    return tell


def _journal(words: Words) -> Journal:
    from slurm_guard.sampler.events import Journal

    return Journal(words.node, words.log)


def _refuse(error: GuardError) -> int:
    print(f"{error}\nhint: {error.hint}" if error.hint else str(error), file=sys.stderr)
    return error.exit_code


def pace_of(node: NodeConfig) -> Pace:
    """How often NVML is asked for what, and how long it may be silent."""
    gap_limit_s = node.sample_interval_s * node.gap_factor
    return Pace(node.sample_interval_s, gap_limit_s, node.table_interval_s, node.nvml_deadline_s)


def folders_of(config: NodeConfig, node: str) -> Folders:
    """The node's own folders below run and spool."""
    from slurm_guard.sampler.runs import Folders

    return Folders(os.path.join(config.run_dir, node), os.path.join(config.spool_dir, node))


if __name__ == "__main__":
    sys.exit(main())
