"""A bounded look through the work directory for files that are opened, appended and closed, and checkpoints.

Runs in the opener, as the job's user. No symbolic link is followed, no other file system entered.
"""

import os
import stat
import time
from collections import deque
from typing import NamedTuple

from slurm_guard.progress.birth import birth_at
from slurm_guard.progress.checkpoints import MOST as MAX_CHECKPOINTS
from slurm_guard.progress.checkpoints import Saved, counter_of

MAX_DEPTH = 4
MAX_ENTRIES = 5_000
MAX_S = 2.0
MAX_FOUND = 64
MAX_KEYS = 16  # files of one MLflow or DVCLive run: each repeats the steps of the others
EARLY_S = 2.0  # a file server's clock beside the node's (judgement)
LATE_S = 120.0  # TensorBoard's flush after the run's end was noted
MAX_PARTS = 64  # files of a checkpoint that are added up: its size need not be exact (judgement)

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
    """What a look found. `saved`: folder -> checkpoints in it."""

    hits: list[Hit]
    problems: list[str]
    saved: dict[str, list[Saved]]


class _Look(NamedTuple):
    """The state of one look."""

    found: Walked
    queue: "deque[tuple[str, int, bool]]"  # a folder, its depth, whether it is inside a checkpoint
    device: int
    from_at: float
    until_at: float


def walk(root: str, from_at: float, until_at: float) -> Walked:
    """Files and checkpoints below `root` changed within the time by ctime and mtime. Breadth first."""
    found = Walked([], [], {})
    if not os.path.isabs(root):
        found.problems.append("walk: the work directory has no absolute path")
        return found
    until = time.monotonic() + MAX_S
    try:
        device = os.stat(root).st_dev
    except OSError as error:
        found.problems.append(f"walk: work directory: {os.strerror(error.errno or 0)}")
        return found
    look = _Look(found, deque([(root, 0, False)]), device, from_at, until_at)
    n = 0
    while look.queue:
        folder, depth, inside = look.queue.popleft()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            n += 1
            if n > MAX_ENTRIES or time.monotonic() > until or len(found.hits) >= MAX_FOUND:
                found.problems.append("walk-capped: not all of the work directory was looked at")
                return found
            try:
                n += _visit(entry, (folder, depth, inside), look)
            except OSError:
                continue
    return found


def _visit(entry: "os.DirEntry[str]", place: tuple[str, int, bool], look: _Look) -> int:
    """One entry: a folder to look into, a hit, a checkpoint, or nothing. How many more were looked at."""
    folder, depth, inside = place
    is_folder = entry.is_dir(follow_symlinks=False)
    counter = None if inside else counter_of(entry.name, folder, is_folder)
    if is_folder:
        deep = "/mlruns/" in entry.path  # …/mlruns/<experiment>/<run>/metrics/train/loss
        wanted = depth < MAX_DEPTH + deep and entry.name not in _SKIP_DIRS
        if wanted and entry.stat(follow_symlinks=False).st_dev == look.device:
            look.queue.append((entry.path, depth + 1, inside or counter is not None))
    elif is_known(entry.path):
        _hit(entry, look)
    return 0 if counter is None else _save(entry, folder, counter, look)


def _hit(entry: "os.DirEntry[str]", look: _Look) -> None:
    """A file of a known name, if it was changed in the run."""
    hits = look.found.hits
    run, mlflow, _ = entry.path.rpartition("/metrics/")
    if mlflow and sum(hit.path.startswith(f"{run}/metrics/") for hit in hits) >= MAX_KEYS:
        return
    seen = entry.stat(follow_symlinks=False)
    if stat.S_ISREG(seen.st_mode) and changed_within(seen, look.from_at, look.until_at):
        hits.append(Hit(entry.path))


def _save(entry: "os.DirEntry[str]", folder: str, counter: tuple[int, bool], look: _Look) -> int:
    """A checkpoint of the user's own, if it was changed in the run: its name, size and times."""
    seen = entry.stat(follow_symlinks=False)
    kind = stat.S_IFMT(seen.st_mode)
    mine = seen.st_uid == os.geteuid() and kind in (stat.S_IFREG, stat.S_IFDIR)
    if not mine or not changed_within(seen, look.from_at, look.until_at):
        return 0
    saved = look.found.saved.setdefault(folder, [])
    if sum(map(len, look.found.saved.values())) >= MAX_CHECKPOINTS:
        return 0
    size_b, n = (512 * seen.st_blocks, 0) if kind == stat.S_IFREG else _size_of(entry.path)
    saved.append(Saved(*counter, seen.st_ctime_ns / 1e9, birth_at(entry.path), size_b))
    return n


def _size_of(folder: str) -> tuple[int, int]:
    """(bytes on disk, entries looked at) of a checkpoint's files, two levels deep."""
    size_b = n = 0
    queue = [(folder, 0)]
    while queue:
        path, depth = queue.pop()
        for entry in os.scandir(path):
            n += 1
            if n > MAX_PARTS:
                return size_b, n
            if entry.is_dir(follow_symlinks=False):
                if depth == 0:
                    queue.append((entry.path, 1))
            else:
                size_b += 512 * entry.stat(follow_symlinks=False).st_blocks
    return size_b, n


def changed_within(seen: os.stat_result, from_at: float, until_at: float) -> bool:
    """Whether a file was last changed during the run: mtime may be set back, ctime not, so both."""
    changed = min(seen.st_mtime, seen.st_ctime)
    return from_at - EARLY_S <= changed and seen.st_ctime <= until_at + LATE_S
