"""A night audited part by part. The document is the same, to the byte, as of one look at all of it."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol, TypeVar

import polars as pl

from slurm_guard.audit import judge, work
from slurm_guard.audit.facts import Facts, split
from slurm_guard.audit.run import assembled, audit_and_remember, lay_out_refused
from slurm_guard.audit.whole import Told, Whole, told_together, whole_of
from slurm_guard.engine import parts
from slurm_guard.engine.plan import Part, cut
from slurm_guard.engine.ties import shared_files
from slurm_guard.errors import GuardError
from slurm_guard.history import PastCost, PastGround, PastTrace
from slurm_guard.lake.frames import distinct_rows, read_frames
from slurm_guard.lake.reach import find_reach
from slurm_guard.model import Audit
from slurm_guard.readings import IMPORTED

T = TypeVar("T")
Take = Callable[[pl.LazyFrame], None]
Leave = tuple[Callable[[PastGround], None], Callable[[PastTrace], None]]
Tell = Callable[[int, int], None]


def audit_lake(
    facts: Facts, lake: Path, bounds: tuple[float, int], leave: Leave, take: Take | None, tell: Tell
) -> tuple[Audit, list[PastCost]]:
    """The audit of a night whose frames are still in the lake (`facts` has none), and the rows for later
    ones. `bounds`: GPU-hours that are looked at together, a smaller night at once; processes, 0: one a CPU.
    Raises GuardError lake-newer, lake-older."""
    part_gpu_h, n_processes = bounds
    runs = split(facts.runs)[0]
    whole_h = sum(run.n_gpus * max(0.0, run.until_at - run.from_at) for run in runs) / 3600.0
    if whole_h <= part_gpu_h or _is_imported(facts, lake):
        frames, skips = read_frames(lake, facts.cluster, facts.from_at, facts.until_at)
        known = replace(facts, frames=frames, skips=(*facts.skips, *skips))
        return audit_and_remember(known, take, *leave, tell)
    with tempfile.TemporaryDirectory(prefix="slurm-guard-") as folder:
        return _in_parts(facts, lake, (Path(folder), part_gpu_h, n_processes), leave, take, tell)


def _is_imported(facts: Facts, lake: Path) -> bool:
    """Whether another monitor's readings are in the night: what is left of them beside the sampler's depends
    on all nodes of a job, and what is said of them on all of the night (lake/doubles.py, audit/others.py)."""
    window = (facts.from_at, facts.until_at)
    names = distinct_rows(lake, facts.cluster, "events", window, ("name",))["name"]
    return IMPORTED in names.to_list()


def _in_parts(
    facts: Facts, lake: Path, means: tuple[Path, float, int], leave: Leave, take: Take | None, tell: Tell
) -> tuple[Audit, list[PastCost]]:
    folder, part_gpu_h, n_processes = means
    window = (facts.from_at, facts.until_at)
    reach = find_reach(lake, *window)
    site = parts.site_of(facts, lake, folder, reach, keeps_cells=take is not None)
    ties = shared_files(lake, facts.cluster, *window, site.runs)
    every = cut(site.runs, reach.nodes, ties, part_gpu_h)
    n = len(every)
    done_passes = 0

    def told(k: int) -> None:
        tell((done_passes * n + k) * len(site.runs) // (3 * n), len(site.runs))

    with _workers(site, n_processes or min(8, os.cpu_count() or 1)) as each:
        surveyed = each(_survey, [(part,) for part in every], told)
        norms = work.norms(
            [one.survey for one in surveyed],
            frozenset().union(*(one.told for one in surveyed)),
            frozenset().union(*(one.placed for one in surveyed)),
        )
        done_passes = 1
        heard = each(_measure, [(k, part, norms) for k, part in enumerate(every)], told)
        whole = whole_of(list(site.runs), facts, told_together(heard))
        done_passes = 2
        judged = each(_judge, [(k, part, whole.of(part.near)) for k, part in enumerate(every)], told)
    refusals = [judge.refused(run, why) for run, why in split(facts.runs)[1]]
    if take is not None:
        for _, ledger in judged:
            for rows in ledger:
                take(rows.lazy())
        lay_out_refused(refusals, take)
    return assembled(facts, refusals, [done for done, _ in judged], whole, leave)


_SITE: list[parts.Site] = []  # of this worker: it is large, and the same for all of its parts


def _begin(site: parts.Site) -> None:
    _SITE[:] = [site]


def _survey(part: Part) -> parts.Surveyed:
    return parts.survey_part(_SITE[0], part)


def _measure(number: int, part: Part, norms: work.Norms) -> Told:
    return parts.measure_part(_SITE[0], number, part, norms)


def _judge(number: int, part: Part, whole: Whole) -> parts.Judged:
    return parts.judge_part(_SITE[0], number, part, whole)


@contextmanager
def _understood() -> Iterator[None]:
    """What can go wrong around a part, in words. Raises GuardError audit-worker-lost, scratch-unwritable."""
    try:
        yield
    except BrokenProcessPool:
        raise GuardError(
            "audit-worker-lost",
            "a process of the audit was killed, perhaps for want of memory; nothing was published",
            "lower [engine] processes or part_gpu_h, then audit the night again",
        ) from None
    except OSError as error:
        raise GuardError(
            "scratch-unwritable",
            f"the parts of the night cannot be kept in {tempfile.gettempdir()}: {error.strerror}; nothing "
            "was published",
            "make room there, or name another folder with TMPDIR, then audit the night again",
        ) from None


class Each(Protocol):
    """Calls a function for each of some arguments, and gives what they return in order."""

    def __call__(
        self, work: Callable[..., T], given: Sequence[tuple[object, ...]], tell: Callable[[int], None]
    ) -> list[T]: ...


@contextmanager
def _workers(site: parts.Site, n: int) -> Iterator[Each]:
    """In `n` processes."""
    if n == 1:
        _begin(site)

        def alone(
            work: Callable[..., T], given: Sequence[tuple[object, ...]], tell: Callable[[int], None]
        ) -> list[T]:
            found = []
            for k, one in enumerate(given):
                with _understood():
                    found.append(work(*one))
                tell(k + 1)
            return found

        yield alone
        return
    threads = os.environ.get("POLARS_MAX_THREADS")
    os.environ["POLARS_MAX_THREADS"] = "1"  # of each worker: there is one for each CPU
    try:
        with ProcessPoolExecutor(n, get_context("spawn"), initializer=_begin, initargs=(site,)) as pool:

            def beside(
                work: Callable[..., T], given: Sequence[tuple[object, ...]], tell: Callable[[int], None]
            ) -> list[T]:
                with _understood():
                    waiting = [pool.submit(work, *one) for one in given]
                found = []
                for k, one in enumerate(waiting):
                    with _understood():
                        found.append(one.result())
                    tell(k + 1)
                return found

            yield beside
    finally:
        if threads is None:
            os.environ.pop("POLARS_MAX_THREADS", None)
        else:
            os.environ["POLARS_MAX_THREADS"] = threads
