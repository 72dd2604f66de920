"""A run's files in which progress may show: found by open descriptors, watched by size through the helper."""

from __future__ import annotations

from slurm_guard import wire
from slurm_guard.light import Any, Iterable
from slurm_guard.sampler.helper import Answer, Ask, Helper
from slurm_guard.sampler.paths import OTHER, JobNames, expand, is_file_link, matcher, parse_fdinfo, rank
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.walked import Findings
from slurm_guard.sampler.writer import Instant

MOST_PIDS = 256  # of a run looked through per scan: judgement
MOST_FDS = 20_000  # looked at per run and scan: 7,664 cost 38 ms of CPU (measured, design notes)
MOST_HELD = 1000  # files that a scan weighs against each other: 8 MB of the longest paths. Judgement
MOST_OBS = 2000  # observations kept per file, thinned beyond (the reader's contract)
MOST_FAILS = 3  # looks that find nothing before a file is let go: judgement
MOST_BYTES = 1 << 30  # a file of unknown name beyond this is data, not a log: judgement
MOST_PIDS_TOLD = 16
_HOWS = frozenset({"fd", "stdout", "stderr", "guard", "walk"})
SBATCH_DEFAULTS = ("slurm-%j.out", "slurm-%A_%a.out")  # documented; up to 24.11 unset then


class Watched:
    """One file that is followed."""

    __slots__ = ("asked", "fails", "fd", "how", "last", "obs", "path", "pids", "rank")

    def __init__(self, path: str, how: str, order: int) -> None:
        self.path, self.how, self.rank = path, how, order
        self.fd: tuple[int, int, int] | None = None
        self.pids: list[int] = []
        self.last: Answer | None = None
        self.obs: list[list[Any]] = []  # [at, size, ino, ctime_ns]
        self.fails = 0
        self.asked = False

    def note(self, answer: Answer) -> None:
        """Keep an observation; when there are too many, every second of the older half goes."""
        self.obs.append([answer.at, answer.size, answer.ino, answer.ctime_ns])
        if len(self.obs) > MOST_OBS:
            half = MOST_OBS // 2
            self.obs = self.obs[:half:2] + self.obs[half:]


class RunFiles:
    """The files of one run. Records appear in `told` when answers arrive; the loop takes them."""

    def __init__(self, ticket: wire.Ticket, proc: Proc, helper: Helper, most: int) -> None:
        self.run, self.proc, self.helper, self.most = ticket.run, proc, helper, most
        self.uid, self.gid = ticket.uid, ticket.gid
        self.groups: list[int] = []
        self.told: list[wire.FileSeen | wire.Event] = []
        self.truncated = False
        self._told_truncated = False
        self.watched: dict[str, Watched] = {}
        # What the last reading found of checkpoints: they may be gone at the next.
        self.kept: dict[str, list[list[Any]]] = {"checkpoints": [], "models": []}
        # By the hash of the path, for a job chooses how long that is.
        self._ignored: set[int] = set()  # looked at and found to be none of the run's logs
        self._pos: dict[int, int] = {}  # of files of unknown name at the scan before
        names = JobNames(ticket.job_id, ticket.user, ticket.node, ticket.work_dir)
        self._outputs = [
            (matcher(pattern, names), how)
            for pattern, how in (
                (ticket.stdout, "stdout"),
                (ticket.stderr, "stderr"),
                *((default, "stdout") for default in SBATCH_DEFAULTS if ticket.stdout is None),
            )
        ]
        for path, how in (
            (ticket.progress_path, "guard"),
            (expand(ticket.stdout, names), "stdout"),
            (expand(ticket.stderr, names), "stderr"),
        ):
            if path is not None and path not in self.watched:
                self.watched[path] = Watched(path, how, -1)

    def resume(self, records: list[dict[str, Any]]) -> None:
        """Take up what an earlier sampler saw of these files, by its own records."""
        for body in records:
            path, how, at, size = (body.get(name) for name in ("path", "how", "at", "size"))
            if not isinstance(path, str) or not isinstance(at, float) or not isinstance(size, int):
                continue
            if how not in _HOWS:
                continue
            if path not in self.watched and len(self.watched) >= self.most:
                self.truncated = True
                continue
            watched = self.watched.setdefault(path, Watched(path, how, rank(path)))
            watched.pids = [pid for pid in body.get("pids") or [] if isinstance(pid, int)]
            answer = Answer(at, body.get("dev"), body.get("ino"), size, body.get("ctime_ns"), None)
            watched.last = answer
            watched.note(answer)

    def take_up(self, found: Findings) -> None:
        """What a reading found in the work directory."""
        self.adopt(found.paths)
        self.kept = {"checkpoints": found.checkpoints, "models": found.models}

    def adopt(self, paths: Iterable[str]) -> None:
        """Follow files that a reading found by its walk: no descriptor shows those that are opened for each
        record and closed. At most half of the room is theirs."""
        room = self.most // 2 - sum(watched.how == "walk" for watched in self.watched.values())
        for path in paths:
            if path in self.watched or hash(path) in self._ignored or len(path) >= wire.MAX_TEXT:
                continue
            if room <= 0 or len(self.watched) >= self.most:
                self.truncated = True
                return
            self.watched[path] = Watched(path, "walk", rank(path))
            room -= 1

    def scan(self, members: Iterable[Process], stepds: Iterable[Process], now: Instant) -> None:
        """Look through open descriptors, then ask the helper about every file that is followed."""
        held: dict[str, Watched] = {}
        left = MOST_FDS
        everyone = sorted(members, key=lambda p: p.start_ticks)
        self.truncated = len(everyone) > MOST_PIDS
        for process in [*stepds, *everyone[:MOST_PIDS]]:
            if left <= 0:
                break
            if not self.groups and process.uid == self.uid:
                self.groups = process.groups
            left -= self._scan_process(process, left, held)
        self.truncated = self.truncated or left <= 0
        self._follow(held)
        if self.truncated and not self._told_truncated:
            self._told_truncated = True
            detail = {"n_procs": len(everyone), "n_files": len(self.watched), "most_files": self.most}
            self.told.append(wire.Event(now.at, self.run, "files-truncated", detail, now.mono_s))
        self.ask()

    def _scan_process(self, process: Process, left: int, held: dict[str, Watched]) -> int:
        names = self.proc.names(process.pid, "fd", left)
        for name in names:
            link = self.proc.link(process.pid, f"fd/{name}")
            if link is None or not is_file_link(link) or len(link) > wire.MAX_TEXT:
                continue
            if hash(link) in self._ignored:
                continue
            info = parse_fdinfo(self.proc.read(process.pid, f"fdinfo/{name}", 1024) or "")
            if info is None or not info.writable or not name.isdigit():
                continue
            order = rank(link)
            grown = info.pos > self._pos.get(hash(link), info.pos)
            self._pos[hash(link)] = info.pos
            if order == OTHER and not grown and self._how(link) == "fd" and link not in self.watched:
                continue
            if len(held) >= MOST_HELD and link not in held and link not in self.watched:
                self.truncated = True
                continue
            entry = held.setdefault(link, Watched(link, self._how(link), order))
            entry.fd = entry.fd or (process.pid, process.start_ticks, int(name))
            if process.stepd is None and process.pid not in entry.pids:
                entry.pids.append(process.pid)
        return len(names)

    def _how(self, path: str) -> str:
        return next(
            (how for pattern, how in self._outputs if pattern is not None and pattern.fits(path)), "fd"
        )

    def _follow(self, held: dict[str, Watched]) -> None:
        """Refresh what is followed; take in new files while there is room, the likeliest first."""
        for store in (self._pos, self._ignored):
            if len(store) > 4 * MOST_FDS:
                store.clear()
        for path, watched in self.watched.items():
            found = held.pop(path, None)
            watched.fd = found.fd if found is not None else None
            watched.pids = found.pids if found is not None else []
        for path in sorted(held, key=lambda path: (held[path].how == "fd", held[path].rank, path)):
            if len(self.watched) < self.most:
                self.watched[path] = held[path]
            else:
                self.truncated = True

    def ask(self) -> None:
        """One question per file; one that waits for its answer is not asked again."""
        for watched in self.watched.values():
            if not watched.asked:
                ask = Ask(watched.path, watched.fd, self.uid, self.gid, self.groups)
                watched.asked = self.helper.submit(ask, lambda answer, w=watched: self._take(w, answer))  # type: ignore[misc]

    def _take(self, watched: Watched, answer: Answer) -> None:
        watched.asked = False
        if answer.error is not None:
            self._take_failure(watched, answer)
            return
        watched.fails = 0
        if self._is_anothers(watched, answer) or self._is_double(watched, answer):
            return
        before, watched.last = watched.last, answer
        watched.note(answer)
        if before is None or (before.size, before.ino, before.dev) != (answer.size, answer.ino, answer.dev):
            self.told.append(self._record(watched, answer, {}))

    def _take_failure(self, watched: Watched, answer: Answer) -> None:
        """The first failure is told; a file that stays away is let go, unless Slurm named it."""
        watched.fails += 1
        if watched.fails == 1 and watched.how != "fd":
            self.told.append(self._record(watched, answer, {"size": answer.error or "unreadable"}))
        new = watched.how == "fd" and watched.last is None
        if watched.fails >= MOST_FAILS and (new or watched.how == "walk"):
            self.watched.pop(watched.path, None)

    def _is_anothers(self, watched: Watched, answer: Answer) -> bool:
        """A slurmstepd also holds its own log: what it alone holds must be the job's user's."""
        if watched.pids or watched.how != "fd" or watched.last is not None or answer.uid == self.uid:
            return False
        self._ignored.add(hash(watched.path))
        self.watched.pop(watched.path, None)
        return True

    def _is_double(self, watched: Watched, answer: Answer) -> bool:
        """The same file under a second name (a container's, a link's) is followed once; giant data never."""
        size = answer.size if answer.size is not None else 0
        double = watched.last is None and any(
            other is not watched
            and other.last is not None
            and (other.last.dev, other.last.ino) == (answer.dev, answer.ino)
            for other in self.watched.values()
        )
        if double or (watched.rank == OTHER and watched.how == "fd" and size > MOST_BYTES):
            self._ignored.add(hash(watched.path))
            self.watched.pop(watched.path, None)
            return True
        return False

    def _record(self, watched: Watched, answer: Answer, why: dict[str, str]) -> wire.FileSeen:
        return wire.FileSeen(
            run=self.run,
            at=answer.at,
            path=wire.clip(watched.path) or "",
            how=watched.how,
            dev=answer.dev,
            ino=answer.ino,
            size=answer.size,
            ctime_ns=answer.ctime_ns,
            pid=watched.pids[0] if watched.pids else None,
            pids=watched.pids[:MOST_PIDS_TOLD],
            why=why,
        )

    def take_told(self) -> list[wire.FileSeen | wire.Event]:
        """The records since the last call."""
        told, self.told = self.told, []
        return told

    def request(self) -> list[dict[str, Any]]:
        """The files as the progress reader wants them."""
        return [
            {
                "path": watched.path,
                "how": watched.how,
                "dev": watched.last.dev if watched.last is not None else None,
                "ino": watched.last.ino if watched.last is not None else None,
                "pids": watched.pids,
                "obs": watched.obs,
            }
            for watched in self.watched.values()
        ]
