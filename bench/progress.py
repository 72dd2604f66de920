"""How fast each format is read, in CPU time of one core, and what others take for the same event files.

Each row is a process of its own that reads its files several times, the whole way from bytes to tracks, all
formats on: made streams in which a fifth of the lines are records (bench/_logs.py), made files of records
alone, and the real logs of the shared data folder, by the format that they turn out to be. Event files are
read by our reader alone as well, beside tensorboard's EventFileLoader, its EventAccumulator without a limit
and tbparse (`tools/bootstrap peers`); `same` says whether they gave our points: count and value of each.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench._events_peer import PEERS
from bench._logs import FILES, RECORDS, make_file, make_stream

Row = dict[str, Any]
_ROOT = Path(__file__).resolve().parent.parent
_TAGS = ("train/loss", "train/lr", "train/grad_norm", "perf/tokens_per_s", "eval/loss")
_LOGS = ("progress", "progress_samples", "paired")
# Not text: read by formats of their own.
_OTHER = frozenset(("tfevents", "wandb", "hfstate", "csv", "mlflow"))
PATTERNS = (  # those of docs/progress.md
    r"mycode: ^cycle +(?P<step>\d+) of (?P<total>\d+)",
    r"solver: ^\[(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\] sweep (?P<step>\d+) residual (?P<loss>\S+)",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--mib", type=float, default=8.0, help="size of each made log")
    parser.add_argument("--scalars", type=int, default=100_000, help="in the made event file")
    parser.add_argument("--times", type=int, default=5, help="that each file is read")
    parser.add_argument("--data", type=Path, default=_ROOT.parent / "shared" / "data", help="of real logs")
    parser.add_argument("--peers", type=Path, default=_ROOT / ".venv-peers" / "bin" / "python")
    parser.add_argument("--seed", type=int, default=1)


def measure(options: argparse.Namespace) -> list[Row]:
    """A row for each kind of file and reader."""
    folder = Path(tempfile.mkdtemp(prefix="guard-bench-"))
    try:
        return [
            *event_rows(folder, options),
            *_stream_rows(folder, options),
            *_file_rows(folder, options),
            *_real_rows(options),
        ]
    finally:
        shutil.rmtree(folder)


def event_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """The made event file and all real ones, by us and by the peers."""
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(folder / "events"), max_queue=1000)
    for n in range(options.scalars // len(_TAGS)):
        for index, tag in enumerate(_TAGS):
            writer.add_scalar(tag, (n * 7 + index) % 1009 / 101, n, walltime=1.7e9 + n * 1.5)
    writer.close()
    sets = {"made": sorted((folder / "events").iterdir()), "real": _real(options.data, "*tfevents*")}
    rows = []
    for name, paths in sets.items():
        if not paths:
            continue
        ours = _run(_ours("scalars", options.times, ()), paths)
        rows.append(_row(f"event files, {name}: our reader", paths, ours))
        rows.append(
            _row(f"event files, {name}: to tracks", paths, _run(_ours("unit", options.times, ()), paths))
        )
        for peer in PEERS:
            command = [str(options.peers), str(_ROOT / "bench" / "_events_peer.py"), peer, str(options.times)]
            theirs = _run(command, paths) if options.peers.exists() else None
            same = None if theirs is None else _compare(ours["files"], theirs["files"])
            rows.append(_row(f"event files, {name}: {peer}", paths, theirs, same))
    return rows


def _stream_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Text in which a fifth of the lines are records."""
    rows = []
    for name in (*RECORDS, "mixed"):
        path = folder / f"{name}.out"
        path.write_bytes(make_stream(name, options.seed, int(options.mib * 2**20))[0])
        rows.append(_row(f"a fifth: {name}", [path], _run(_ours("unit", options.times, ()), [path])))
    patterns = _run(_ours("unit", options.times, PATTERNS), [path])
    return [*rows, _row(f"a fifth: mixed, {len(PATTERNS)} site patterns", [path], patterns)]


def _file_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Files of records alone."""
    rows = []
    for name in FILES:
        where, data = make_file(name, int(options.mib * 2**20))
        path = folder / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        rows.append(_row(f"records alone: {name}", [path], _run(_ours("unit", options.times, ()), [path])))
    return rows


def _real_rows(options: argparse.Namespace) -> list[Row]:
    """The real logs by format, then all texts together. Power readings and settings are texts, too."""
    paths = _real(options.data, "*")
    if not paths:
        return []
    by_source: dict[str, list[Path]] = defaultdict(list)
    for path, (_, source) in zip(paths, _run(_ours("unit", 0, ()), paths)["files"], strict=True):
        by_source[source].append(path)
    texts = [path for source, each in by_source.items() if source not in _OTHER for path in each]
    groups = {
        **{source or "no progress in it": each for source, each in sorted(by_source.items())},
        "ALL TEXT": texts,
    }
    return [
        _row(f"real: {name}", each, _run(_ours("unit", options.times, ()), each))
        for name, each in groups.items()
    ]


def _real(data: Path, pattern: str) -> list[Path]:
    """The real logs there are; none where the folder does not stand beside the checkout."""
    folders = [data / name for name in _LOGS]
    return sorted(path for folder in folders for path in folder.rglob(pattern) if path.is_file())


def _ours(what: str, times: int, patterns: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "bench._read_logs", what, str(times), json.dumps(patterns)]


def _run(command: list[str], paths: Iterable[Path]) -> dict[str, Any]:
    """What the reading process said."""
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run([*command, *map(str, paths)], cwd=_ROOT, env=env, check=True, capture_output=True)
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


def _compare(ours: list[list[Any]], theirs: list[list[Any]]) -> str:
    """Files in which both have the same points, and how many more the other has in all."""
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    more = sum(a[0] - b[0] for a, b in zip(ours, theirs, strict=True))
    return f"{same}/{len(ours)} files" + (f", {-more:+d} points" if more else "")


def _row(what: str, paths: Sequence[Path], said: dict[str, Any] | None, same: str | None = None) -> Row:
    """One line of the table; null: not measured, or nothing to compare."""
    size_mb = sum(path.stat().st_size for path in paths) / 1e6
    row: Row = {"what": what, "files": len(paths), "mb": size_mb}
    if said is None:
        return {
            **row,
            **dict.fromkeys(("n", "mb_s", "mb_s_min", "mb_s_max", "n_per_s", "rss_mib")),
            "same": same,
        }
    n = sum(each[0] for each in said["files"])
    middle = statistics.median(said["seconds"])
    return {
        **row,
        "n": n,
        "mb_s": size_mb / middle,
        "mb_s_min": size_mb / max(said["seconds"]),
        "mb_s_max": size_mb / min(said["seconds"]),
        "n_per_s": round(n / middle),
        "rss_mib": said["rss_mib"],
        "same": same,
    }
