"""Tasks made on this machine, in one process or several."""

import gc
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

from slurm_guard.engine import parts
from slurm_guard.engine.folder import Folder, open_folder
from slurm_guard.engine.kept import Work, in_words
from slurm_guard.engine.tasks import Task, largest_first, make
from slurm_guard.errors import GuardError
from slurm_guard.garbage import uncollected

# Makes the results of tasks, and says how many of them are made.
Make = Callable[[Sequence[Task], Callable[[int], None]], None]
# Memory that Polars gives back and takes again at once stays with the process for ten seconds: half of the
# system's part of the time, for a tenth more memory. Measured: docs/performance.md.
_ALLOCATOR = "_RJEM_MALLOC_CONF"
_KEEPS = "dirty_decay_ms:10000,muzzy_decay_ms:10000"
SITE = "site"  # in an audit's own folder: what all of its tasks need


def in_processes(work: Work, site: parts.Site, n: int) -> AbstractContextManager[Make]:
    """In `n` processes; 1: in this one."""
    return _alone(work, site) if n == 1 else _beside(work, site, n)


@contextmanager
def _alone(work: Work, site: parts.Site) -> Iterator[Make]:
    def each(tasks: Sequence[Task], tell: Callable[[int], None]) -> None:
        for k, task in enumerate(tasks):
            with in_words(work.night.path):
                make(site, work.night, task)
            tell(k + 1)

    yield each


@contextmanager
def _beside(work: Work, site: parts.Site, n: int) -> Iterator[Make]:
    with in_words(work.night.path):
        work.run.put(SITE, site)
    context = get_context("spawn")
    alive, life = context.Pipe(duplex=False)
    given = (str(work.night.path), str(work.run.path), alive)
    with _environment(), alive, life, ProcessPoolExecutor(n, context, _begin, given) as pool:

        def each(tasks: Sequence[Task], tell: Callable[[int], None]) -> None:
            with _understood(work.night.path):
                try:
                    waiting = [pool.submit(_make, task) for task in largest_first(tasks)]
                    for k, done in enumerate(as_completed(waiting)):
                        done.result()
                        tell(k + 1)
                except BaseException:  # the others need not be made before that is said
                    pool.shutdown(wait=False, cancel_futures=True)
                    life.close()
                    raise

        yield each


_HERE: list[tuple[parts.Site, Folder]] = []  # of this worker: the site is large, and the same for all tasks


def _begin(night: str, run: str, alive: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the head's, which ends this process
    Thread(target=_end_with_head, args=(alive,), daemon=True).start()
    with uncollected():
        site = open_folder(Path(run), make=False).get(SITE)
    gc.freeze()  # what is found between tasks is theirs
    _HERE[:] = [(site, open_folder(Path(night), make=False))]


def _end_with_head(alive: Connection) -> None:
    """Of the pool's own pipes this process holds both ends: where the head dies, or has no more use for what
    is made, nothing else would end it."""
    with suppress(EOFError, OSError):
        alive.recv()
    os._exit(1)


def _make(task: Task) -> None:
    make(*_HERE[0], task)


@contextmanager
def _understood(place: Path) -> Iterator[None]:
    """What can go wrong around a part, in words. Raises GuardError audit-worker-lost, scratch-unwritable."""
    try:
        with in_words(place):
            yield
    except BrokenProcessPool:
        raise GuardError(
            "audit-worker-lost",
            "a process of the audit was killed, perhaps for want of memory; nothing was published",
            "lower [engine] processes or part_gpu_h, then audit the night again",
        ) from None


@contextmanager
def _environment() -> Iterator[None]:
    """Of processes that are started meanwhile."""
    said = os.environ.get(_ALLOCATOR, "")
    mine = {"POLARS_MAX_THREADS": "1"}  # there is a process for each CPU
    if said.count("dirty_decay_ms") < 2:  # Polars has put its own there; a second one is the site's
        mine[_ALLOCATOR] = f"{said},{_KEEPS}".lstrip(",")
    before = {name: os.environ.get(name) for name in mine}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
