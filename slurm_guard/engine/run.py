"""A night audited part by part. The document is the same, to the byte, as of one look at all of it."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from slurm_guard.audit import judge, work
from slurm_guard.audit.facts import Facts, split
from slurm_guard.audit.run import assembled, audit_and_remember, lay_out_refused
from slurm_guard.audit.whole import Told, Whole, told_together, whole_of
from slurm_guard.engine import parts
from slurm_guard.engine.arrays import Cluster, in_arrays
from slurm_guard.engine.kept import Work, in_words, own_folder, work_of
from slurm_guard.engine.local import Make, in_processes
from slurm_guard.engine.plan import Part, cut
from slurm_guard.engine.sight import SLUG, changed_here, check_view
from slurm_guard.engine.tasks import NIGHT, Namer, Task, gone
from slurm_guard.engine.ties import shared_files
from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.garbage import uncollected
from slurm_guard.history import PastCost, PastGround, PastTrace
from slurm_guard.lake.frames import distinct_rows, read_frames
from slurm_guard.lake.reach import find_reach
from slurm_guard.lake.view import View, look
from slurm_guard.model import Audit
from slurm_guard.readings import IMPORTED

Take = Callable[[pl.LazyFrame], None]
Leave = tuple[Callable[[PastGround], None], Callable[[PastTrace], None]]
Tell = Callable[[int, int], None]
# Of part_gpu_h: more than that is measured by groups of its nodes, for a sixth more time. Judgement
_SLICE = 2.0
_LOOKS = 3  # at a lake of which something was taken away meanwhile: what is kept of parts holds. Judgement


@dataclass(frozen=True, slots=True)
class Means:
    """How a night is computed. `part_gpu_h`: GPU-hours that are looked at together, a smaller night at once;
    `processes` 0: one a CPU; `folder` of kept parts, null: in the lake; `nights` of which parts are kept, 0:
    none; `cluster` null: on this machine."""

    part_gpu_h: float = 2500.0
    processes: int = 0
    folder: Path | None = None
    nights: int = 2
    cluster: Cluster | None = field(default=None)


@uncollected()
def audit_lake(
    facts: Facts, lake: Path, means: Means, leave: Leave, take: Take | None, tell: Tell
) -> tuple[Audit, list[PastCost], View]:
    """The audit of a night whose frames are still in the lake (`facts` has none), the rows for later ones,
    and the files that it was made of: one state of the lake, whoever writes there meanwhile.

    Raises GuardError lake-newer, lake-older, lake-changed, parts-unsafe and those of local.py, arrays.py.
    """
    lake, n = lake.absolute(), 1
    while True:
        view = look(lake, facts.from_at, facts.until_at)
        try:
            return (*_audited(facts, view, means, leave, take, tell), view)
        except GuardError as error:
            if error.slug != SLUG or not (wrong := view.changed()):
                raise  # where the head's own lake is as it was, a node has another one
            if n >= _LOOKS:
                raise changed_here(view, wrong) from None
            n += 1  # nothing was handed on yet


def _audited(
    facts: Facts, view: View, means: Means, leave: Leave, take: Take | None, tell: Tell
) -> tuple[Audit, list[PastCost]]:
    runs = split(facts.runs)[0]
    whole_h = sum(run.n_gpus * max(0.0, run.until_at - run.from_at) for run in runs) / 3600.0
    if whole_h <= means.part_gpu_h or _is_imported(facts, view):
        frames, skips = read_frames(view.lake, facts.cluster, *view.window, view, lean=True)
        check_view(view)
        known = replace(facts, frames=frames, skips=(*facts.skips, *skips))
        return audit_and_remember(known, take, *leave, tell)
    place = own_folder(view.lake) if means.folder is None else means.folder.absolute()
    if means.cluster is not None and (place is None or means.nights <= 0):
        raise _unshared(view.lake, means)
    night = (str(view.lake), facts.cluster, facts.from_at, facts.until_at)
    with work_of(place, means.nights, night) as work:
        return _in_parts(facts, view, (work, means), leave, take, tell)


def _is_imported(facts: Facts, view: View) -> bool:
    """Whether another monitor's readings are in the night: what is left of them beside the sampler's depends
    on all nodes of a job, and what is said of them on all of the night (lake/doubles.py, audit/others.py)."""
    return IMPORTED in distinct_rows(view, facts.cluster, "events", ("name",))["name"].to_list()


def _unshared(lake: Path, means: Means) -> GuardError:
    if means.nights <= 0:
        why = "[engine] nights is 0, so that what a task made is not kept for the next pass"
        hint = "set it to 1 or more, or --engine local"
    else:
        why = f"{lake} is not this user's, or cannot be written, and [engine] folder names none"
        hint = "name a folder on a file system that all nodes have in [engine] folder"
    return GuardError("engine-unshared", f"no folder for parts that the nodes share: {why}", hint, EXIT_USAGE)


def _in_parts(
    facts: Facts, view: View, how: tuple[Work, Means], leave: Leave, take: Take | None, tell: Tell
) -> tuple[Audit, list[PastCost]]:
    work_, means = how
    runs = tuple(split(facts.runs)[0])
    reach, slice_h = find_reach(view), _SLICE * means.part_gpu_h
    site = parts.Site(facts, runs, view.lake, reach, keeps_cells=take is not None, slice_gpu_h=slice_h)
    ties = shared_files(view, facts.cluster, site.runs)
    every = cut(site.runs, site.reach.nodes, ties, means.part_gpu_h)
    name = Namer(site)
    n = len(every)
    with _makers(work_, site, means) as make:

        def results(number: int, tasks: list[Task]) -> list[Any]:
            n_runs = len(site.runs)
            return _settled(work_, make, tasks, lambda k: tell((number * n + k) * n_runs // (3 * n), n_runs))

        # Neither what the surveys said nor what the runs told is kept longer than it is asked for: gigabytes.
        norms = _norms(results(0, [name.survey(part) for part in every]))
        measures = [name.measure(part, norms) for part in every]
        before = work_.night.names()
        whole = whole_of(list(site.runs), facts, _told(results(1, measures), every))
        judges = [name.judge(part, whole, one) for part, one in zip(every, measures, strict=True)]
        if spoilt := _dropped(work_, before, judges):
            results(1, [one for one in measures if one.name in spoilt])
        check_view(view)  # the third pass reads nothing of it
        judged = results(2, judges)
    return _together(facts, every, judged, (whole, leave), take)


def _norms(surveyed: Sequence[parts.Surveyed]) -> work.Norms:
    return work.norms(
        [one.survey for one in surveyed],
        frozenset().union(*(one.told for one in surveyed)),
        frozenset().union(*(one.placed for one in surveyed)),
    )


def _told(found: Sequence[Told], every: Sequence[Part]) -> Told:
    """What all runs tell, by their places in the night."""
    return told_together(told.moved(part.near) for told, part in zip(found, every, strict=True))


def _together(
    facts: Facts,
    every: Sequence[Part],
    judged: Sequence[parts.Judged],
    given: tuple[Whole, Leave],
    take: Take | None,
) -> tuple[Audit, list[PastCost]]:
    found = [parts.placed(one, part.near) for one, part in zip(judged, every, strict=True)]
    refusals = [judge.refused(run, why) for run, why in split(facts.runs)[1]]
    if take is not None:
        for _, ledger in found:
            for rows in ledger:
                take(rows.lazy())
        lay_out_refused(refusals, take)
    return assembled(facts, refusals, [done for done, _ in found], *given)


def _makers(work_: Work, site: parts.Site, means: Means) -> AbstractContextManager[Make]:
    if means.cluster is not None:
        return in_arrays(work_, site, means.cluster)
    return in_processes(work_, site, means.processes or min(8, os.cpu_count() or 1))


def _settled(work_: Work, make: Make, tasks: Sequence[Task], tell: Callable[[int], None]) -> list[Any]:
    """The results of all tasks, in order: those that are there, and of the others what is made of them now.
    `tell` hears how many there are."""
    there = work_.night.names()
    missing = [task for task in tasks if not there.issuperset(task.leaves)]
    n_kept = len(tasks) - len(missing)
    work_.used.update(name for task in tasks for name in task.leaves)
    tell(n_kept)
    make(missing, lambda k: tell(n_kept + k))
    found = [_result(work_, task) for task in tasks]
    spoilt = [task for task, one in zip(tasks, found, strict=True) if one is None]
    if spoilt:
        make(spoilt, lambda k: tell(len(tasks) - len(spoilt) + k))
        found = [_result(work_, task) if one is None else one for task, one in zip(tasks, found, strict=True)]
    for task, one in zip(tasks, found, strict=True):
        if one is None:
            raise gone(work_.night, task.name)
    return found


def _dropped(work_: Work, before: set[str], judges: Sequence[Task]) -> set[str]:
    """Second passes of which the third, which cannot make them, would need what a disk has spoilt. It is
    taken away. `before`: what was there before this audit made any."""
    night = work_.night
    with in_words(night.path):
        there = night.names()
        needed = {
            task.measured for task in judges if task.name not in there and NIGHT + task.measured in before
        }
        spoilt = {name for name in needed if not night.is_whole(NIGHT + name)}
        for name in spoilt:
            night.drop(NIGHT + name)
    return spoilt


def _result(work_: Work, task: Task) -> Any:
    """Null: what is there cannot be read, and is taken away, so that it can be made again."""
    with in_words(work_.night.path):
        found = work_.night.get(task.name)
        if found is None:
            work_.night.drop(task.name)
        return found
