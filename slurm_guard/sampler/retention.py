"""Keeps the node's spool within its bounds: what was collected goes first, then the oldest; losses are told.

A round looks at every file, a few hundred a tick, so that the sampling never waits for it, and remembers only
the oldest of each sort. `open/` is never touched, nor are tickets and end marks of runs that are not sealed.
"""

from __future__ import annotations

import heapq
import os
import stat

from slurm_guard import wire
from slurm_guard.light import Any, Callable, Iterator, NamedTuple
from slurm_guard.sampler.acks import Acks
from slurm_guard.sampler.chain import CHAIN, SEALED, read_ends, read_lost
from slurm_guard.sampler.recover import BAD, OPEN, SEALS
from slurm_guard.sampler.streams import Streams
from slurm_guard.sampler.writer import COLLECTED, Instant, stream_name

EVERY_S = 60.0
LOOKED = 512  # files a tick: 4 ms (measured: 8 µs of CPU each)
REST_FACTOR = 10  # a round over many files is followed by a rest so many times as long
REMOVED = 32  # files a tick; an unlink of a large file takes a journal commit at worst
REMEMBERED = 512  # oldest files of each sort that a round can remove: the next one goes on
MARK_FACTOR = 4.0  # uncollected tickets, end marks and seals are kept so much longer: small, and precious
STEP_S, STEP_REST_S = (
    60.0,
    3600.0,
)  # after a start, or a clock set by more, ages are not believed so long. Judgement
OWED_RETRY_S = 10.0  # judgement
MOST_CARRIED = 1024  # words of losses that one segment's end passes on: 250 kB. Judgement
_TICKETS, _ENDS, _PROGRESS = "tickets", "ends", "progress"
_FOLDERS = (OPEN, SEALED, _PROGRESS, _TICKETS, _ENDS, SEALS, CHAIN, BAD, COLLECTED)
_MARKS = (_TICKETS, _ENDS, SEALS)  # in this order: a seal without its ticket harms nobody, the reverse does


class Bounds(NamedTuple):
    """[node] spool_mib and spool_days."""

    size_b: int
    age_s: float


class Seen(NamedTuple):
    """A file of the spool, oldest first when sorted."""

    mtime_ns: int
    kind: str
    name: str
    size_b: int  # on the disk
    collected: bool


class _Oldest:
    """The oldest few of what is offered."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, Seen]] = []

    def offer(self, seen: Seen) -> None:
        item = (-seen.mtime_ns, seen)
        if len(self._heap) < REMEMBERED:
            heapq.heappush(self._heap, item)
        else:
            heapq.heappushpop(self._heap, item)

    def sorted(self) -> list[Seen]:
        return sorted(seen for _, seen in self._heap)


class _Pile:
    """What one round found, by what it would be removed for."""

    def __init__(self) -> None:
        self.size_b = self.n = 0
        self.uncollected_b = 0
        self.oldest_ns: int | None = None  # of the uncollected segments
        self.expired, self.collected, self.spare = _Oldest(), _Oldest(), _Oldest()
        self.sealed, self.own = _Oldest(), _Oldest()  # of runs; the node's, which tells of the losses

    def plan(self, size_b: int) -> list[tuple[Seen, str]]:
        """What goes, in order: too old, then as much as is too much."""
        found = dict.fromkeys(sorted(self.expired.sorted(), key=_mark_last), "age")
        over_b = self.size_b - size_b - sum(seen.size_b for seen in found)
        for seen in (
            seen for part in (self.collected, self.spare, self.sealed, self.own) for seen in part.sorted()
        ):
            if over_b <= 0:
                break
            if seen not in found:
                found[seen] = "space"
                over_b -= seen.size_b
        return list(found.items())


def _mark_last(seen: Seen) -> tuple[int, Seen]:
    return (_MARKS.index(seen.kind) + 1 if seen.kind in _MARKS else 0), seen


class Retention:
    """A Part. `jobs`: raw ids of jobs whose runs are not sealed; `run_dir` has the prolog's tickets."""

    def __init__(self, streams: Streams, bounds: Bounds, run_dir: str, jobs: Callable[[], set[int]]) -> None:
        self.streams, self.bounds, self.run_dir, self._jobs = streams, bounds, run_dir, jobs
        self.spool = streams.origin.spool
        self.n_removed = self.n_given_up = 0
        self._now = Instant(0.0, 0.0)
        self._round: Iterator[None] | None = None
        self._due_s: float | None = None
        self._begun_s = 0.0
        self._more = False  # whether something was to go: then the next round comes soon
        self._offset_s: float | None = None
        self._rest_until_s = 0.0
        self._over = False
        self._owed: list[wire.Lost | wire.Event] = []
        self._pay_s = 0.0
        self._last = _Pile()

    # -- the part

    def tick(self, now: Instant) -> None:
        """A little of a round; a new one each minute, or less often where it has many files to look at."""
        self._watch_clock(now)
        self._now = now
        self._pay()
        if self._round is None:
            if self._due_s is not None and now.mono_s < self._due_s:
                return
            self._begun_s, self._due_s = now.mono_s, now.mono_s + EVERY_S
            self._round = self._go_round()
        try:
            next(self._round)
        except StopIteration:
            self._round = None
            long_s = 0.0 if self._more else now.mono_s - self._begun_s
            self._due_s = max(self._begun_s + EVERY_S, now.mono_s + REST_FACTOR * long_s)
        except BaseException:
            self._round = None
            raise

    def tell(self) -> dict[str, Any]:
        """Sizes as of the last whole round."""
        last = self._last
        return {
            "spool_b": last.size_b,
            "spool_files": last.n,
            "uncollected_b": last.uncollected_b,
            "oldest_uncollected_at": None if last.oldest_ns is None else last.oldest_ns / 1e9,
            "removed": self.n_removed,
            "given_up": self.n_given_up,
        }

    def close(self, now: Instant) -> None:
        """Nothing is kept open."""

    def _watch_clock(self, now: Instant) -> None:
        """A clock that was set makes everything look old: ages rest until it had time to be put right."""
        offset_s = now.at - now.mono_s
        if self._offset_s is None or abs(offset_s - self._offset_s) > STEP_S:
            self._rest_until_s = now.mono_s + STEP_REST_S
        self._offset_s = offset_s

    # -- a round, which stops for the rest of the tick at each yield

    def _go_round(self) -> Iterator[None]:
        acks = Acks(self.spool)
        yield from acks.read()
        pile = _Pile()
        for kind in _FOLDERS:
            yield from self._look(kind, acks, pile)
        self._last = pile
        plan = pile.plan(self.bounds.size_b)
        self._more = bool(plan)
        for start in range(0, len(plan), REMOVED):
            self._remove(plan[start : start + REMOVED])
            yield
        self._tell_over(pile, plan)

    def _look(self, kind: str, acks: Acks, pile: _Pile) -> Iterator[None]:
        folder = os.path.join(self.spool, kind)
        n = 0
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._note(kind, entry, acks, pile)
                    n += 1
                    if n % LOOKED == 0:
                        yield
        except OSError:
            return

    def _note(self, kind: str, entry: os.DirEntry[str], acks: Acks, pile: _Pile) -> None:
        try:
            info = entry.stat(follow_symlinks=False)
        except OSError:
            return
        size_b = info.st_blocks * 512
        pile.size_b, pile.n = pile.size_b + size_b, pile.n + 1
        if kind in (OPEN, COLLECTED) or entry.name.startswith(".") or not stat.S_ISREG(info.st_mode):
            return
        seen = Seen(info.st_mtime_ns, kind, entry.name, size_b, acks.has(kind, entry.name, info.st_size))
        if kind == SEALED and not seen.collected:
            pile.uncollected_b += size_b
            pile.oldest_ns = min(seen.mtime_ns, pile.oldest_ns or seen.mtime_ns)
        if self._is_expired(seen):
            pile.expired.offer(seen)
        elif kind in (SEALED, _PROGRESS, BAD):
            superseded = kind == _PROGRESS and self._is_superseded(seen.name)
            if kind == _PROGRESS and not superseded and not self._is_sealed(seen.name[:-13]):
                return  # a living run's readings are numbered by the last one
            if seen.collected:
                pile.collected.offer(seen)
            elif kind == BAD or superseded:
                pile.spare.offer(seen)
            else:
                (pile.own if seen.name.startswith("node_") else pile.sealed).offer(seen)

    def _is_expired(self, seen: Seen) -> bool:
        if self._now.mono_s < self._rest_until_s:
            return False
        factor = MARK_FACTOR if seen.kind in _MARKS and not seen.collected else 1.0
        return self._now.at - seen.mtime_ns / 1e9 > self.bounds.age_s * factor

    def _is_superseded(self, name: str) -> bool:
        stem, number = name[:-13], name[-12:-6]
        if not number.isdigit():
            return False
        return os.path.lexists(os.path.join(self.spool, _PROGRESS, f"{stem}.{int(number) + 1:06d}.jsonl"))

    # -- removing

    def _remove(self, batch: list[tuple[Seen, str]]) -> None:
        """What is not collected is told first, and the word of it is on the disk before the file goes.

        A disk too full for the word gets it later, and until then nothing more is given up.
        """
        self._pay()
        behind = bool(self._owed)
        going = []
        for seen, why in batch:
            if self._may_go(seen, behind):
                words = self._words(seen, why)
                going.append((seen, bool(words)))
                self._owed += words
        self._pay(at_once=True)
        self.streams.of(None).sync()
        for seen, is_loss in going:
            try:
                os.unlink(os.path.join(self.spool, seen.kind, seen.name))
            except OSError:
                continue
            self.n_removed += 1
            self.n_given_up += is_loss

    def _pay(self, *, at_once: bool = False) -> None:
        """Write the words that are owed, in order."""
        if not self._owed or (not at_once and self._now.mono_s < self._pay_s):
            return
        while self._owed and self.streams.write(None, self._owed[0], self._now):
            self._owed.pop(0)
        self._pay_s = self._now.mono_s + OWED_RETRY_S

    def _may_go(self, seen: Seen, behind: bool) -> bool:
        if behind and not seen.collected:
            return False
        stem = seen.name.rpartition(".")[0]
        if seen.kind == SEALED:
            return self._chain_is_kept(seen)
        if seen.kind == _PROGRESS:
            return self._is_sealed(seen.name[:-13]) or self._is_superseded(seen.name)
        if seen.kind == _TICKETS:
            return self._is_sealed(stem)
        if seen.kind == _ENDS:
            job = seen.name.partition("_")[0]
            return job.isdigit() and int(job) not in self._unsealed_jobs()
        if seen.kind == SEALS:  # else its ticket would be taken for a run that was never sealed
            tickets = (os.path.join(self.spool, _TICKETS), os.path.join(self.run_dir, _TICKETS))
            return not any(os.path.lexists(os.path.join(folder, seen.name)) for folder in tickets)
        if seen.kind == CHAIN:
            own = stream_name(None, self.streams.origin.boot_id)
            return stem != own and not os.path.lexists(os.path.join(self.spool, _TICKETS, seen.name))
        return seen.kind == BAD

    def _is_sealed(self, stem: str) -> bool:
        return os.path.lexists(os.path.join(self.spool, SEALS, f"{stem}.json"))

    def _unsealed_jobs(self) -> set[int]:
        waiting = (run.split("/")[1] for run in self.streams.waiting())
        return self._jobs() | {int(job) for job in waiting if job.isdigit()}

    def _chain_is_kept(self, seen: Seen) -> bool:
        """The stream's numbers go on without this segment; what is given up will stand in the run's seal."""
        ends = read_ends(os.path.join(self.spool, SEALED, seen.name))
        own = seen.name.startswith(stream_name(None, self.streams.origin.boot_id) + ".")
        if ends.run is None and not own:
            return True  # of an earlier boot, or no segment at all: nothing goes on from it
        if ends.run is not None and self.streams.is_sealed(ends.run):
            return True
        if ends.run is not None and not seen.name.startswith(f"{wire.stem(ends.run)}."):
            return True  # its name is not its own: no stream's segment
        stream = self.streams.of(ends.run)
        if seen.collected or ends.run is None:
            return stream.keep()
        return stream.lose([_seq(seen.name), ends.n, ends.sha256])

    def _words(self, seen: Seen, why: str) -> list[wire.Lost | wire.Event]:
        """What the node's stream says of the loss; nothing where it was collected, or is nobody's."""
        if seen.collected or seen.kind in (CHAIN, BAD) or self._was_superseded(seen):
            return []
        if seen.kind != SEALED:
            name = "reading-given-up" if seen.kind == _PROGRESS else "mark-given-up"
            return [self._event(name, None, file=f"{seen.kind}/{wire.clip(seen.name, 256)}", why=why)]
        ends = read_ends(os.path.join(self.spool, SEALED, seen.name))
        seq = _seq(seen.name)
        detail = {"file": wire.clip(seen.name, 256), "seq": seq, "n": ends.n, "why": why}
        path = os.path.join(self.spool, SEALED, seen.name)
        # A word of a loss that goes with its segment is said again: else nobody would know of either.
        carried = read_lost(path, MOST_CARRIED) if seen.name.startswith("node_") else []
        return [
            *carried,
            wire.Lost(self._now.at, ends.run, seq, ends.n, ends.sha256, why),
            self._event("segment-given-up", ends.run, **detail),
        ]

    def _was_superseded(self, seen: Seen) -> bool:
        return seen.kind == _PROGRESS and self._is_superseded(seen.name)

    def _event(self, name: str, run: str | None, **detail: Any) -> wire.Event:
        return wire.Event(self._now.at, run, name, detail, self._now.mono_s)

    def _tell_over(self, pile: _Pile, plan: list[tuple[Seen, str]]) -> None:
        """Once each time that what may not go alone is too much."""
        left_b = pile.size_b - sum(seen.size_b for seen, _ in plan)
        over = left_b > self.bounds.size_b and len(plan) < REMEMBERED
        if over and not self._over:
            word = self._event("spool-over-bounds", None, b=left_b, most_b=self.bounds.size_b)
            self.streams.write(None, word, self._now)
        self._over = over


def _seq(name: str) -> int:
    number = name[-12:-6]
    return int(number) if number.isdigit() else 0
