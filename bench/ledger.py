"""The core of the ledger three times, on the same files: by the audit's own functions, in SQL and in pandas.

docs/ledger-bench.md says what the core is and what it is given. Lakes are nights of `slurm-guard simulate`,
made once and kept in `--folder`. First each computes once, untimed: every figure of every run must be the
same in all three, and the audit's document must have the figures of each run of which it knows no more than
the core; else what differs is said and the exit status is 1. Then each runs `--times` times, in a process of
its own, in turns. Seconds are of reading, computing and writing, without start and imports; CPU time is of
all threads. `floor`: only reading the columns that are needed. DuckDB and pandas: `tools/bootstrap peers`.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
OURS = "polars (the audit's own)"
# What runs where: the peers' environment has nothing of ours.
PEERS = {"duckdb (SQL)": ("in_duckdb", ("duckdb",)), "pandas": ("in_pandas", ("pandas", "pyarrow"))}
FLOOR = "floor"
Row = dict[str, Any]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--gpus", type=int, nargs="+", default=[128, 400, 1000])
    parser.add_argument("--jobs-per-gpu", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, help="where the lakes are kept; else they are made anew")
    parser.add_argument("--made", type=Path, nargs="+", help="folders that simulate made; no other sizes")
    parser.add_argument("--times", type=int, default=5, help="that each computes after the first")
    parser.add_argument("--threads", type=int, default=2, help="of each")
    parser.add_argument("--peers", type=Path, default=_ROOT / ".venv-peers" / "bin" / "python")
    parser.add_argument("--plan", type=Path, help="write the SQL's plan, as it was run, of the last lake")


def measure(options: argparse.Namespace) -> list[Row]:
    """A row for each lake and way."""
    with TemporaryDirectory(prefix="guard-bench-") as name:
        scratch = Path(name)
        made = options.made or [_made(n, options.folder or scratch, options) for n in options.gpus]
        return [row for k, one in enumerate(made) for row in night_rows(one, scratch / str(k), options)]


def _made(gpus: int, folder: Path, options: argparse.Namespace) -> Path:
    """The lake of that many GPUs; made where there is none."""
    made = folder / f"gpus{gpus}"
    if not (made / "truth.parquet").exists():
        words = ["--gpus", str(gpus), "--jobs", str(int(gpus * options.jobs_per_gpu)), "--nights", "1"]
        program = str(Path(sys.executable).with_name("slurm-guard"))
        command = [program, "simulate", *words, "--seed", "scale", "--out", str(made)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return made


def night_rows(made: Path, scratch: Path, options: argparse.Namespace) -> list[Row]:
    """One lake: what all are given, whether all say the same, then the times."""
    reading = [sys.executable, "-m", "bench.ledgers.given", str(made), str(scratch / "given")]
    subprocess.run(reading, cwd=_ROOT, check=True)
    ways = {OURS: (sys.executable, "in_polars"), **_peers(options.peers)}
    for way in ways:
        _run(ways[way], made, scratch, scratch / way, options.threads)
    n_runs = _check(scratch, list(ways))
    took: dict[str, list[Row]] = {way: [] for way in (*ways, FLOOR)}
    for k in range(options.times):
        order = list(took) if k % 2 == 0 else list(took)[::-1]
        for way in order:
            command, out = (ways[OURS], Path("--floor")) if way == FLOOR else (ways[way], scratch / way)
            took[way].append(_run(command, made, scratch, out, options.threads))
    if options.plan is not None and "duckdb (SQL)" in ways:
        plan = _said(ways["duckdb (SQL)"], made, scratch, Path("--plan"), options.threads)
        options.plan.write_text(plan.replace(str(made), "LAKE"), "utf-8")
    return [_row(f"{made.name}: {way}", n_runs, took[way], took[FLOOR]) for way in took if took[way]]


def _peers(python: Path) -> dict[str, tuple[str, str]]:
    """Those that are installed; of the others it is said what is missing."""
    found: dict[str, tuple[str, str]] = {}
    for way, (module, packages) in PEERS.items():
        missing = [package for package in packages if not has(python, package)]
        if missing:
            words = f"{way} is left out: {' and '.join(missing)} not found by {python}"
            sys.stderr.write(f"{words}; tools/bootstrap peers installs what is missing\n")
        else:
            found[way] = (str(python), module)
    return found


def has(python: Path, package: str) -> bool:
    """Whether this interpreter can import the package."""
    if not python.exists():
        return False
    return subprocess.run([str(python), "-c", f"import {package}"], capture_output=True).returncode == 0


def _run(way: tuple[str, str], made: Path, scratch: Path, out: Path, threads: int) -> Row:
    """What a process took, as it says itself (bench/ledgers/timed.py)."""
    if not str(out).startswith("--"):
        out.mkdir(parents=True, exist_ok=True)
    said: Row = json.loads(_said(way, made, scratch, out, threads))
    return said


def _said(way: tuple[str, str], made: Path, scratch: Path, out: Path, threads: int) -> str:
    python, module = way
    names = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "GUARD_BENCH_THREADS")
    command = [python, "-m", f"bench.ledgers.{module}", str(made / "lake"), str(scratch / "given"), str(out)]
    env = {**os.environ, **dict.fromkeys(names, str(threads))}
    return subprocess.run(command, cwd=_ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


def _check(scratch: Path, ways: list[str]) -> int:
    """The number of runs; ends the benchmark where two of the ledgers differ."""
    import polars as pl

    from bench.ledgers.same import beside_document, differences

    first, *others = (pl.read_parquet(scratch / way / "figures.parquet") for way in ways)
    document = pl.read_parquet(scratch / "given" / "document.parquet")
    told, n_plain, more = beside_document(first, document)
    lines = [f"{OURS}, {line}" for line in told]
    for way, figures in zip(ways[1:], others, strict=True):
        lines += [f"{OURS} and {way}, {line}" for line in differences(first, figures)]
    if lines:
        shown = "\n".join(lines[:20])
        raise SystemExit(f"{len(lines)} figures differ:\n{shown}")
    rest = "".join(f"; {n} with {words}" for words, n in more.items())
    sys.stderr.write(
        f"the same in {' and '.join(ways)}: {first.height} runs; {n_plain} as in the document{rest}\n"
    )
    return first.height


def _row(what: str, n_runs: int, took: list[Row], floor: list[Row]) -> Row:
    cpu, wall = ([one[name] for one in took] for name in ("cpu_s", "wall_s"))
    return {
        "what": what,
        "runs": n_runs,
        "cpu_s": median(cpu),
        "cpu_least": min(cpu),
        "cpu_most": max(cpu),
        "wall_s": median(wall),
        "wall_least": min(wall),
        "wall_most": max(wall),
        "peak_mib": max(one["peak_mib"] for one in took),
        "of_floor": median(cpu) / max(1e-9, median([one["cpu_s"] for one in floor])),
        "load": os.getloadavg()[0],
    }
