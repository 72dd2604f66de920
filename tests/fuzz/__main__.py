"""Runs the fuzz targets: `python -m tests.fuzz all --seconds 600`, resumable; `one NAME --seconds 5`.

What each target did stands in the state folder; a second call goes on from there, with new files. Every
target runs in a process of its own under the memory limit that the parser has on a node.
"""

import argparse
import gc
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis.database import DirectoryBasedExampleDatabase

import slurm_guard.progress as readers
from slurm_guard.progress.child import COLLECT_AFTER, MEMORY_B
from tests.fuzz.laws import DEADLINE_S, STARVED
from tests.fuzz.targets import Tally
from tests.fuzz.whole import CAMPAIGNS

BATCH = 400  # files between two looks at the clock
SPELL_S = 60.0  # of processor time, of one target at a time
STATE = Path(".fuzz")
BEGIN, END = "<!-- table -->", "<!-- end -->"


class State(NamedTuple):
    """What all runs of one target did."""

    seconds: float = 0.0  # of processor time
    n: int = 0
    size_b: int = 0
    n_points: int = 0
    slowest_ms: float = 0.0
    peak_mib: float = 0.0
    batch: int = 0  # the seed of the next
    code: str = ""  # the readers that the last run had …
    code_seconds: float = 0.0  # … and what of `seconds` was theirs
    failures: tuple[str, ...] = ()


def code() -> str:
    """What the readers are now: a digest of all their sources."""
    digest = hashlib.sha256()
    for path in sorted(Path(readers.__path__[0]).glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def load(folder: Path, name: str) -> State:
    """The state of a target; a fresh one where there is none."""
    try:
        body: dict[str, Any] = json.loads((folder / f"{name}.json").read_text("utf-8"))
    except FileNotFoundError:
        return State()
    return State(**{**body, "failures": tuple(body["failures"])})


def save(folder: Path, name: str, state: State) -> None:
    """Written beside its place and renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.json"
    part.write_text(json.dumps(state._asdict()), "utf-8")
    part.rename(folder / f"{name}.json")


def run_one(name: str, seconds: float, folder: Path) -> int:
    """One target, for so many seconds of processor time; 1: a law was broken, and the smallest is kept."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_B, MEMORY_B))
    gc.set_threshold(COLLECT_AFTER)
    database = DirectoryBasedExampleDatabase(folder / "corpus" / name)
    before = load(folder, name)
    tally, failures, batch = Tally(), list(before.failures), before.batch
    begin = time.process_time()
    failed = False
    while not failed and time.process_time() - begin < seconds:
        left_s = seconds - (time.process_time() - begin)
        n = max(20, min(BATCH, int(tally.n / max(0.1, seconds - left_s) * left_s))) if tally.n else 50
        try:
            CAMPAIGNS[name](n, batch, database, tally)()
        except Exception as error:  # noqa: BLE001 - whatever a reader raises is the finding
            failed = True
            failures.append(_keep(folder, name, tally.last, error))
        batch += 1
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took_s, now = time.process_time() - begin, code()
    state = State(
        before.seconds + took_s,
        before.n + tally.n,
        before.size_b + tally.size_b,
        before.n_points + tally.n_points,
        max(before.slowest_ms, 1e3 * tally.slowest_s),
        max(before.peak_mib, peak_mib),
        batch,
        now,
        took_s + (before.code_seconds if before.code == now else 0.0),
        tuple(failures),
    )
    save(folder, name, state)
    return 1 if failed else 0


def _keep(folder: Path, name: str, data: bytes, error: BaseException) -> str:
    """The file that broke a law, beside the state; its name."""
    place = folder / "failures"
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{name}.{len(list(place.glob(f'{name}.*'))):03d}"
    path.write_bytes(data)
    said = "".join(getattr(error, "__notes__", [])[-1:])
    print(
        f"{name}: {type(error).__name__}: {error}\n{said}\n  kept in {path} ({len(data)} bytes)", flush=True
    )
    return path.name


def run_all(names: list[str], seconds: float, folder: Path, jobs: int) -> int:
    """Every target until it has had so many seconds in all, the one with the fewest first."""
    running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
    fallen: set[str] = set()
    while True:
        for name, (process, until) in list(running.items()):
            code = process.poll()
            if code is None and time.monotonic() > until:
                process.kill()
                print(f"{name}: no end in sight: ended by force", flush=True)
                code = process.wait()
            if code is not None:
                del running[name]
                if code != 0:
                    fallen.add(name)
        due = sorted((load(folder, name).seconds, name) for name in names if name not in {*running, *fallen})
        due = [(had, name) for had, name in due if had < seconds - 0.5]
        if not due and not running:
            return 1 if fallen else 0
        while due and len(running) < jobs:
            had, name = due.pop(0)
            spell_s = min(SPELL_S, seconds - had)
            words = [sys.executable, "-m", "tests.fuzz", "one", name, "--seconds", str(spell_s)]
            process = subprocess.Popen([*words, "--state", str(folder)])
            running[name] = (process, time.monotonic() + STARVED * (spell_s + DEADLINE_S))
        time.sleep(0.1)


def table(names: list[str], folder: Path) -> str:
    """What every target did so far, as Markdown."""
    head = (
        "| target | seconds | of them with today's readers | files | MB | points read | slowest file, ms | "
        "peak memory, MiB | laws broken |"
    )
    rows = [head, "| --- | --: | --: | --: | --: | --: | --: | --: | --: |"]
    now = code()
    for name in names:
        s = load(folder, name)
        fresh_s = s.code_seconds if s.code == now else 0.0
        rows.append(
            f"| `{name}` | {s.seconds:.0f} | {fresh_s:.0f} | {s.n:,} | {s.size_b / 1e6:,.0f} | "
            f"{s.n_points:,} | {s.slowest_ms:.0f} | {s.peak_mib:.0f} | {len(s.failures)} |"
        )
    return "\n".join(rows) + "\n"


def main() -> int:
    """Parse and do."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", choices=("one", "all", "table"))
    parser.add_argument("names", nargs="*", help="targets; default: all")
    parser.add_argument("--seconds", type=float, default=600.0, help="of processor time, each target, in all")
    parser.add_argument("--state", type=Path, default=STATE, help="folder of state, corpus and failures")
    parser.add_argument("--table", type=Path, help="put the table between the marks in this page")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    unknown = set(args.names) - set(CAMPAIGNS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    names = args.names or list(CAMPAIGNS)
    if args.what == "one":
        return max(run_one(name, args.seconds, args.state) for name in names)
    code = run_all(names, args.seconds, args.state, args.jobs) if args.what == "all" else 0
    rows = table(names, args.state)
    print(rows, end="")
    if args.table is not None:
        before, _, rest = args.table.read_text("utf-8").partition(BEGIN)
        args.table.write_text(f"{before}{BEGIN}\n{rows}{END}{rest.partition(END)[2]}", "utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
