"""Logs written honestly, back-filled, made in advance, in bulk and replayed: which records are flagged?

Every append-only format is written by real programs of an ordinary user, each with its own way to hold its
files, while the sampler's own observer watches sizes and the real opener, parser and bracket read. The
records' clock runs faster than the machine's: `--minutes` of it are a run of `--hours`.
"""

import argparse
import shutil
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from math import comb
from pathlib import Path
from typing import Any, NamedTuple

from bench.logs.formats import CLOCKLESS
from bench.logs.watch import Course, Job
from slurm_guard.progress.node import Result

LOOK_S = 60.0  # of the records' clock: node.file_interval_s
READ_S = 3600.0  # node.segment_s: a living run's logs are read so often …
FIRST_READ_S = 600.0  # … and first so early
JOBS = (
    ("honest", "held"), ("honest", "buffered"), ("honest", "reopened"), ("honest", "lazy"),
    ("honest", "stalled"), ("restarted", "held"), ("elsewhere", "held"), ("elsewhere", "buffered"),
    ("backfilled", "held"), ("backfilled", "reopened"), ("catching-up", "held"),
    ("premade", "held"), ("premade", "copied"), ("ahead", "held"), ("ahead", "reopened"),
    ("bulk", "held"), ("bulk", "copied"), ("replayed", "held"), ("replayed", "reopened"), ("pasted", "held"),
    ("replayed-today", "held"), ("replayed-zone", "held"),
    ("restamped", "held"),
)  # fmt: skip
HONEST = frozenset(("honest", "restarted", "elsewhere"))
BEGIN, END = "<!-- table -->", "<!-- end -->"
TELLING = frozenset(("backdated", "future", "bulk", "rewritten", "inode-changed"))


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class Seen(NamedTuple):
    """One log file of one job. `n`: records read or left out; `dropped`: from before the run, left out."""

    plan: str
    style: str
    name: str  # of the file in the job's folder
    source: str
    clock: bool
    n: int
    dropped: int
    flagged: int
    unwatched: int
    flags: dict[str, int]

    def caught(self) -> int:
        """Records that are not taken for what they claim."""
        return self.flagged + self.dropped


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--records", type=int, default=600, help="of each log")
    parser.add_argument("--hours", type=float, default=6.0, help="length of each run in the records' clock")
    parser.add_argument("--minutes", type=float, default=3.0, help="and in the machine's")
    parser.add_argument("--by-format", action="store_true", help="a row for each format as well")
    parser.add_argument("--page", type=Path, help="put the table between the marks in this page")
    parser.add_argument("--only", action="append", metavar="PLAN", help="this behaviour alone; repeatable")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each behaviour and way to hold the files; then all honest ones together."""
    seen = play(options)
    rows = [
        _row(
            f"{plan}, {style}", [one for one in seen if (one.plan, one.style) == (plan, style) and one.clock]
        )
        for plan, style in JOBS
        if any((one.plan, one.style) == (plan, style) for one in seen)
    ]
    honest = [one for one in seen if one.plan in HONEST]
    rows.append(_row("all honest, clockless too", honest))
    bulk = [one for one in seen if not one.clock and one.plan in ("bulk", "premade", "pasted")]
    rows.append(_row("clockless, written at once", bulk))
    if options.page is not None:
        _put(options.page, _markdown(rows) + "\n" + _markdown(matrix(seen)))
    if options.by_format:
        rows += [
            _row(f"{one.plan}, {one.style}: {one.name}", [one])
            for one in sorted(seen, key=lambda one: (one.plan, one.style, one.name))
        ]
    return rows


def matrix(seen: list[Seen]) -> list[dict[str, Any]]:
    """A row for each file's name, a column for each behaviour: the share that is flagged or left out."""
    rows: dict[str, dict[str, Any]] = {}
    for name in sorted({one.name for one in seen}):
        mine = {(one.plan, one.style): one for one in seen if one.name == name}
        source = next(iter(mine.values())).source
        rows[name] = {"file": f"`{name}`", "read as": source}
        for job in JOBS:
            one = mine.get(job)
            rows[name][f"{job[0]}, {job[1]}"] = (
                100.0 * one.caught() / one.n if one is not None and one.n else None
            )
    return list(rows.values())


def _markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    heads = list(rows[0])
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' --: |' * (len(heads) - 1)}"]
    for row in rows:
        cells = [_cell(value) for value in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _put(page: Path, text: str) -> None:
    """The text between the page's marks."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}", "utf-8")


def play(options: argparse.Namespace) -> list[Seen]:
    """Every job at once, to its end."""
    folder = Path(tempfile.mkdtemp(prefix="guard-forged-", dir="/var/tmp"))
    folder.chmod(0o755)
    course = Course(
        time.time() + 3.0, 60.0 * options.hours / options.minutes, 3600.0 * options.hours, options.records
    )
    jobs = [
        Job(folder / f"{plan}-{style}", plan, style, course)
        for plan, style in JOBS
        if not options.only or plan in options.only
    ]
    try:
        for job in jobs:
            job.start()
        watch(jobs, course)
        for job in jobs:
            job.settle()
        return [one for job in jobs for one in _files_of(job, job.read())]
    finally:
        for job in jobs:
            if job.program is not None:
                job.program.kill()
                job.program.wait()
        shutil.rmtree(folder, ignore_errors=True)


def watch(jobs: list[Job], course: Course) -> None:
    """Look every minute, read every hour, of the records' clock, until all programs are done."""
    every_s, read_s = LOOK_S / course.factor, READ_S / course.factor
    next_look, next_read = course.t0 - 2.0, course.t0 + FIRST_READ_S / course.factor
    readings: list[tuple[Job, Future[Result]]] = []
    with ThreadPoolExecutor(1) as pool:
        while any(job.program is not None and job.program.poll() is None for job in jobs):
            now = time.time()
            if now >= next_look:
                next_look = max(now, next_look + every_s)
                for job in jobs:
                    job.look()
            if now >= next_read:
                next_read = now + read_s
                readings += [(job, pool.submit(job.read)) for job in jobs if job.style == "reopened"]
            for job, future in [one for one in readings if one[1].done()]:
                job.adopt(future.result())
                readings.remove((job, future))
            for job in jobs:
                job.poll()
            time.sleep(min(0.02, every_s / 4))


def _files_of(job: Job, result: Result) -> list[Seen]:
    """What the reading says of each file."""
    out = []
    for log in result.logs:
        if log.source is None and not any("before-run" in text for text in log.problems):
            continue
        points = [p for p in result.points if p.file == log.file and p.phase == "train"]
        dropped = sum(int(text.split()[1]) for text in log.problems if text.startswith("before-run: "))
        flags: dict[str, int] = {}
        for point in points:
            for flag in point.flags:
                flags[flag] = flags.get(flag, 0) + 1
        name = log.path[len(str(job.folder)) + 1 :]
        out.append(
            Seen(
                job.plan, job.style, _file(name), log.source or name, name not in CLOCKLESS,
                len(points) + dropped, dropped,
                sum(bool(TELLING.intersection(point.flags)) for point in points),
                sum(point.obs_lo_at is None for point in points), flags,
            )
        )  # fmt: skip
    return out


def _file(name: str) -> str:
    """A name that is the same in every job."""
    return "runs/events.out.tfevents.*" if "tfevents" in name else name


def _row(what: str, seen: list[Seen]) -> dict[str, Any]:
    n, caught = sum(one.n for one in seen), sum(one.caught() for one in seen)
    low, high = exact(caught, n)
    flags: dict[str, int] = {}
    for one in seen:
        for flag, count in one.flags.items():
            flags[flag] = flags.get(flag, 0) + count
    worst = max if "honest" in what or what.split(",")[0] in HONEST else min
    share = {flag: 100.0 * flags.get(flag, 0) / n if n else None for flag in ("backdated", "future", "bulk")}
    return {
        "what": what,
        "logs": len(seen),
        "records": n,
        "flagged or left out %": 100.0 * caught / n if n else None,
        "from %": 100.0 * low,
        "to %": 100.0 * high,
        "worst log %": 100.0 * worst((one.caught() / one.n for one in seen if one.n), default=0.0),
        **{f"{flag} %": value for flag, value in share.items()},
        "older than the run %": 100.0 * sum(one.dropped for one in seen) / n if n else None,
        "unwatched %": 100.0 * sum(one.unwatched for one in seen) / n if n else None,
    }  # fmt: skip


def exact(hits: int, n: int, share: float = 0.05) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share, by bisection; (0, 1) for none."""
    if n == 0:
        return 0.0, 1.0

    def tail(p: float, above: bool) -> float:
        """P(X >= hits) or P(X <= hits)."""
        return sum(_binomial(n, k, p) for k in (range(hits, n + 1) if above else range(hits + 1)))

    def solve(above: bool) -> float:
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            if (tail(middle, above) < share / 2) == above:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    return (0.0 if hits == 0 else solve(True)), (1.0 if hits == n else solve(False))


def _binomial(n: int, k: int, p: float) -> float:
    return float(comb(n, k)) * p**k * (1 - p) ** (n - k) if n < 900 else _by_logs(n, k, p)


def _by_logs(n: int, k: int, p: float) -> float:
    from math import exp, lgamma, log

    if p <= 0.0 or p >= 1.0:
        return float((k == 0 and p <= 0.0) or (k == n and p >= 1.0))
    return exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log(1 - p))
