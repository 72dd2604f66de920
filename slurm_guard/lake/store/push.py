"""The lake to its store: what counts here is there, and what does not count here is not.

At every instant the store's files are a lake that can be read, as compacted.py reads one: lists go first,
then files, and only when all of a table's are there goes what they replaced. A stop costs nothing: what is
there is known by its content, and the mark says that a round did not end. The lake may change meanwhile.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from slurm_guard.errors import GuardError
from slurm_guard.lake.compacted import PREFIX, replaced
from slurm_guard.lake.store.bucket import Bucket, Sent, Thing
from slurm_guard.lake.store.mark import (
    WHOLE,
    WRITING,
    Mark,
    Role,
    alone_with_store,
    as_source,
    new_mark,
    note_round,
    other_error,
    read_mark,
    write_mark,
)
from slurm_guard.lake.store.names import (
    check_format,
    files_here,
    groups_here,
    is_same,
    parse_name,
    read_known,
    write_known,
)

AT_ONCE = 8  # requests. Judgement: a small object takes 20 to 50 ms, so some 200 a second
_SOME = 64  # that are asked for before the first is waited for
# More of a table than this share, and this many, does not leave a store by itself: a folder that was emptied
# by mistake, or a disk that was not mounted, would take the copy with it. Judgement.
LEAST_LOST, LOST_SHARE = 20, 0.5
_MOST_FAILED = 20

_Result = TypeVar("_Result")


@dataclass(slots=True)
class Pushed:
    """What a round did, or would do. `failed`: (name, why). `n_waiting`: not tried for want of time."""

    n_sent: int = 0
    sent_b: int = 0
    n_removed: int = 0
    n_same: int = 0
    n_waiting: int = 0
    n_foreign: int = 0  # objects below the tables that are none of the lake's: left as they are
    failed: list[tuple[str, str]] = field(default_factory=list)
    withheld: list[tuple[str, int]] = field(default_factory=list)  # (table, files) too many to take away
    before: Mark | None = None  # of the last round; null: nothing was sent there yet
    names: list[str] = field(default_factory=list)  # the first of what is sent (+) and taken away (-)

    @property
    def is_whole(self) -> bool:
        """Whether the store now has what the lake has."""
        return not (self.n_waiting or self.failed or self.withheld)

    def note(self, sign: str, name: str) -> None:
        """For who wants to see a few."""
        if len(self.names) < 20:
            self.names.append(f"{sign} {name}")


@dataclass(frozen=True, slots=True)
class How:
    """`dry`: look only. `may_shrink`: take away however much. `longest_s`: then the rest waits."""

    dry: bool = False
    may_shrink: bool = False
    longest_s: float = float("inf")
    wait_s: float = 0.0
    tell: Callable[[int, int], None] | None = None


def push(lake: Path, bucket: Bucket, how: How | None = None) -> Pushed:
    """One round. Raises GuardError store-…, lake-copy, OSError of the lake."""
    how = how or How()
    with alone_with_store(lake, how.wait_s, dry=how.dry):
        return _Round(lake, bucket, how).run()


class _Round:
    def __init__(self, lake: Path, bucket: Bucket, how: How) -> None:
        self._lake, self._bucket, self._how = lake, bucket, how
        self._until_s = time.monotonic() + how.longest_s
        self._is_marked = False
        self.done = Pushed()

    def run(self) -> Pushed:
        role = as_source(self._lake, write=not self._how.dry)
        self.done.before = self._check_mine(role)
        there = {
            f"{root}/{table}"
            for root in self._bucket.folders()
            if parse_name(f"{root}/x/date=2000-01-01/a.parquet")
            for table in self._bucket.folders(f"{root}/")
        }
        with requests() as pool:
            for group in sorted(groups_here(self._lake) | there):
                check_format(group, self._bucket.url)
                self._group(pool, role, group)
        if self.done.is_whole and not self._how.dry:
            self._check_mine(role)
            write_mark(self._bucket, new_mark(self._lake, role, WHOLE))
            note_round(self._lake)
        return self.done

    def _check_mine(self, role: Role) -> Mark | None:
        """Raises GuardError store-other, store-taken."""
        mark, mine = read_mark(self._bucket), new_mark(self._lake, role, WRITING)
        if mark is not None and mark.lake != mine.lake:
            raise other_error(self._lake, self._bucket.url)
        if mark is not None and mark.writer != mine.writer:
            raise GuardError(
                "store-taken",
                f"{self._bucket.url} is written from another machine or folder, of {mark.host}",
                "only one machine collects; if it is to be this one: `slurm-guard lake sync --take-over`",
            )
        return mark

    def _begin(self, role: Role) -> None:
        """Before the first change: readers wait for the end, or say that they did not see it."""
        if not self._is_marked:
            write_mark(self._bucket, new_mark(self._lake, role, WRITING))
            self._is_marked = True

    def _group(self, pool: ThreadPoolExecutor, role: Role, group: str) -> None:
        here = files_here(self._lake, group, counted=True)
        there = dict(self._ours(group))
        known, new = read_known(self._lake, group), dict[str, Sent]()
        to_send, n_before = [], self._n_undone
        for name, path in here.items():
            same = is_same(path, known.get(name), there[name]) if name in there else None
            if same is None:
                to_send.append(name)
            else:
                new[name] = same
        self.done.n_same += len(new)
        try:
            if self._how.dry:
                self._say_sent(to_send, here)
            elif to_send:
                self._begin(role)
                self._send(pool, to_send, here, new)
            if self._n_undone == n_before:
                gone = [name for name in there if name not in here]
                if self._may_go(group, gone, len(there)):
                    self._remove(pool, role, gone)
        finally:
            if not self._how.dry and new != known:
                write_known(self._lake, group, new)

    @property
    def _n_undone(self) -> int:
        return len(self.done.failed) + self.done.n_waiting

    def _ours(self, group: str) -> Iterator[tuple[str, Thing]]:
        for name, thing in self._bucket.list(f"{group}/"):
            if parse_name(name) is not None:
                yield name, thing
            else:
                self.done.n_foreign += 1

    def _say_sent(self, names: list[str], here: dict[str, Path]) -> None:
        for name in names:
            self.done.n_sent += 1
            self.done.sent_b += here[name].stat().st_size
            self.done.note("+", name)

    def _send(
        self, pool: ThreadPoolExecutor, names: list[str], here: dict[str, Path], new: dict[str, Sent]
    ) -> None:
        lists = [name for name in names if name.endswith(".sources")]
        files = [name for name in names if not name.endswith(".sources")]
        n_before = self._n_undone
        for some in (lists, files):  # a compacted file stands for nothing without its list
            if self._n_undone > n_before:
                self.done.n_waiting += len(some)
                continue
            for name, future in self._each(pool, lambda name: self._bucket.put(name, here[name]), some):
                try:
                    sent = future.result()
                except FileNotFoundError:
                    continue  # put together or taken away since it was listed: the next round's
                except (OSError, GuardError) as error:
                    if isinstance(error, GuardError) and error.slug != "store-refused":
                        raise
                    self._fail(name, error)
                    continue
                new[name] = sent
                self.done.n_sent += 1
                self.done.sent_b += sent.size
                self.done.note("+", name)

    def _fail(self, name: str, error: OSError | GuardError) -> None:
        why = error.sentence if isinstance(error, GuardError) else error.strerror or str(error)
        self.done.failed.append((name, why))
        if len(self.done.failed) >= _MOST_FAILED:
            raise error

    def _may_go(self, group: str, gone: list[str], n_there: int) -> bool:
        folders = {str(PurePosixPath(name).parent) for name in gone}
        stood_for = {
            folder: replaced((self._lake / folder).glob(f"{PREFIX}*.parquet")) for folder in sorted(folders)
        }
        lost = sum(
            PurePosixPath(name).stem not in stood_for[str(PurePosixPath(name).parent)] for name in gone
        )
        if self._how.may_shrink or lost < LEAST_LOST or lost <= LOST_SHARE * n_there:
            return True
        self.done.withheld.append((group, lost))
        return False

    def _remove(self, pool: ThreadPoolExecutor, role: Role, gone: list[str]) -> None:
        """What was put together first, then the files that stood for it, then their lists."""
        if gone and not self._how.dry:
            self._begin(role)
        ranks: tuple[list[str], ...] = ([], [], [])
        for name in gone:
            named = parse_name(name)
            ranks[2 if named and named.is_list else 1 if named and named.is_compacted else 0].append(name)
        for rank in ranks:
            for name, future in self._each(pool, self._bucket.remove, [] if self._how.dry else rank):
                future.result()
                self.done.n_removed += 1
                self.done.note("-", name)
            for name in rank if self._how.dry else ():
                self.done.n_removed += 1
                self.done.note("-", name)

    def _each(
        self, pool: ThreadPoolExecutor, work: Callable[[str], _Result], names: list[str]
    ) -> Iterator[tuple[str, "Future[_Result]"]]:
        """A few at a time, so that neither memory nor open files grow; once it is late the rest waits."""
        for at in range(0, len(names), _SOME):
            if time.monotonic() >= self._until_s:
                self.done.n_waiting += len(names) - at
                return
            yield from [(name, pool.submit(work, name)) for name in names[at : at + _SOME]]
            if self._how.tell is not None:
                self._how.tell(self.done.n_sent + self.done.n_removed, self.done.n_sent + len(names) - at)


@contextmanager
def requests() -> Iterator[ThreadPoolExecutor]:
    """Of a few at once; the first failure cancels what was not begun."""
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="store")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
