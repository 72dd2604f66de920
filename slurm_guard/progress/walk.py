"""A bounded look through the work directory for files that are opened, appended and closed, and checkpoints.

Runs in the opener, as the job's user. No symbolic link is followed, no other file system entered.
"""

import os
import stat
import time
from collections import deque
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from slurm_guard.progress import sizes
from slurm_guard.progress.checkpoints import Saved, counter_of

MAX_DEPTH = 4
MAX_ENTRIES = 5_000
MAX_AT_ONCE = 1_000  # of one folder, before all others had their turn (judgement)
MAX_LISTED = 20_000  # of one folder: 6 MiB and 30 ms (judgement)
MAX_S = 2.0
MAX_FOUND = 64
MAX_KEYS = 16  # files of one MLflow or DVCLive run: each repeats the steps of the others
EARLY_S = 2.0  # a file server's clock beside the node's (judgement)
LATE_S = 120.0  # TensorBoard's flush after the run's end was noted
CAPPED = "walk-capped: not all of the work directory was looked at"

_SKIP_DIRS = frozenset(
    (
        ".git", "site-packages", "node_modules", "__pycache__", ".cache", "envs", ".venv", "venv", "conda",
        "miniconda3", "anaconda3", "miniforge3", "mambaforge", "data", "datasets", ".local", ".cargo", "proc",
    )
)  # fmt: skip
_NAMES = frozenset(
    (
        "metrics.jsonl", "progress.jsonl", "train.jsonl", "log.jsonl", "training_log.jsonl", "result.json",
        "metrics.csv", "progress.csv", "measurements.csv", "training_log.csv", "train_log.csv", "log.csv",
        "history.csv", "results.csv", "md.log", "log.lammps", "OSZICAR", "rsl.out.0000", "rsl.error.0000",
        "progress.txt", "train.log", "training.log", "log.txt", "train_log.txt", "stats.jsonl",
        "trainer_log.jsonl", "logging.jsonl", "scalars.json",
        "trainer_state.json", "mlflow.db", "wandb-metadata.json",
        "Train_Samples_train_loss.csv", "Train_Samples_lr.csv",
    )
)  # fmt: skip


class Hit(NamedTuple):
    """A file of a known name that was changed during the run."""

    path: str


def is_known(path: str) -> bool:
    """Whether a file's name is one that trainings give to their progress."""
    name = path.rpartition("/")[2]
    if name in _NAMES or "events.out.tfevents." in name or name.endswith((".wandb", "monitor.csv")):
        return True
    if "/metrics/" not in path or "/metrics/system/" in path:
        return False
    return "/mlruns/" in path or ("/plots/metrics/" in path and path.endswith(".tsv"))


class Walked(NamedTuple):
    """What a look found. `saved`: folder -> checkpoints in it; `newest`: -> paths of the last of them."""

    hits: list[Hit]
    problems: list[str]
    saved: dict[str, list[Saved]]
    newest: dict[str, list[str]]


class _Look:
    """The state of one look. Folders inside checkpoints come last and have entries of their own to spend:
    80 checkpoints of 64 shards each would leave nothing for the logs beside them."""

    def __init__(self, root: str, device: int, times: tuple[float, float]) -> None:
        self.found = Walked([], [], {}, {})
        self.queue = deque([(root, 0)])  # folders and their depth
        self.inside: deque[tuple[str, int]] = deque()  # … inside checkpoints
        self.device = device
        self.from_at, self.until_at = times
        self.until = time.monotonic() + MAX_S
        self.saves: list[sizes.Save] = []

    def is_over(self) -> bool:
        """Whether the time is up, or as much is found as may be."""
        return time.monotonic() > self.until or len(self.found.hits) >= MAX_FOUND


def walk(root: str, from_at: float, until_at: float) -> Walked:
    """Files and checkpoints below `root` changed within the time by ctime and mtime. Breadth first."""
    if not os.path.isabs(root):
        return Walked([], ["walk: the work directory has no absolute path"], {}, {})
    try:
        device = os.stat(root).st_dev
    except OSError as error:
        return Walked([], [f"walk: work directory: {os.strerror(error.errno or 0)}"], {}, {})
    look = _Look(root, device, (from_at, until_at))
    for queue in (look.queue, look.inside):
        look.found.problems.extend(one for one in _go_through(queue, look) if one not in look.found.problems)
    found = sizes.measured(look.saves, lambda seen: changed_within(seen, from_at, until_at))
    look.found.saved.update(found.saved)
    look.found.newest.update(found.newest)
    look.found.problems.extend(found.problems)
    return look.found


def _go_through(queue: "deque[tuple[str, int]]", look: _Look) -> list[str]:
    """Every folder of the queue; what was left out. The rest of a full folder comes after all others."""
    rests: deque[tuple[str, int, int]] = deque()  # folder, depth, how many entries of it were looked at
    n = n_cut = 0
    while queue or rests:
        folder, depth, begin = (*queue.popleft(), 0) if queue else rests.popleft()
        try:
            entries, left = _entries(folder, begin, look)
        except OSError:
            continue
        if len(entries) > MAX_ENTRIES - n:
            entries, left = entries[: MAX_ENTRIES - n], True
        for entry in entries:
            n += 1
            if look.is_over():
                return [CAPPED]
            try:
                _visit(entry, (folder, depth, queue is look.inside), look)
            except OSError:
                continue
        if left and entries:
            rests.append((folder, depth, begin + len(entries)))
        n_cut += left and not entries
        if n >= MAX_ENTRIES and (queue or rests):
            break
    n_cut += len(rests)
    full = f"walk-capped: {n_cut} folders with more than {MAX_AT_ONCE} entries were looked at in part"
    return [CAPPED] * bool(queue) + [full] * bool(n_cut)


def _entries(folder: str, begin: int, look: _Look) -> "tuple[list[os.DirEntry[str]], bool]":
    """At most MAX_AT_ONCE entries of a folder from the one of that number on, and whether there are more.

    Folders and names that progress has come first, so that a folder of a million pictures hides no log in it;
    it is not listed to its end.
    """
    listed: list[tuple[bool, str, os.DirEntry[str]]] = []
    with os.scandir(folder) as listing:
        for entry in islice(listing, MAX_LISTED + 1):
            listed.append((not _leads_on(entry), entry.name, entry))
            if len(listed) % 256 == 0 and look.is_over():
                break
    left = len(listed) > min(begin + MAX_AT_ONCE, MAX_LISTED)
    listed.sort(key=itemgetter(0, 1))
    return [entry for _, _, entry in listed[begin : begin + MAX_AT_ONCE]], left


def _leads_on(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a folder or has a name that progress has."""
    try:
        return entry.is_dir(follow_symlinks=False) or is_known(entry.path)
    except OSError:
        return False


def _visit(entry: "os.DirEntry[str]", place: tuple[str, int, bool], look: _Look) -> None:
    """One entry: a folder to look into, a hit, a checkpoint, or nothing."""
    folder, depth, inside = place
    is_folder = entry.is_dir(follow_symlinks=False)
    counter = None if inside else counter_of(entry.name, folder, is_folder)
    if is_folder:
        deep = "/mlruns/" in entry.path  # …/mlruns/<experiment>/<run>/metrics/train/loss
        wanted = depth < MAX_DEPTH + deep and entry.name not in _SKIP_DIRS
        if wanted and entry.stat(follow_symlinks=False).st_dev == look.device:
            queue = look.queue if not inside and counter is None else look.inside
            queue.append((entry.path, depth + 1))
    elif is_known(entry.path):
        _hit(entry, look)
    if counter is not None:
        _save(entry, folder, counter, look)


def _hit(entry: "os.DirEntry[str]", look: _Look) -> None:
    """A file of a known name, if it was changed in the run."""
    hits = look.found.hits
    if any(hit.path == entry.path for hit in hits):
        return  # a folder that grows meanwhile may show a name twice
    run, mlflow, _ = entry.path.rpartition("/metrics/")
    if mlflow and sum(hit.path.startswith(f"{run}/metrics/") for hit in hits) >= MAX_KEYS:
        return
    seen = entry.stat(follow_symlinks=False)
    if stat.S_ISREG(seen.st_mode) and changed_within(seen, look.from_at, look.until_at):
        hits.append(Hit(entry.path))


def _save(entry: "os.DirEntry[str]", folder: str, counter: tuple[int, bool], look: _Look) -> None:
    """A checkpoint of the user's own, if it was changed in the run. It is measured after the look."""
    seen = entry.stat(follow_symlinks=False)
    kind = stat.S_IFMT(seen.st_mode)
    mine = seen.st_uid == os.geteuid() and kind in (stat.S_IFREG, stat.S_IFDIR)
    if mine and changed_within(seen, look.from_at, look.until_at):
        look.saves.append(sizes.Save(folder, entry.path, *counter, seen))


def changed_within(seen: os.stat_result, from_at: float, until_at: float) -> bool:
    """Whether a file was last changed during the run: mtime may be set back, ctime not, so both."""
    changed = min(seen.st_mtime, seen.st_ctime)
    return from_at - EARLY_S <= changed and seen.st_ctime <= until_at + LATE_S
