"""One `collect` of many nodes that sealed at the same time: time, memory, open files; and what comes after.

Each node has a ticket and the sealed hour of a run on one GPU, `--windows` windows. Steps, each in a process
of its own: all of it; again, with nothing new; a lake that was full half way, and the call that catches up;
and segments of one node in twenty that came late. `most open`: what /proc/self/fd had at most, looked at each
2 ms. Times are medians of `--repeats`.
"""

import argparse
import os
import shutil
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench._apart import apart
from slurm_guard import wire
from slurm_guard.errors import GuardError
from slurm_guard.lake import ingest
from tests.spools import AT, BOOT, CLUSTER, make, put, segment, single

_EVERY_S = 0.002


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--nodes", type=int, default=2_000)
    parser.add_argument("--windows", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Each step on the lake that the one before left."""
    done: dict[str, list[dict[str, Any]]] = {}
    with TemporaryDirectory(prefix="guard-bench-") as name:
        folder = Path(name)
        nodes = [f"g{i:05}" for i in range(options.nodes)]
        spool = folder / "spool"
        for node in nodes:
            _seal(spool, node, 0, options.windows)
        for step in range(options.repeats):
            for what, row in _round(folder, nodes, options, step + 1):
                done.setdefault(what, []).append(row)
    return [_merged(what, rows) for what, rows in done.items()]


def _round(
    folder: Path, nodes: list[str], options: argparse.Namespace, seq: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    spool, lake, other = folder / "spool", folder / "lake", folder / "other"
    yield "all nodes sealed", _apart(spool, lake)
    yield "again, nothing new", _apart(spool, lake)
    yield "full after half of it", _apart(spool, other, 2 * len(nodes) // 2)
    yield "the call that catches up", _apart(spool, other)
    for node in nodes[::20]:
        _seal(spool, node, seq, options.windows)
    yield "late segments of 1 in 20", _apart(spool, lake)
    for node in nodes[::20]:
        for path in (spool / node / "sealed").glob(f"*.{seq:06d}.jsonl"):
            path.unlink()
    shutil.rmtree(lake)
    shutil.rmtree(other)


# Made once: the builder looks up every field's type.
_WINDOW = make(wire.Window)
_TICKET = make(wire.Ticket)


def _seal(spool: Path, node: str, seq: int, n_windows: int) -> None:
    run = wire.run_key(CLUSTER, 42, node, BOOT, AT)
    start_at = AT + 3600.0 * seq
    if seq == 0:
        put(spool, "tickets", f"{wire.stem(run)}.json", single(_TICKET._replace(run=run, node=node)), node)
    records = [
        _WINDOW._replace(run=run, start_at=start_at + 60 * i, end_at=start_at + 60 * (i + 1), gpu="GPU-0")
        for i in range(n_windows)
    ]
    name, text = segment(records, run=run, seq=seq, node=node)
    put(spool, "sealed", name, text, node)


def _apart(spool: Path, lake: Path, full_after: int | None = None) -> dict[str, Any]:
    (took_s, n_new, n_known, most), peak_mib = apart(partial(_collect, spool, lake, full_after))
    return {"new": n_new, "known": n_known, "s": took_s, "most open": most, "peak MiB": round(peak_mib)}


def _collect(spool: Path, lake: Path, full_after: int | None) -> tuple[float, int, int, int]:
    """Seconds, files new and known, open files. `full_after`: files, after which no space is left."""
    real, calls = ingest.free_of, count()
    if full_after is not None:
        ingest.free_of = lambda folder: 1 << 40 if next(calls) < full_after else 0
    with _Watched() as watched:
        begin = time.perf_counter()
        try:
            report = ingest.collect([spool], lake, least_free_b=1)
            n_new, n_known = report.n_new, report.n_known
        except GuardError as error:
            if full_after is None or error.slug != "lake-full":
                raise
            n_new, n_known = full_after, 0
        finally:
            ingest.free_of = real
        took_s = time.perf_counter() - begin
    return took_s, n_new, n_known, watched.most


class _Watched:
    """The most files that this process has open."""

    def __enter__(self) -> "_Watched":
        self.most, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_S):
            self.most = max(self.most, len(os.listdir("/proc/self/fd")))  # noqa: PTH208

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def _merged(what: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    took = [row["s"] for row in rows]
    return {
        "what": what,
        "new": rows[0]["new"],
        "known": rows[0]["known"],
        "s": median(took),
        "least s": min(took),
        "most s": max(took),
        "most open": max(row["most open"] for row in rows),
        "peak MiB": max(row["peak MiB"] for row in rows),
    }
