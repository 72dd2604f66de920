"""Spool to lake: every file judged alone, the good ones as Parquet, the bad ones in quarantine with a reason.

The spool is only read. A Parquet file is named by the digest of the spool file it came from, so that
collecting twice, from two copies or in another order gives the same lake.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from slurm_guard.errors import GuardError
from slurm_guard.lake.arrived import Arrived, Spans, Stopped, note, told
from slurm_guard.lake.compacted import Taken
from slurm_guard.lake.manifest import Known, read_manifest, write_manifest
from slurm_guard.lake.places import EXTENSIONS, NODE, SpoolFile, write_acks
from slurm_guard.lake.prune import FULL, Bounds, Pruned, prune, read_pruned
from slurm_guard.lake.quarantine import quarantine, release, safe_name
from slurm_guard.lake.schema import FORMAT
from slurm_guard.lake.shapes import BadRecord
from slurm_guard.lake.ship import Finished
from slurm_guard.lake.spoolfile import Parsed, parse_file
from slurm_guard.lake.steps import formats_in, home_of
from slurm_guard.lake.turns import alone
from slurm_guard.lake.write import close_folder, make_folder, write_whole


@dataclass(frozen=True, slots=True)
class Refused:
    """A file in quarantine, now or from before. `path` is that of the spool."""

    path: str
    slug: str
    sentence: str
    new: bool


@dataclass(frozen=True, slots=True)
class CollectReport:
    """What one collection did. `n_known`: good files that were in the lake already.

    `left_out`: records of new files that are of a kind which only a later release knows, by kind.
    """

    n_new: int
    n_known: int
    n_rows: int  # of the new files
    refused: tuple[Refused, ...]
    left_out: tuple[tuple[str, int], ...] = ()
    pruned: tuple[tuple[str, Pruned], ...] = ()  # by node, where the drop folder gave something up or is full
    arrived: Arrived = ()  # of new files' rows


def collect(
    spools: Sequence[Path],
    lake: Path,
    drop: tuple[Path, Bounds] | None = None,
    tell: Callable[[int, int], None] | None = None,
    least_free_b: int = 0,
) -> CollectReport:
    """Take everything that is whole in the spools into the lake. `drop`: the spool that is a drop folder of
    this collector's own, kept within bounds. `tell` hears after each node: nodes done, nodes known so far.
    Below `least_free_b` bytes of free space nothing more is taken: the spools keep it, a later call takes it.

    Raises GuardError spool-missing (none of the spools is there), and Stopped with spool-unreadable,
    lake-unwritable, lake-full, lake-busy (another collection is at it), lake-newer, lake-older.
    """
    present = [spool for spool in spools if os.path.isdir(spool)]  # noqa: PTH112  # never raises
    if not present:
        raise GuardError(
            "spool-missing",
            "there is no folder " + ", ".join(map(str, spools)),
            "name the spool with --spool or in [lake] spools; nodes write it once a job has run",
        )
    collector = _Collector(lake, drop, least_free_b)
    try:
        _collect(collector, present, tell)
    except GuardError as error:
        raise Stopped(error, collector.told()) from None
    except OSError as error:
        raise Stopped(_in_words(error, collector), collector.told()) from None
    return CollectReport(
        collector.n_new,
        collector.n_known,
        collector.n_rows,
        tuple(collector.refused),
        tuple(sorted(collector.left_out.items())),
        tuple(collector.pruned),
        collector.told(),
    )


def _collect(
    collector: "_Collector", present: Sequence[Path], tell: Callable[[int, int], None] | None
) -> None:
    """Raises OSError as well, of the lake."""
    lake = collector.lake
    if formats_in(lake):  # a folder that is no lake yet may hold other things
        close_folder(lake)
    make_folder(lake)
    with alone(lake):
        collector.older = [number for number in formats_in(lake) if number != FORMAT]
        n_done = n_all = 0
        for spool in present:
            nodes = collector.node_folders(spool)
            n_all += len(nodes)
            for node in nodes:
                collector.take_node(spool, node)
                n_done += 1
                if tell is not None:
                    tell(n_done, n_all)


def _in_words(error: OSError, collector: "_Collector") -> GuardError:
    if error.errno in FULL:
        return _full(collector.lake, error.strerror or "no space is left", collector.n_new)
    return GuardError(
        "lake-unwritable",
        f"{error.filename or collector.lake}: {error.strerror or error}",
        "the collector needs to write the lake",
    )


def _full(lake: Path, why: str, n_new: int) -> GuardError:
    return GuardError(
        "lake-full",
        f"the lake {lake}: {why}; {n_new} new files are in it, the rest stays in the spools",
        "make room (`slurm-guard prune`, [keep]) and collect again: what is in the lake is whole",
    )


class _Collector:
    """Takes file after file and counts. An OSError that leaves it speaks of the lake, never of the spool."""

    def __init__(self, lake: Path, drop: tuple[Path, Bounds] | None = None, least_free_b: int = 0) -> None:
        self.lake, self._drop, self._least_free_b = lake, drop, least_free_b
        self.pruned: list[tuple[str, Pruned]] = []
        self.n_new = self.n_known = self.n_rows = 0
        self.refused: list[Refused] = []
        self.left_out: dict[str, int] = {}
        self._taken = Taken()
        self.arrived: Spans = {}
        self.older: list[int] = []  # formats that the lake has files of, but for today's

    def told(self) -> Arrived:
        """Of the rows that are in the lake by this collection."""
        return told(self.arrived)

    def node_folders(self, spool: Path) -> list[str]:
        """One folder a node; an entry of another kind or name is refused by name."""
        try:
            with os.scandir(spool) as entries:
                found = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in entries)
        except OSError as error:
            why = f"{spool}: {error.strerror}"
            raise GuardError("spool-unreadable", why, "let the collector's group read it") from None
        nodes = []
        for name, is_folder in found:
            if is_folder and NODE.fullmatch(name):
                nodes.append(name)
            elif not name.startswith("."):
                self._refuse(
                    SpoolFile(str(spool / name), "_", "_", name), BadRecord("name", "no node's folder")
                )
        return nodes

    def take_node(self, spool: Path, node: str) -> None:
        """Everything in one node's folders, in order."""
        where = hashlib.sha256(os.fsencode(spool.absolute())).hexdigest()[:8]
        path = self.lake / f"v{FORMAT}" / "manifest" / f"{safe_name(node)}.{where}.json"
        before, after = self._known(path), dict[str, Known]()
        for kind in EXTENSIONS:
            for name in self._names(spool / node / kind, node, kind):
                file = SpoolFile(str(spool / node / kind / name), node, kind, name)
                key = f"{kind}/{safe_name(name)}"
                known = self._take(file, before.get(key))
                if known is not None:
                    after[key] = known
        for one in read_pruned(spool / node):  # taken before, and given up since: still known
            key = f"{one.kind}/{one.name}"
            if key in before:
                after.setdefault(key, before[key])
        write_manifest(path, after)
        acks = [f"{key} {known.size}" for key, known in after.items() if known.digest is not None]
        write_acks(spool / node, "collect", acks)
        self._prune(spool, node, after)

    def _known(self, path: Path) -> dict[str, Known]:
        """What the manifest says; right after the format was raised, what the last one of before says."""
        of_old = [self.lake / f"v{number}" / "manifest" / path.name for number in reversed(self.older)]
        return read_manifest(next((one for one in (path, *of_old) if one.exists()), path))

    def _prune(self, spool: Path, node: str, after: dict[str, Known]) -> None:
        if self._drop is None or spool != self._drop[0]:
            return
        keys = [(key.partition("/"), known.size) for key, known in after.items() if known.digest is not None]
        taken = {Finished(kind, name, size) for (kind, _, name), size in keys}
        done = prune(spool / node, taken, self._drop[1])
        if done.n or done.over(self._drop[1]):
            self.pruned.append((node, done))

    def _names(self, folder: Path, node: str, kind: str) -> list[str]:
        """Names in a collected folder; one with a leading dot is still being written."""
        try:
            with os.scandir(folder) as entries:
                return sorted(entry.name for entry in entries if not entry.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            reason = BadRecord("unreadable", error.strerror or "the folder cannot be listed")
            self._refuse(SpoolFile(str(folder), node, kind, "folder"), reason)
            return []

    def _take(self, file: SpoolFile, known: Known | None) -> Known | None:
        """What is known of the file from now on; null: look again next time."""
        try:
            info = os.lstat(file.path)
        except OSError:
            return None  # moved away since the folder was listed
        size_and_time = (info.st_size, info.st_mtime_ns)
        if known is not None and known.reason is None and (known.size, known.mtime_ns) == size_and_time:
            self.n_known += 1
            return known
        try:
            parsed = _parse(file)
            if known is not None and known.digest not in (None, parsed.digest):
                raise BadRecord("changed", "it was taken before with other content; what was taken stays")
        except BadRecord as reason:
            self._refuse(file, reason, new=known is None or known.reason != reason.slug)
            if reason.slug in ("changed", "unreadable"):
                return known
            return Known(*size_and_time, None, 0, reason.slug)
        return Known(*size_and_time, parsed.digest, self._store(file, parsed), None)

    def _store(self, file: SpoolFile, parsed: Parsed) -> int:
        """Write what is not there yet; the number of the file's rows. Raises GuardError lake-full."""
        free_b = free_of(self.lake)
        if free_b < self._least_free_b:
            why = f"{free_b >> 20} MiB are free where [lake] min_free_mib asks for {self._least_free_b >> 20}"
            raise _full(self.lake, why, self.n_new)
        n_rows, n_written = 0, 0
        for table, day, frame in parsed.rows.frames():
            name = f"{parsed.digest[:16]}.parquet"
            path = self.lake / f"v{FORMAT}" / table / f"date={day}" / name
            n_rows += frame.height
            if not self._taken.has(path) and not self._is_there(table, f"date={day}/{name}"):
                # Statistics pay where few files of many are wanted; elsewhere they are a tenth of the size.
                keep = table in ("logs", "points")
                write_whole(path, partial(frame.write_parquet, compression="zstd", statistics=keep))
                n_written += 1
                note(self.arrived, table, frame)
        release(self.lake, file)
        self.n_new += n_written > 0
        self.n_known += n_written == 0
        self.n_rows += n_rows if n_written else 0
        for kind, n in parsed.left_out.items() if n_written else ():
            self.left_out[kind] = self.left_out.get(kind, 0) + n
        return n_rows

    def _is_there(self, table: str, name: str) -> bool:
        """In an earlier format; a second time would be twice, and would undo what `forget` took out."""
        found = (home_of(self.lake / f"v{number}", number, table) for number in self.older)
        return any(self._taken.has(home.folder / name) for home in found if home is not None)

    def _refuse(self, file: SpoolFile, reason: BadRecord, *, new: bool = True) -> None:
        quarantine(self.lake, file, reason)
        self.refused.append(Refused(file.path, reason.slug, reason.sentence, new))


def free_of(folder: Path) -> int:
    """Bytes that an ordinary user may still write there. Raises OSError."""
    about = os.statvfs(folder)
    return about.f_bavail * about.f_frsize


def _parse(file: SpoolFile) -> Parsed:
    if not file.name.endswith(EXTENSIONS[file.kind]):
        raise BadRecord("name", f"a name that does not end in {EXTENSIONS[file.kind]}")
    try:
        return parse_file(file)
    except OSError as error:
        raise BadRecord("unreadable", error.strerror or "it cannot be read") from None
