"""Entry: `python -I -m slurm_guard.sampler --config FILE --node NAME`. One sampler per node, by a lock."""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

if __package__ in (None, ""):  # started by its path: put our package where imports find it
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from slurm_guard.clock import SystemClock
from slurm_guard.config import NodeConfig, load_config
from slurm_guard.errors import EXIT_DONE, EXIT_FAILURE, EXIT_USAGE, GuardError
from slurm_guard.sampler.loop import Loop, Place
from slurm_guard.sampler.nvml_client import NvmlClient, Pace
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.runs import Folders

LOCK_WAIT_S = 3.0  # the prolog that starts us holds the lock for a moment: judgement, its budget is 2 s


def parse_args(args: list[str]) -> tuple[str, str]:
    """(configuration file, node). Raises GuardError usage; argparse would cost megabytes."""
    found: dict[str, str] = {}
    words = list(args)
    while words:
        name, _, value = words.pop(0).partition("=")
        if name not in ("--config", "--node") or (not value and not words):
            raise GuardError(
                "usage",
                f"unknown or incomplete word {name}",
                "python -m slurm_guard.sampler --config FILE --node NAME",
                EXIT_USAGE,
            )
        found[name] = value if value else words.pop(0)
    node = found.get("--node", "")
    if not node or "/" in node or node.startswith("."):
        raise GuardError("usage", "--node NAME is missing or no node's name", "", EXIT_USAGE)
    return found.get("--config", ""), node


def lock(folder: str) -> int | None:
    """The lock's descriptor; null: another sampler has it. Raises OSError when the folder cannot be used."""
    os.makedirs(folder, mode=0o755, exist_ok=True)
    fd = os.open(os.path.join(folder, "sampler.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until_s = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() >= until_s:
                os.close(fd)
                return None
            time.sleep(0.05)


def write_pid(folder: str, proc: Proc) -> None:
    """`pid start_ticks`, whole or not at all."""
    stat = proc.stat(os.getpid())
    path = os.path.join(folder, "sampler.pid")
    new = f"{path}.{os.getpid()}"
    with open(new, "w", encoding="ascii") as out:
        out.write(f"{os.getpid()} {stat.start_ticks if stat is not None else 0}\n")
    os.rename(new, path)


def main(args: list[str] | None = None) -> int:
    """Run until told to stop. Exit 0 also when another sampler is at work already."""
    try:
        path, node = parse_args(sys.argv[1:] if args is None else args)
        config = load_config(Path(path) if path else None)
    except GuardError as error:
        print(f"{error}\nhint: {error.hint}" if error.hint else str(error), file=sys.stderr)
        return error.exit_code
    os.umask(0o027)
    folders = folders_of(config.node, node)
    try:
        if lock(folders.run) is None:
            return EXIT_DONE
        proc = Proc()
        write_pid(folders.run, proc)
        clock = SystemClock()
        reader = NvmlClient(
            clock.mono_s, clock.now_at, pace_of(config.node), folders.run, config.node.accounting_mode
        )
        loop = Loop(config, Place(node, proc.boot_id(), folders), clock, reader, proc)
    except OSError as error:
        print(f"sampler-folder: {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILURE

    def leave(number: int, _: FrameType | None) -> None:
        loop.stop_reason = signal.Signals(number).name

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    loop.run()
    return EXIT_DONE


def pace_of(node: NodeConfig) -> Pace:
    """How often NVML is asked for what, and how long it may be silent."""
    gap_limit_s = node.sample_interval_s * node.gap_factor
    return Pace(node.sample_interval_s, gap_limit_s, node.table_interval_s, node.nvml_deadline_s)


def folders_of(config: NodeConfig, node: str) -> Folders:
    """The node's own folders below run and spool."""
    return Folders(os.path.join(config.run_dir, node), os.path.join(config.spool_dir, node))


if __name__ == "__main__":
    sys.exit(main())
