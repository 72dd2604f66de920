"""A bounded look through the work directory for files that are opened, appended and closed.

Runs in the opener, as the job's user. No symbolic link is followed, no other file system entered.
"""

import os
import stat
import time
from collections import deque
from typing import NamedTuple

MAX_DEPTH = 4
MAX_ENTRIES = 5_000
MAX_S = 2.0
MAX_FOUND = 64
MAX_KEYS = 16  # files of one MLflow or DVCLive run: each repeats the steps of the others
EARLY_S = 2.0  # a file server's clock beside the node's (judgement)
LATE_S = 120.0  # TensorBoard's flush after the run's end was noted

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
        "trainer_state.json", "mlflow.db", "Train_Samples_train_loss.csv", "Train_Samples_lr.csv",
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


def walk(root: str, from_at: float, until_at: float) -> tuple[list[Hit], list[str]]:
    """(files below `root` changed within the time by ctime and mtime, problems). Breadth first."""
    if not os.path.isabs(root):
        return [], ["walk: the work directory has no absolute path"]
    problems: list[str] = []
    hits: list[Hit] = []
    until = time.monotonic() + MAX_S
    try:
        device = os.stat(root).st_dev
    except OSError as error:
        return [], [f"walk: work directory: {os.strerror(error.errno or 0)}"]
    queue = deque([(root, 0)])
    n = 0
    while queue:
        folder, depth = queue.popleft()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            n += 1
            if n > MAX_ENTRIES or time.monotonic() > until or len(hits) >= MAX_FOUND:
                return hits, [*problems, "walk-capped: not all of the work directory was looked at"]
            _visit(entry, depth, (hits, queue), (device, from_at, until_at))
    return hits, problems


def _visit(
    entry: "os.DirEntry[str]",
    depth: int,
    into: tuple[list[Hit], "deque[tuple[str, int]]"],
    bounds: tuple[int, float, float],
) -> None:
    """One entry: a folder to look into, a hit, or nothing."""
    hits, queue = into
    device, from_at, until_at = bounds
    try:
        if entry.is_dir(follow_symlinks=False):
            deep = "/mlruns/" in entry.path  # …/mlruns/<experiment>/<run>/metrics/train/loss
            wanted = depth < MAX_DEPTH + deep and entry.name not in _SKIP_DIRS
            if wanted and entry.stat(follow_symlinks=False).st_dev == device:
                queue.append((entry.path, depth + 1))
            return
        if not is_known(entry.path):
            return
        seen = entry.stat(follow_symlinks=False)
    except OSError:
        return
    run, mlflow, _ = entry.path.rpartition("/metrics/")
    if mlflow and sum(hit.path.startswith(f"{run}/metrics/") for hit in hits) >= MAX_KEYS:
        return
    if stat.S_ISREG(seen.st_mode) and changed_within(seen, from_at, until_at):
        hits.append(Hit(entry.path))


def changed_within(seen: os.stat_result, from_at: float, until_at: float) -> bool:
    """Whether a file was last changed during the run: mtime may be set back, ctime not, so both."""
    changed = min(seen.st_mtime, seen.st_ctime)
    return from_at - EARLY_S <= changed and seen.st_ctime <= until_at + LATE_S
