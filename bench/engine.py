"""What the engine costs beside the audit's own work: a night in parts, its head, and shards of a cluster.

One night of `slurm-guard simulate`, CPU seconds, one process (give it POLARS_MAX_THREADS=1, as the engine's
have): every part's time in each of the three passes; the audit again with everything kept, which is what the
head does alone; and again with a late segment of one node. From these an estimate of the time with N shards:
the head, and in each pass the largest of N shares (engine/arrays.py deals them out) and `--overhead-s` from
sbatch to a task's first part. With `--slurm` that overhead is measured: the night is audited by job arrays,
here or where SLURM_CONF leads.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

from slurm_guard.audit.facts import Facts
from slurm_guard.cli.audit import load_facts
from slurm_guard.config import Config
from slurm_guard.document import to_json
from slurm_guard.engine import arrays, jobs, local, parts
from slurm_guard.engine.folder import Folder
from slurm_guard.engine.run import Means, audit_lake
from slurm_guard.engine.tasks import Task
from slurm_guard.engine.tasks import make as make_task

_WINDOW = (1_760_400_000.0, 1_760_486_400.0)
_SHARDS = (1, 2, 4, 8, 16, 32, 64)
Times = dict[str, list[tuple[Task, float]]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--gpus", type=int, default=400)
    parser.add_argument("--jobs-per-gpu", type=float, default=2.0)
    parser.add_argument("--part-gpu-h", type=float, default=150.0)
    parser.add_argument("--overhead-s", type=float, default=2.0, help="of a pass of arrays, beside its work")
    parser.add_argument("--slurm", type=int, nargs="*", default=[], help="audit by so many shards, too")
    parser.add_argument("--sbatch", nargs="*", default=[], help="options of sbatch")
    parser.add_argument("--verbose", action="store_true", help="each part's time on stderr")
    parser.add_argument("--folder", type=Path, help="where the lake is kept; shared, with --slurm")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows with the same keys; null where a number makes no sense."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        made = folder / f"engine{options.gpus}"
        if not (made / "sacct.txt").exists():
            words = ["--gpus", str(options.gpus), "--jobs", str(int(options.gpus * options.jobs_per_gpu))]
            _command(["simulate", *words, "--nights", "1", "--seed", "scale", "--out", str(made)])
        return _rows(made, Path(scratch) if not options.slurm else folder, options)


def _rows(made: Path, kept: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    means = Means(options.part_gpu_h, 1, Path(tempfile.mkdtemp(dir=kept)) / "parts")
    first, times, text = _timed(made, means)
    size = sum(p.stat().st_size for p in (means.folder or kept).rglob("*") if p.is_file())
    head, none, again = _timed(made, means)
    if text != again:
        raise SystemExit("two audits of one night differ")
    if options.verbose:
        _show(times)
    n_parts = len(times["survey"])
    hours = _gpu_h(made)
    rows = [
        _row("first audit", n_parts, first, made=_n(times), kib_a_gpu_h=size / 1024 / hours),
        _row("again, all kept: the head alone", n_parts, head, made=_n(none)),
    ]
    for step, every in times.items():
        mine = [spent for _, spent in every]
        rows.append(_row(f"{step}: all parts", len(mine), sum(mine), largest_s=max(mine)))
    segment = _add_late(made)
    late, some, _ = _timed(made, means)
    segment.unlink()
    rows.append(_row("again with a late segment of one node", n_parts, late, made=_n(some)))
    rows += [
        _row(f"{n} shards (estimate)", n_parts, _estimate(head, times, n, options.overhead_s))
        for n in _SHARDS
    ]
    return rows + [_by_slurm(made, means, n, (text, options.sbatch)) for n in options.slurm]


def _show(times: Times) -> None:
    """Each part's time beside its size, by which shares are dealt out."""
    for step, every in times.items():
        for task, spent in sorted(every, key=lambda one: one[1]):
            sys.stderr.write(f"{step} {task.size:10.1f} {len(task.places):6d} runs {spent:8.3f} s\n")


def _row(what: str, n_parts: int, s: float, made: int | None = None, **more: float) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(("largest_s", "kib_a_gpu_h", "sbatch_s", "first_line_s"))
    return {"what": what, "parts": n_parts, "made": made, "s": s, **empty, **more}


def _n(times: Times) -> int:
    return sum(map(len, times.values()))


def _facts(made: Path) -> Facts:
    return load_facts(_WINDOW, Config(), (made / "sacct.txt", None), made / "lake")


def _gpu_h(made: Path) -> float:
    return sum(run.n_gpus * (run.until_at - run.from_at) for run in _facts(made).runs) / 3600


def _timed(made: Path, means: Means) -> tuple[float, Times, str]:
    """CPU seconds of a whole audit in this process, those of each task, and the document."""
    times: Times = {"survey": [], "measure": [], "judge": []}

    def timed(site: parts.Site, night: Folder, task: Task) -> None:
        begun_s = time.process_time()
        make_task(site, night, task)
        times[task.step].append((task, time.process_time() - begun_s))

    local.__dict__["make"] = timed
    begun_s = time.process_time()
    text = _audit(made, means)
    local.__dict__["make"] = make_task
    return time.process_time() - begun_s, times, text


def _audit(made: Path, means: Means) -> str:
    ignore = (lambda _: None, lambda _: None)
    return to_json(audit_lake(_facts(made), made / "lake", means, ignore, None, lambda *_: None)[0])


def _add_late(made: Path) -> Path:
    """Another file of windows, of the node that comes first: its last hour again, measured anew."""
    path = min((made / "lake" / "v1" / "windows").rglob("*.parquet"))
    rows = pl.read_parquet(path, hive_partitioning=False)
    mine = rows.filter(pl.col("node") == rows["node"].min()).tail(480)
    late = path.with_name("late.parquet")
    mine.with_columns(pl.col("start_at", "end_at") + 0.001).write_parquet(late)
    return late


def _estimate(head_s: float, times: Times, n: int, overhead_s: float) -> float:
    spent = {task.name: s for every in times.values() for task, s in every}
    passes = ([task for task, _ in every] for every in times.values())
    return head_s + sum(overhead_s + _longest(arrays.share(tasks, n), spent) for tasks in passes)


def _longest(shares: Sequence[Sequence[Task]], spent: Mapping[str, float]) -> float:
    return max(sum(spent[task.name] for task in mine) for mine in shares)


def _by_slurm(made: Path, means: Means, n: int, given: tuple[str, list[str]]) -> dict[str, Any]:
    """The wall time, and how long sbatch took, and how long until a task's first line."""
    text, options = given
    submitted: list[tuple[float, float, str]] = []
    firsts: list[float] = []
    submit, watch = jobs.submit, arrays._watch

    def noted(*words: Any) -> str:
        at = time.time()
        job = submit(*words)
        submitted.append((at, time.time() - at, words[3]))
        return job

    def read(*words: Any) -> Any:
        lines = watch(*words)
        at, _, out = submitted[-1]
        for path in Path(out).parent.glob(Path(out).name.replace("%a", "*")):
            stamp = path.read_text("utf-8").partition(" ")[0]
            firsts.append(datetime.fromisoformat(stamp).timestamp() - at)
        return lines

    jobs.__dict__["submit"], arrays.__dict__["_watch"] = noted, read
    cluster = arrays.Cluster(n, tuple(options))
    fresh = Path(tempfile.mkdtemp(dir=made.parent)) / "parts"
    begun_s = time.monotonic()
    same = _audit(made, replace(means, folder=fresh, cluster=cluster)) == text
    wall_s = time.monotonic() - begun_s
    jobs.__dict__["submit"], arrays.__dict__["_watch"] = submit, watch
    row = _row(f"{n} shards{'' if same else ', ANOTHER DOCUMENT'} (wall)", len(firsts), wall_s)
    return {**row, "sbatch_s": median(s for _, s, _ in submitted), "first_line_s": median(firsts)}


def _command(words: list[str]) -> None:
    env = {**os.environ, "POLARS_MAX_THREADS": "1"}
    program = [sys.executable, "-c", "from slurm_guard.cli.app import main; main()"]
    subprocess.run([*program, *words], check=True, stdout=subprocess.DEVNULL, env=env)
