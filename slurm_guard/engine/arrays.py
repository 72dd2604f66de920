"""Tasks made on the cluster: each pass is a job array of Slurm's, each of whose tasks makes its share.

What counts is the results in the shared folder, not what Slurm says of jobs: a task that was killed, lost
with its node or begun twice has left whole files or none. When an array has ended, what is missing is
submitted again, at most twice; then the audit ends with what the last ones said, and nothing is published.
"""

import secrets
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from slurm_guard.engine import jobs, parts
from slurm_guard.engine.folder import Folder
from slurm_guard.engine.kept import Work, in_words
from slurm_guard.engine.local import SITE, Make
from slurm_guard.engine.sight import check_view
from slurm_guard.engine.tasks import Task, largest_first
from slurm_guard.errors import GuardError
from slurm_guard.lake.view import View
from slurm_guard.report.safe import clean

_MOST_SHARDS = 256  # unless more are asked for: each costs some seconds. Judgement
_ARRAYS = 3  # of a pass: the first, and two for what it lost. Judgement
_FIRST_S, _SLOWEST_S = 0.25, 5.0  # between looks at the folder
_ASKED_S = 5.0  # between questions to slurmctld, at least
_SILENT_S = 1800.0  # that slurmctld may be without an answer: longer than it takes to start anew. Judgement
_SETTLE_S = 65.0  # until what another node wrote is seen: NFS keeps a folder's names for a minute by default
_LAST_B = 2000  # of a task's output that is looked at for its last words
_UNPUBLISHED = "; nothing was published"  # a task says it, too
_HINT = "hint: "  # as cli/app.py prints it


@dataclass(frozen=True, slots=True)
class Cluster:
    """How the site's Slurm is used. `shards` 0: one a part, up to a bound; `options`: of sbatch; `program`:
    slurm-guard on the nodes, empty: this one; `timeout_s`: longest that one pass may take."""

    shards: int = 0
    options: tuple[str, ...] = ()
    program: str = ""
    timeout_s: float = 21_600.0


@contextmanager
def in_arrays(work: Work, site: parts.Site, cluster: Cluster) -> Iterator[Make]:
    """By job arrays of this audit's name. What still runs at the end, however it comes, is cancelled."""
    with in_words(work.night.path):
        work.run.put(SITE, site)
    name = f"slurm-guard-audit-{secrets.token_hex(4)}"
    lives = False

    def each(tasks: Sequence[Task], tell: Callable[[int], None]) -> None:
        nonlocal lives
        lives = bool(tasks)
        _make(_Array(work, cluster, name, site.reach.view), tasks, tell)
        lives = False

    with _stopped_by_signals():
        try:
            yield each
        finally:
            if lives:
                jobs.cancel(f"--name={name}")


@dataclass(frozen=True, slots=True)
class _Array:
    work: Work
    cluster: Cluster
    name: str
    view: View


def _make(array: _Array, tasks: Sequence[Task], tell: Callable[[int], None]) -> None:
    left = list(tasks)
    ended: Mapping[int, jobs.Line] = {}
    until_s = time.monotonic() + array.cluster.timeout_s
    for number in range(_ARRAYS if tasks else 0):
        stem = f"{tasks[0].step}-{number}"
        shares = share(left, array.cluster.shards or min(len(left), _MOST_SHARDS))
        with in_words(array.work.night.path):
            for k, mine in enumerate(shares):
                array.work.run.put(f"{stem}-{k}", mine)
            array.work.run.put_bytes(f"{stem}.sh", _script(array, stem).encode())
        out = f"{_plain(array.work.run.path)}/{stem}-%a.txt"
        script = str(array.work.run.path / f"{stem}.sh")
        job = jobs.submit(script, len(shares), array.name, out, array.cluster.options)
        ended = _watch(array, (job, len(shares)), tasks, (until_s, tell))
        left = _missing(array.work.night, left)
        if not left:
            return
        check_view(array.view)  # no task can make a part of what is gone
    if left:
        raise _lost(array, (len(tasks), left), (f"{tasks[0].step}-{_ARRAYS - 1}", ended))


def share(tasks: Sequence[Task], n: int) -> list[list[Task]]:
    """At most `n` groups of about the same size, none empty; the same for the same tasks."""
    groups: list[list[Task]] = [[] for _ in range(max(1, min(n, len(tasks))))]
    sizes = [0.0] * len(groups)
    for task in largest_first(tasks):
        least = sizes.index(min(sizes))
        groups[least].append(task)
        sizes[least] += task.size
    return groups


def _script(array: _Array, stem: str) -> str:
    """Never with the folder that a job begins in on Python's path: where it is missing that is /tmp."""
    own = [sys.executable, "-c", "from slurm_guard.cli.app import main; main()"]
    program = [array.cluster.program] if array.cluster.program else own
    run = str(array.work.run.path)
    command = shlex.join([*program, "audit-shard", run, stem])
    return f"#!/bin/sh\n# One share of an audit's parts.\ncd {shlex.quote(run)} || exit 1\nexec {command}\n"


def _plain(path: Path) -> str:
    """As sbatch reads a name with patterns."""
    return str(path).replace("%", "%%")


def _watch(
    array: _Array,
    what: tuple[str, int],
    tasks: Sequence[Task],
    until: tuple[float, Callable[[int], None]],
) -> Mapping[int, jobs.Line]:
    """Until all results are there, or nothing of the array will make one; what Slurm last said of it."""
    job, n = what
    until_s, tell = until
    lines: Mapping[int, jobs.Line] = {}
    pause_s = _FIRST_S
    heard_s = asked_s = time.monotonic()
    over_s: float | None = None
    while True:
        tell(len(tasks) - (n_left := len(_missing(array.work.night, tasks))))
        now_s = time.monotonic()
        if n_left == 0 or (over_s is not None and now_s >= over_s):
            return lines
        if now_s > until_s:
            raise _late(array, job, n_left)
        if over_s is None and now_s - asked_s >= min(_ASKED_S, 2 * pause_s):
            asked_s = now_s
            said = jobs.lines_of(job)
            if said is not None:
                lines, heard_s = said, now_s
                over_s = _over(job, n, lines, now_s)
            elif now_s - heard_s > _SILENT_S:
                raise _silent(job)
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, _SLOWEST_S)


def _over(job: str, n: int, lines: Mapping[int, jobs.Line], now_s: float) -> float | None:
    """When nothing more is to be waited for; null: something is. Tasks that are held are let go."""
    held = [f"{job}_{k}" for k, line in lines.items() if line.held]
    if held:
        jobs.cancel(*held)
        return None
    if not all(line.ended for line in lines.values()):
        return None
    # All ended well, or are forgotten: the results may be on a slow file system.
    unsure = len(lines) < n or all(line.state == "COMPLETED" for line in lines.values())
    return now_s + _SETTLE_S if unsure else now_s


def _missing(night: Folder, tasks: Sequence[Task]) -> list[Task]:
    there = night.names()
    return [task for task in tasks if not there.issuperset(task.leaves)]


def _lost(
    array: _Array, what: tuple[int, Sequence[Task]], last: tuple[str, Mapping[int, jobs.Line]]
) -> GuardError:
    n, left = what
    stem, lines = last
    states = sorted({line.state for line in lines.values() if line.state != "COMPLETED"})
    said = f"Slurm says {', '.join(states)}" if states else "Slurm says nothing of it"
    words, hint = _last_words(array.work.run.path, stem)
    place = array.work.run.path
    look = f"look at what the tasks wrote in {place}, and at [engine] sbatch (memory, time)"
    see = f"{hint}; what the tasks wrote is in {place}" if hint else look
    return GuardError(
        "engine-lost",
        f"{len(left)} of {n} parts were not made by {_ARRAYS} job arrays: {said}{words}{_UNPUBLISHED}",
        f"{see}; an audit that is begun again goes on where this one was",
    )


def _last_words(run: Path, stem: str) -> tuple[str, str]:
    """What a task that failed said at last, and the hint that it gave; empty: nothing was said."""
    for path in sorted(run.glob(f"{stem}-*.txt")):
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _LAST_B))
                lines = file.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            continue
        said = [line for line in lines if line.startswith(("slurm-guard:", "slurmstepd:"))] or lines[-1:]
        if said:
            words = f"; {path.name} has {said[-1][:300].removesuffix(_UNPUBLISHED)!a}"
            return words, clean(lines[-1].removeprefix(_HINT), _LAST_B) if lines[-1].startswith(_HINT) else ""
    return "", ""


def _late(array: _Array, job: str, n_left: int) -> GuardError:
    return GuardError(
        "engine-late",
        f"{n_left} parts were not made within {array.cluster.timeout_s:g} s: job {job} was cancelled, and "
        "nothing was published",
        "see why it waited (squeue, sinfo), raise [engine] timeout_s, or --engine local",
    )


def _silent(job: str) -> GuardError:
    return GuardError(
        "engine-silent",
        f"squeue has not said for {_SILENT_S:g} s how job {job} is; nothing was published",
        "look at slurmctld, then audit the night again: it goes on where it was",
    )


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the audit as Ctrl-C does, so that its arrays are cancelled."""

    def stop(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    except ValueError:  # not in the main thread, where nobody gets signals
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
