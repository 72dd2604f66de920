"""What is made of one part in one pass: a result under a name that is a digest of all that goes into it.

A result that is there is never made again, whoever made it, and when: an audit that was stopped goes on, one
of a night with a late segment makes what depends on it, and who makes the same twice changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from slurm_guard.audit import work
from slurm_guard.audit.facts import Facts
from slurm_guard.audit.whole import Whole
from slurm_guard.config import AuditConfig, NetworkConfig
from slurm_guard.engine import parts
from slurm_guard.engine.digest import code_digest, digest_of
from slurm_guard.engine.folder import Folder
from slurm_guard.engine.plan import Part
from slurm_guard.engine.sight import Sizes, check_files, sizes_of
from slurm_guard.errors import GuardError
from slurm_guard.garbage import uncollected
from slurm_guard.model import Run
from slurm_guard.siteword import SiteWords

SURVEY, MEASURE, JUDGE = "survey", "measure", "judge"
NIGHT = "night-"  # before the name of a second pass: what the third needs of it


@dataclass(frozen=True, slots=True)
class Task:
    """`places`: of the runs near, in the night's list; `part`: by their places among them. `given`: what the
    pass has to know of all runs, and nothing in the first."""

    step: str
    name: str
    places: tuple[int, ...]
    part: Part
    given: work.Norms | Whole | None = None
    measured: str = ""  # the result that the third pass goes on with
    size: float = 1.0  # how long it takes, in a unit of its pass
    sizes: Sizes = ()  # of the lake's files that it reads, as the head saw them

    @property
    def leaves(self) -> tuple[str, ...]:
        """Names of all that it makes, the last first: without that nothing is made."""
        return (self.name, NIGHT + self.name) if self.step == MEASURE else (self.name,)


def largest_first(tasks: Iterable[Task]) -> list[Task]:
    """In which order they are made side by side, so that the last one is not a long one; always the same."""
    return sorted(tasks, key=lambda task: (-task.size, task.name))


@uncollected()
def make(site: parts.Site, folder: Folder, task: Task) -> None:
    """The task's result into the folder, if it is not there.

    Raises OSError, GuardError part-gone, and lake-changed where this machine sees another lake."""
    if folder.names().issuperset(task.leaves):
        return
    read = site.reach.of(_read_by(task.step, task.part)).files
    check_files(site.lake, read, task.sizes)  # of a lake that is not mounted nothing needs to be read
    mine = replace(
        site,
        facts=given_of(task.step, site.facts, [site.runs[i] for i in task.places]),
        runs=tuple(site.runs[i] for i in task.places),
    )
    made = _made(mine, folder, task)
    check_files(site.lake, read, task.sizes)  # that they were there is known of what was read in between
    for name, value in made.items():
        folder.put(name, value)


def _made(site: parts.Site, folder: Folder, task: Task) -> dict[str, object]:
    """By names, and the task's own last: with it the task is done."""
    if isinstance(task.given, work.Norms):
        measured, told = parts.measure_part(site, task.part, task.given, folder.scratch)
        return {NIGHT + task.name: measured, task.name: told}
    if isinstance(task.given, Whole):
        measured = folder.get(NIGHT + task.measured)
        if measured is None:
            raise gone(folder, NIGHT + task.measured)
        return {task.name: parts.judge_part(site, task.part, task.given, measured)}
    return {task.name: parts.survey_part(site, task.part)}


def _read_by(step: str, part: Part) -> frozenset[str]:
    """The nodes of which a pass reads rows."""
    return part.nodes if step == SURVEY else part.reach if step == MEASURE else frozenset()


def gone(folder: Folder, name: str) -> GuardError:
    """A result that was there, or had just been made."""
    return GuardError(
        "part-gone",
        f"{folder.path / name} is gone or cannot be read; nothing was published",
        f"look at the disk below, remove {folder.path}, then audit the night again",
    )


def given_of(step: str, facts: Facts, runs: Iterable[Run]) -> Facts:
    """What a pass is given of the night's facts, and no more: whatever is in it goes into the digest."""
    bare = replace(facts, runs=(), frames={}, skips=(), past=(), summaries={}, grounds=None, traces=None)
    if step == SURVEY:
        bare = replace(bare, config=AuditConfig(), network=NetworkConfig(), words=SiteWords(), costs=None)
        return replace(bare, names={}, maintenance=(), maintenance_uids=frozenset())
    if step == MEASURE:
        earlier = (one for one in facts.words.dispositions if one.subject.start_at < facts.from_at)
        return replace(bare, words=SiteWords((), tuple(earlier)))
    mine = {run.id: said for run in runs if (said := facts.summaries.get(run.id)) is not None}
    words = SiteWords(facts.words.exemptions)
    return replace(bare, words=words, summaries=mine, costs=None, names={})


class Namer:
    """Names of tasks."""

    def __init__(self, site: parts.Site) -> None:
        self._site = site
        self._runs = [digest_of(run) for run in site.runs]
        self._loose = sorted(self._file(path) for path in site.reach.loose)
        cells = site.keeps_cells
        self._base = {
            step: digest_of(
                code_digest(), step, cells and step != SURVEY, _known(given_of(step, site.facts, ()))
            )
            for step in (SURVEY, MEASURE, JUDGE)
        }

    def survey(self, part: Part) -> Task:
        """The first pass over this part."""
        return self._task(SURVEY, part, self._lake(_read_by(SURVEY, part)))

    def measure(self, part: Part, norms: work.Norms) -> Task:
        """The second, of what the norms say of its runs."""
        near = {self._site.runs[i].id for i in part.near}
        mine = replace(norms, told=norms.told & near, placed=norms.placed & near)
        return replace(self._task(MEASURE, part, self._lake(_read_by(MEASURE, part)), mine), given=mine)

    def judge(self, part: Part, whole: Whole, measured: Task) -> Task:
        """The third. `whole`: of all runs."""
        mine = whole.of(part.near)
        runs = [self._site.runs[i] for i in part.near]
        summaries = given_of(JUDGE, self._site.facts, runs).summaries
        task = self._task(JUDGE, part, measured.name, mine, summaries)
        return replace(task, given=mine, measured=measured.name)

    def _task(self, step: str, part: Part, *more: object) -> Task:
        own = frozenset(part.own)
        places = tuple(k for k, i in enumerate(part.near) if i in own)
        local = Part(places, tuple(range(len(part.near))), part.nodes, part.reach)
        name = digest_of(self._base[step], [self._runs[i] for i in part.near], local, *more)
        sizes = sizes_of(self._site.reach.view, self._site.reach.of(_read_by(step, part)).files)
        return Task(step, f"{step}-{name[:40]}", part.near, local, size=self._size(step, part), sizes=sizes)

    def _size(self, step: str, part: Part) -> float:
        """As many milliseconds as it takes of a CPU, about: `python -m bench engine --verbose`, 2026-11."""
        if step == JUDGE:
            return 20.0 + 4.0 * len(part.own)
        hours = 0.0
        for run in (self._site.runs[i] for i in part.near):
            share = sum(node in part.reach for node in run.nodes) / max(1, len(run.nodes))
            hours += share * run.n_gpus * (run.until_at - run.from_at) / 3600.0
        return 100.0 + 0.5 * hours if step == SURVEY else 500.0 + 2.0 * hours + 8.0 * len(part.own)

    def _lake(self, nodes: frozenset[str]) -> list[list[str]]:
        mine = self._site.reach.of(nodes).files
        return [sorted(self._file(path) for path in mine), self._loose]

    def _file(self, path: Path) -> str:
        """Where in the lake, how large, written when, as the head saw it."""
        size, written_ns = self._site.reach.view.seen[path]
        return f"{path.relative_to(self._site.lake)} {size} {written_ns}"


def _known(facts: Facts) -> list[object]:
    """Facts for a digest: rows of earlier nights have one of their own."""
    plain = replace(facts, costs=None)
    costs = facts.costs
    history = None if costs is None else (costs.sha256, costs.n_nights)
    return [history, *(getattr(plain, part.name) for part in fields(plain))]
