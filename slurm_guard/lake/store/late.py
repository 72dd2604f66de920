"""Which files that come into a copy have rows that were never in it, and of which runs and when these are.

A file's rows are known by its name, which a spool file's content gave it; one that was put together has those
of the names in its list. What leaves a copy because the store has it in another form stays known by its name
(`<lake>/store/gone/v1.windows/2026-09-22.list`) as long as the store has files of that day.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from slurm_guard.lake.arrived import Spans, note_more
from slurm_guard.lake.compacted import is_imported, replaced, stems_of
from slurm_guard.lake.schema import FORMAT, TABLES
from slurm_guard.lake.store.bucket import Sent, Thing
from slurm_guard.lake.store.names import FOLDER, Named, parse_name
from slurm_guard.lake.view import Seen, seen_of
from slurm_guard.lake.write import write_whole


@dataclass(frozen=True, slots=True)
class Late:
    """For who wants to hear of them: on which days, and what was found."""

    is_wanted: Callable[[date], bool]
    spans: Spans = field(default_factory=dict)


class Watch:
    """Of one group (`v1/windows`), from before its files come. `here`: its files then; `known`: as they were
    last the same in the store; `there`: what the store has."""

    def __init__(
        self, lake: Path, group: str, here: Mapping[str, Path], known: Mapping[str, Sent], late: Late
    ) -> None:
        self._lake, self._group, self._known, self._late = lake, group, known, late
        self._here: dict[date, dict[Path, Seen]] = {}
        for path in here.values():
            if (named := self._wanted(path)) is not None:
                self._here.setdefault(named.day, {})[path] = seen_of(path)

    def note(self, names: Iterable[str], there: Mapping[str, Thing]) -> None:
        """Of these the ones that came. Before anything goes: rows that are here already are told by them."""
        by_day: dict[date, list[Path]] = {}
        for path in (self._lake / name for name in names):
            if (named := self._wanted(path)) is not None:
                by_day.setdefault(named.day, []).append(path)
        for day, paths in sorted(by_day.items()):
            old = self._here.get(day, {})
            came = [path for path in sorted(paths) if seen_of(path) not in ((-1, 0), old.get(path))]
            if came:
                self._note_day(day, came, there)

    def _note_day(self, day: date, came: list[Path], there: Mapping[str, Thing]) -> None:
        old = {path: stems_of(path) for path in self._here.get(day, {})}
        had = read_gone(self._lake, self._group, day).union(*old.values())
        prefix = f"{self._group}/date={day}/"
        had |= {Path(name).stem for name in self._known if name.startswith(prefix)}
        table, uncounted = self._group.partition("/")[2], set[str]()
        with suppress(OSError):
            uncounted = replaced(old)
        for path in came:
            stems = stems_of(path)
            if is_imported(path):  # it was written anew under its name, over what it was
                known, thing = self._known.get(prefix + path.name), there[prefix + path.name]
                if known is None or known.etag != thing.etag:
                    note_more(self._late.spans, table, path, ())
            elif not stems <= had:
                before = [one for one, of in old.items() if of & stems and one.stem not in uncounted]
                note_more(self._late.spans, table, path, before)

    def _wanted(self, path: Path) -> Named | None:
        """Null: nobody wants to hear of it. Of an earlier format nothing new comes."""
        named = parse_name(path.relative_to(self._lake).as_posix())
        if named is None or named.is_list or named.format != FORMAT or named.table not in TABLES:
            return None
        return named if self._late.is_wanted(named.day) else None


def _path(lake: Path, group: str, day: date) -> Path:
    return lake / FOLDER / "gone" / group.replace("/", ".") / f"{day}.list"


def read_gone(lake: Path, group: str, day: date) -> frozenset[str]:
    """Stems of files of a day that were here; none where nothing is known."""
    try:
        return frozenset(_path(lake, group, day).read_text("ascii", "replace").split())
    except OSError:
        return frozenset()


def keep_gone(lake: Path, group: str, going: Iterable[str]) -> None:
    """Write down what is about to leave. A disk that does not take it keeps nothing from going: then rows
    that come again are said once more."""
    by_day: dict[date, set[str]] = {}
    for named, path in ((parse_name(name), lake / name) for name in going):
        if named is not None and not named.is_list:
            by_day.setdefault(named.day, set()).update(stems_of(path))
    for day, stems in by_day.items():
        every = read_gone(lake, group, day) | stems
        with suppress(OSError):
            lines = "".join(f"{stem}\n" for stem in sorted(every))
            write_whole(_path(lake, group, day), lines.encode("ascii"))


def end_gone(lake: Path, group: str, there: Iterable[str]) -> None:
    """Forget days of which the store has nothing any more: they were pruned."""
    days = {named.day.isoformat() for named in map(parse_name, there) if named is not None}
    folder = _path(lake, group, date.min).parent
    for path in folder.glob("*.list"):
        if path.stem not in days:
            path.unlink(missing_ok=True)
