"""Whole starts of the prolog and epilog shims, fsync included, beside bare interpreters in the same run.

A sampler counts as running (a pid file that names a living process), as on any node but for its first job.
That one is a row of its own, with `true` in the sampler's place: measured is the hook until the sampler has
its own session, not what it then does. Another row has tens of thousands of TCP sockets open.
The budget is p50 and p99; `python -IS -c pass` and `sh -c :` say what the machine gives at this moment, and
`fsync` what its disk does: 3 KB written, synced and renamed by this process, as a hook does once.
With `--against`, the hooks of another checkout are started in turn with these, in the same run.
`worst_cpu_ms` is the CPU time of the slowest start with its children, and `worst_queue_ms` for how long
during it some process of the machine waited for a core (Linux's pressure stall information; null: the
kernel has none).
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

_ROOT = Path(__file__).resolve().parent.parent
_NODE = "bench"
_BUDGET_MS = (30.0, 60.0)  # p50, p99 of a hook
_PYTHON = "python -IS -c pass"
_SYNC, _TICKET_B = "fsync", 3072
_FEW = 10  # of the rows that cost more to set up, one in so many starts
_THERE = " (against)"
_PER_CHILD = 5000  # connections of one holder: within usual limits on descriptors, and on ephemeral ports
# Opens connections to itself, says how many, and keeps them until its stdin ends.
_HOLD = """
import resource, socket, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
listener, ends, n = socket.create_server((sys.argv[1], 0), backlog=64), [], 0
try:
    for n in range(1, int(sys.argv[2]) + 1):
        ends.append(socket.create_connection(listener.getsockname()))
        ends.append(listener.accept()[0])
except OSError:
    n -= 1
print(n, flush=True)
sys.stdin.read()
"""
_PRESSURE = Path("/proc/pressure/cpu")
_ENV = {
    "SLURMD_NODENAME": _NODE,
    "SLURM_CLUSTER_NAME": "bench",
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_USER": "somebody",
    "SLURM_JOB_UID": str(os.getuid() or 65534),
    "SLURM_JOB_GID": str(os.getgid() or 65534),
    "SLURM_JOB_GPUS": "0,1,2,3",
    "CUDA_VISIBLE_DEVICES": "0,1,2,3",
    "SLURM_JOB_COMMENT": "guard:task=pretrain;target=tokens:2e12",
    "SLURM_JOB_WORK_DIR": "/home/somebody/run",
    "SLURM_JOB_RESTART_COUNT": "0",
    "SLURM_JOB_NODELIST": "bench[1-64]",
}


class Took(NamedTuple):
    """One start."""

    wall_s: float
    cpu_s: float  # of the children that ended
    queue_s: float | None  # some process of the machine waited for a core; null: not told


Times = dict[str, list[Took]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--n", type=int, default=2000, help="starts of each program (default 2000)")
    parser.add_argument(
        "--sockets", type=int, default=50_000, help="open TCP sockets of the last row; 0: no row"
    )
    parser.add_argument("--few", type=int, help=f"starts of the costly rows (default: n / {_FEW})")
    parser.add_argument("--against", type=Path, help="another checkout whose hooks are measured beside these")
    parser.add_argument("--dir", type=Path, help="where run folder and spool go; default: a temporary folder")
    parser.add_argument("--python", default=os.path.realpath(sys.executable), help="interpreter of the hooks")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Start each program in turn, n times; milliseconds of wall time per start."""
    folder = Path(tempfile.mkdtemp(prefix="guard-bench-", dir=options.dir))
    try:
        shims = _install(folder, options.python)
        there = {} if options.against is None else _install(folder / "other", options.python, options.against)
        sync = {_SYNC: lambda: _sync(folder)}
        programs = {
            **_programs(options.python),
            **_hooks(shims, there, "prolog"),
            **_hooks(shims, there, "epilog"),
        }
        times = _in_turn(programs, options.n, lambda: _tidy(folder), sync)
        few = options.few or max(1, options.n // _FEW)
        first = {"prolog, first job": [str(shims["prolog-first"])]}
        times |= _in_turn(first, few, lambda: _forget_sampler(folder))
        if options.sockets:
            with _connections(options.sockets // 2) as n_pairs:
                loaded = _hooks(shims, there, "prolog", f", {2 * n_pairs} sockets")
                times |= _in_turn(loaded, few, lambda: _tidy(folder))
        ours = {name: len(values) for name, values in times.items() if not name.endswith(_THERE)}
        _check(
            folder, tickets=sum(n for name, n in ours.items() if name.startswith("prolog")), ends=options.n
        )
        base_ms = _quantile_ms(sorted(took.wall_s for took in times[_PYTHON]), 0.5)
        return [_row(name, values, base_ms) for name, values in times.items()]
    finally:
        shutil.rmtree(folder)


def _in_turn(
    programs: dict[str, list[str]],
    n: int,
    before: Callable[[], None],
    steps: dict[str, Callable[[], None]] | None = None,
) -> Times:
    """n rounds of one start and one step each; `before` each round, outside of the measured time."""
    times: Times = {name: [] for name in (*programs, *(steps or ()))}
    for _ in range(n):
        before()
        for name, argv in programs.items():
            times[name].append(_time_s(lambda argv=argv: _start(argv)))  # type: ignore[misc]
        for name, step in (steps or {}).items():
            times[name].append(_time_s(step))
    return times


def _install(folder: Path, python: str, root: Path = _ROOT) -> dict[str, Path]:
    """A checkout's shims with settings beside them: of a node with a sampler, and of one without."""
    folder.mkdir(exist_ok=True)
    settings = {
        "PYTHON": python,
        "LIB": root.resolve(),
        "RUN_DIR": folder / "run",
        "SPOOL_DIR": folder / "spool",
        "CLIENT_DIR": folder / "client",
        "SYSLOG": folder / "no-log",
        "DISABLED": folder / "disabled",
        "SAMPLER_PYTHON": shutil.which("true"),
    }
    shims = {}
    for name, shim, run in (
        ("prolog", "prolog/slurm-guard-prolog", "run"),
        ("epilog", "epilog/slurm-guard-epilog", "run"),
        ("prolog-first", "prolog/slurm-guard-prolog", "run-first"),
    ):
        place = folder / name
        place.mkdir()
        shutil.copy(root / shim, place)
        conf = {**settings, "RUN_DIR": folder / run}
        (place / "slurm-guard-hooks.conf").write_text("".join(f"{k}={v}\n" for k, v in conf.items()))
        shims[name] = place / Path(shim).name
    (folder / "run" / _NODE).mkdir(parents=True)
    start_ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    (folder / "run" / _NODE / "sampler.pid").write_text(f"{os.getpid()} {start_ticks}\n")
    return shims


def _programs(python: str) -> dict[str, list[str]]:
    return {"sh -c :": ["/bin/sh", "-c", ":"], _PYTHON: [python, "-IS", "-c", "pass"]}


def _hooks(shims: dict[str, Path], there: dict[str, Path], hook: str, more: str = "") -> dict[str, list[str]]:
    """One hook of ours, and of the other checkout where there is one."""
    ours = {f"{hook}{more}": [str(shims[hook])]}
    return ours | ({f"{hook}{more}{_THERE}": [str(there[hook])]} if there else {})


def _tidy(folder: Path) -> None:
    """What the sampler does each hour: the run folder of a real node holds tens of files, not thousands."""
    for place in (folder, folder / "other"):
        for kind in ("tickets", "ends"):
            for path in (place / "run" / _NODE / kind).glob("*.json"):
                path.unlink()


def _forget_sampler(folder: Path) -> None:
    (folder / "run-first" / _NODE / "sampler.pid").unlink(missing_ok=True)


@contextmanager
def _connections(n_pairs: int) -> Iterator[int]:
    """Connections over loopback, both ends ours, held by children; yields how many."""
    holders = [
        subprocess.Popen(
            [sys.executable, "-IS", "-c", _HOLD, f"127.0.1.{n + 1}", str(min(_PER_CHILD, n_pairs - first))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for n, first in enumerate(range(0, n_pairs, _PER_CHILD))
    ]
    try:
        yield sum(int(holder.stdout.readline() or 0) for holder in holders if holder.stdout is not None)
    finally:
        for holder in holders:
            holder.communicate()  # its stdin ends, and so does it


def _start(argv: list[str]) -> None:
    """One start in slurmd's way: no stdin, an environment of our own."""
    subprocess.run(argv, env=_ENV, stdin=subprocess.DEVNULL, check=True)


def _sync(folder: Path) -> None:
    """What a hook asks of the disk, and no more."""
    target = folder / "synced"
    fd = os.open(folder / ".synced", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(fd, b"x" * _TICKET_B)
    os.fsync(fd)
    os.close(fd)
    (folder / ".synced").rename(target)


def _time_s(step: Callable[[], None]) -> Took:
    before, queued_s = resource.getrusage(resource.RUSAGE_CHILDREN), _queue_s()
    begin_s = time.perf_counter()
    step()
    wall_s = time.perf_counter() - begin_s
    after, now_s = resource.getrusage(resource.RUSAGE_CHILDREN), _queue_s()
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(wall_s, cpu_s, None if queued_s is None or now_s is None else now_s - queued_s)


def _queue_s() -> float | None:
    """`some` of the pressure on the CPUs since boot."""
    try:
        return int(_PRESSURE.read_text("ascii").split("total=")[1].split()[0]) / 1e6
    except (OSError, IndexError, ValueError):
        return None


def _check(folder: Path, **wanted: int) -> None:
    """A hook that gave up early would look fast."""
    for kind, n in wanted.items():
        found = len(list((folder / "spool" / _NODE / kind).glob("*.json")))
        if found != n:
            raise RuntimeError(f"{found} {kind} after {n} starts")


def _quantile_ms(ordered_s: list[float], share: float) -> float:
    return ordered_s[min(len(ordered_s) - 1, int(share * len(ordered_s)))] * 1e3


def _row(name: str, values: list[Took], base_ms: float) -> dict[str, Any]:
    """One program; `over_python`: its median in medians of a bare interpreter in the same run."""
    ordered, worst = sorted(took.wall_s for took in values), max(values, key=lambda took: took.wall_s)
    p50_ms, p99_ms = _quantile_ms(ordered, 0.5), _quantile_ms(ordered, 0.99)
    hook = name.startswith(("prolog", "epilog"))
    kept = p50_ms <= _BUDGET_MS[0] and p99_ms <= _BUDGET_MS[1]
    return {
        "what": name,
        "n": len(ordered),
        "p50_ms": p50_ms,
        "p99_ms": p99_ms,
        "worst_ms": worst.wall_s * 1e3,
        "worst_cpu_ms": None if name == _SYNC else worst.cpu_s * 1e3,
        "worst_queue_ms": None if worst.queue_s is None else worst.queue_s * 1e3,
        "over_python": p50_ms / base_ms,
        "budget_p50_p99_ms": f"{_BUDGET_MS[0]:g}/{_BUDGET_MS[1]:g}" if hook else None,
        "within": ("yes" if kept else "no") if hook else None,
    }
