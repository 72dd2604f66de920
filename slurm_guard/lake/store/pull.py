"""The days of a lake that an audit reads, from a store into this machine's copy.

What is taken is what the store held at one instant: it is listed again until nothing of it changed meanwhile.
Files of other days that the store no longer has in this form go, so that what was pruned and forgotten goes
here, too; they come again when they are wanted.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from slurm_guard.errors import GuardError
from slurm_guard.lake.compact import GRACE_S
from slurm_guard.lake.compacted import PREFIX, sources_of
from slurm_guard.lake.ingest import free_of
from slurm_guard.lake.reach import days_of
from slurm_guard.lake.schema import FORMAT, TABLES
from slurm_guard.lake.steps import formats_in
from slurm_guard.lake.store.bucket import MOST_B, Bucket, Damaged, Missing, Sent, Thing
from slurm_guard.lake.store.late import Late, Watch, end_gone, keep_gone
from slurm_guard.lake.store.mark import (
    COPY,
    SOURCE,
    WHOLE,
    Mark,
    Role,
    alone_with_store,
    as_copy,
    new_mark,
    note_round,
    read_mark,
    read_role,
    read_round,
    write_mark,
    write_role,
)
from slurm_guard.lake.store.names import (
    MOST_SOURCES_B,
    Named,
    check_format,
    files_here,
    groups_here,
    is_same,
    parse_name,
    read_known,
    write_known,
    wrong_content,
)
from slurm_guard.lake.store.push import requests
from slurm_guard.lake.write import close_folder, write_whole

WAIT_S = 300.0  # for a round that is going on. Judgement: an hour's segments of 10,000 GPUs take 2 minutes
_LOOK_S = 5.0
_ROUNDS = 6  # in which the store may be another one than a moment before
_SOME = 64

Wanted = Callable[[Named], bool]


@dataclass(slots=True)
class Pulled:
    """What came, or would. `mark`: whose the store is. `left`: the first names that no file of a lake has."""

    mark: Mark
    n_fetched: int = 0
    fetched_b: int = 0
    n_dropped: int = 0
    n_same: int = 0
    n_foreign: int = 0
    left: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """False: the last round of who writes it did not end, so that its last files may be missing."""
        return self.mark.state == WHOLE


@dataclass(frozen=True, slots=True)
class Terms:
    """`wanted`: which files. `least_free_b`: free space that stays. `keep`: drop nothing, see take_over.
    `late`: hears of rows that came into a copy that was whole once, also where not everything comes."""

    wanted: Wanted
    least_free_b: int = 0
    dry: bool = False
    keep: bool = False
    wait_s: float = WAIT_S
    late: Late | None = None
    tell: Callable[[int, int], None] | None = None


def of_window(from_at: float, until_at: float) -> Wanted:
    """Files that an audit of [from_at, until_at) may read; of an earlier format, and of tables whose rows
    come with their run, those of every day."""
    days = {table: days_of(table, from_at, until_at) for table in TABLES}

    def is_wanted(named: Named) -> bool:
        if named.format < FORMAT:
            return True
        low, high = days.get(named.table, (date.max, date.min))  # a table that only a later release knows
        return low <= named.day <= high

    return is_wanted


def every(named: Named) -> bool:
    """For who wants the whole lake."""
    return named.format < FORMAT or named.table in TABLES


def pull(lake: Path, bucket: Bucket, terms: Terms) -> Pulled:
    """Bring the copy up to the store. Raises GuardError store-…, lake-source, lake-newer, lake-full,
    OSError."""
    with alone_with_store(lake, terms.wait_s, dry=terms.dry):
        return fetch(lake, bucket, terms)


def fetch(lake: Path, bucket: Bucket, terms: Terms) -> Pulled:
    """The same, for who holds the lock and has the folder."""
    until_s = time.monotonic() + terms.wait_s
    done: Pulled | None = None
    if terms.dry or read_round(lake) is None:
        terms = replace(terms, late=None)  # nobody can have audited from it
    for _ in range(_ROUNDS):
        mark = _await(bucket, until_s)
        if not terms.keep:
            as_copy(lake, bucket.url, mark, write=not terms.dry)
        if not terms.dry:
            close_folder(lake)
        one = _Round(lake, bucket, terms, Pulled(mark))
        one.run()
        is_idle = not (one.is_vanished or one.done.n_fetched or one.done.n_dropped)
        is_twice = is_idle and done is not None  # as it was listed before: so it was between the two
        done = _added(done, one.done)
        is_still = mark.state == WHOLE and not one.is_vanished and read_mark(bucket) == mark
        if terms.dry or is_still or is_twice:
            if not terms.dry:
                note_round(lake)
            return done
    raise GuardError(
        "store-changing", f"{bucket.url} was another one each time that it was looked at", "try again later"
    )


def _added(before: Pulled | None, now: Pulled) -> Pulled:
    if before is not None:
        now.n_fetched += before.n_fetched
        now.fetched_b += before.fetched_b
        now.n_dropped += before.n_dropped
        now.n_same -= before.n_fetched
    return now


def _await(bucket: Bucket, until_s: float) -> Mark:
    """The mark, once no round is going on any more or it is too late to wait.."""
    while True:
        mark = read_mark(bucket)
        if mark is None:
            raise GuardError(
                "store-empty",
                f"no lake was sent to {bucket.url} yet",
                "check lake.store; the machine that collects sends it with `slurm-guard collect`",
            )
        if mark.state == WHOLE or time.monotonic() >= until_s:
            return mark
        time.sleep(min(_LOOK_S, max(0.0, until_s - time.monotonic())))


class _Round:
    def __init__(self, lake: Path, bucket: Bucket, terms: Terms, done: Pulled) -> None:
        self._lake, self._bucket, self._terms = lake, bucket, terms
        self.done = done
        self.is_vanished = False  # something was replaced or taken away since it was listed
        self._settle: Callable[[], None] | None = None  # tells of what came of a group

    def run(self) -> None:
        try:
            self._run()
        finally:  # where it broke off, too: the next round knows what came
            self._tell_late()

    def _tell_late(self) -> None:
        settle, self._settle = self._settle, None
        if settle is not None:
            settle()

    def _run(self) -> None:
        there = {
            f"{root}/{table}"
            for root in self._bucket.folders()
            if parse_name(f"{root}/x/date=2000-01-01/a.parquet")
            for table in self._bucket.folders(f"{root}/")
        }
        for group in there:
            check_format(group, self._bucket.url)
        with requests() as pool:
            for group in sorted(groups_here(self._lake) | there):
                self._group(pool, group)

    def _group(self, pool: ThreadPoolExecutor, group: str) -> None:
        there = dict(self._ours(group))
        here = files_here(self._lake, group, counted=False)
        known, new = read_known(self._lake, group), dict[str, Sent]()
        to_fetch, to_drop = [], [name for name in here if name not in there]
        for name, thing in there.items():
            same = is_same(here[name], known.get(name), thing) if name in here else None
            if same is not None:
                new[name] = same
            elif self._terms.wanted(_parsed(name)):
                to_fetch.append(name)
            elif name in here:
                to_drop.append(name)
        self.done.n_same += len(new)
        if self._terms.dry:
            self.done.n_fetched += len(to_fetch)
            self.done.fetched_b += sum(there[name].size for name in to_fetch)
            self.done.n_dropped += len(to_drop)
            return
        if self._terms.late is not None:
            watch = Watch(self._lake, group, here, known, self._terms.late)
            self._settle = partial(watch.note, to_fetch, there)
        try:
            self._fetch(pool, to_fetch, there, new)
            self._tell_late()
            if not self.is_vanished and not self._terms.keep:
                self._drop(group, to_drop, there)
        finally:
            if new != known:
                write_known(self._lake, group, new)

    def _ours(self, group: str) -> Iterator[tuple[str, Thing]]:
        for name, thing in self._bucket.list(f"{group}/"):
            if parse_name(name) is not None:
                yield name, thing
            else:
                self.done.n_foreign += 1
                self.done.left = (*self.done.left, name)[:5]

    def _fetch(
        self, pool: ThreadPoolExecutor, names: list[str], there: dict[str, Thing], new: dict[str, Sent]
    ) -> None:
        """Lists first: a compacted file stands for nothing without its own."""
        damaged = []
        for name, future in self._each(pool, sorted(names, key=_is_file), there):
            try:
                new[name] = future.result()
                self.done.n_fetched += 1
                self.done.fetched_b += new[name].size
            except Missing:
                self.is_vanished = True
            except Damaged as why:
                damaged.append(f"{name}: {why}")
        if damaged:
            raise GuardError(
                "store-damaged",
                f"{len(damaged)} files of {self._bucket.url} are not what was sent there: {damaged[0]}",
                "remove these from the bucket: the next round of who collects sends them again",
            )

    def _each(
        self, pool: ThreadPoolExecutor, names: list[str], there: dict[str, Thing]
    ) -> "Iterator[tuple[str, Future[Sent]]]":
        for is_file, some in groupby(names, _is_file):
            left = list(some)
            while left:
                now, left = left[:_SOME], left[_SOME:]
                self._check_room(sum(there[name].size for name in now))
                yield from [(name, pool.submit(self._take, name, there[name])) for name in now]
                if self._terms.tell is not None and is_file:
                    self._terms.tell(self.done.n_fetched, self.done.n_fetched + len(left))

    def _check_room(self, size_b: int) -> None:
        free_b = free_of(self._lake) - self._terms.least_free_b
        if size_b > free_b:
            raise GuardError(
                "lake-full",
                f"the lake {self._lake} has no room for {size_b >> 20} MiB more of {self._bucket.url}",
                "make room ([lake] path, min_free_mib) and try again: what came is kept",
            )

    def _take(self, name: str, thing: Thing) -> Sent:
        named, path = _parsed(name), self._lake / name
        if thing.size > (MOST_SOURCES_B if named.is_list else MOST_B):
            raise Damaged(f"{thing.size} bytes")

        def write(out: BinaryIO) -> None:
            self._bucket.fetch(name, thing, out)
            out.flush()
            wrong = wrong_content(out.fileno(), named)
            if wrong:
                raise Damaged(wrong)

        write_whole(path, write)
        about = path.stat()
        return Sent(about.st_size, about.st_mtime_ns, thing.etag)

    def _drop(self, group: str, names: list[str], there: dict[str, Thing]) -> None:
        """What was put together a moment ago an audit may still read (compact.GRACE_S): it goes later."""
        recent = set[str]()
        for folder in {str(PurePosixPath(name).parent) for name in names}:
            for path in (self._lake / folder).glob(f"{PREFIX}*.parquet"):
                is_young = time.time() - path.stat().st_mtime < GRACE_S
                if is_young and f"{folder}/{path.name}" in there:
                    recent |= sources_of(path)
        going = [name for name in names if PurePosixPath(name).stem not in recent]
        keep_gone(self._lake, group, going)
        end_gone(self._lake, group, there)
        for name in sorted(going, key=lambda name: (_parsed(name).is_list, _parsed(name).is_compacted)):
            path = self._lake / name
            path.unlink(missing_ok=True)
            self.done.n_dropped += 1
            with suppress(OSError):
                path.parent.rmdir()  # only where it is empty


def _parsed(name: str) -> Named:
    named = parse_name(name)
    if named is None:
        raise AssertionError(name)
    return named


def _is_file(name: str) -> bool:
    return not _parsed(name).is_list


def take_over(lake: Path, bucket: Bucket, terms: Terms) -> Pulled | None:
    """From now on this machine collects and sends that lake: what the store has is here before. Null: there
    is nothing to take over. What is only here stays. Raises as pull does.
    """
    with alone_with_store(lake, terms.wait_s, dry=terms.dry):
        mark = read_mark(bucket)
        if mark is None:
            return None
        role = read_role(lake)
        keep = role.kind != COPY if role is not None else bool(formats_in(lake))
        done = fetch(lake, bucket, replace(terms, wanted=every, keep=keep))
        if not terms.dry:
            mine = Role(SOURCE, mark.lake)
            write_role(lake, mine)
            write_mark(bucket, new_mark(lake, mine, done.mark.state))
        return done
