"""A job's program: writes every format by a plan, held open, buffered, opened for each record, or copied.

Runs as an ordinary user. `--factor`: how many seconds of the records' clock pass in a second.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import IO, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from formats import BUFFERED, EVENTS, File, names  # type: ignore[import-not-found]  # a job knows no package of ours

HOUR = 3600.0
ZONE_S = -7 * HOUR  # of a program that keeps another zone's time than the node
STALL_S = 300.0  # of the records' clock: a file server, or a log that is flushed every five minutes
BACK = 50  # records since the checkpoint from which a program goes on
Moment = tuple[float, float]  # when it is written and which time it claims, in seconds of the run


def plan(name: str, n: int, length_s: float) -> list[Moment]:
    """When each record is written, and what it claims."""
    last = length_s - 120.0
    even = [last * (k + 1) / n for k in range(n)]
    if name in ("honest", "restamped", "elsewhere", "restarted"):
        return [(at, at) for at in even]
    if name == "backfilled":  # five sixths of the run, told in the last sixth
        return [(last * (5 + (k + 1) / n) / 6, at * 5 / 6) for k, at in enumerate(even)]
    if name == "catching-up":  # the same, up to the moment at which it is written
        return [(last * (5 + (k + 1) / n) / 6, at) for k, at in enumerate(even)]
    if name == "premade":
        return [(0.02 * length_s, at) for at in even]
    if name == "ahead":  # at twice the pace, until half of the run
        return [(at / 2, at) for at in even]
    if name == "bulk":
        return [(0.97 * length_s, at) for at in even]
    if name == "replayed":  # yesterday's log at its own pace
        return [(at, at - 26 * HOUR) for at in even]
    if name == "replayed-today":  # no whole or half hours old: no zone's distance
        return [(at, at - 5.3 * HOUR) for at in even]
    if name == "replayed-zone":
        return [(at, at - 5 * HOUR) for at in even]
    if name == "pasted":  # yesterday's log, all at once
        return [(0.5 * length_s, at - 26 * HOUR) for at in even]
    raise SystemExit(f"no such plan: {name}")


def counters(name: str, n: int) -> list[int]:
    """The counter of each record: a program that is started again at its half goes on from a checkpoint."""
    if name != "restarted":
        return list(range(1, n + 1))
    return [k if k <= n // 2 else k - BACK for k in range(1, n + 1)]


class Held:
    """Files that stay open. Buffers: 0 none, 1 as their own programs have, else so many bytes."""

    def __init__(self, folder: Path, files: list[File], buffer_b: int, factor: float) -> None:
        self.folder, self.files, self.buffer_b, self.factor = folder, files, buffer_b, factor
        self.begin(anew=False)

    def begin(self, anew: bool) -> None:
        """Open everything; `anew`: the program was started again and appends."""
        if anew:
            self.close()
        folder, files, buffer_b, factor = self.folder, self.files, self.buffer_b, self.factor
        self.open: list[tuple[File, IO[bytes]]] = []
        for file in files:
            path = _place(folder, file)
            own = BUFFERED.get(file.name, 0) if buffer_b == 1 else buffer_b
            handle = path.open("ab", buffering=own)
            if not anew:
                handle.write(file.head())
            self.open.append((file, handle))
        from tensorboardX import SummaryWriter

        flush_s = 120.0 / factor  # TensorBoard's default, in the records' clock
        self.events: Any = SummaryWriter(str(folder / EVENTS), flush_secs=max(0.05, flush_s))

    def write(self, k: int, at: float, last: bool) -> None:
        """Record k into every file; the event file is flushed with the last of a moment."""
        for file, handle in self.open:
            handle.write(file.record(k, at))
        self.events.add_scalar("train/loss", 2.0 + 9.0 / (1 + k), k, walltime=at)
        if self.buffer_b == 0 and last:
            self.events.flush()

    def flush(self) -> None:
        """All that waits goes to disk."""
        for _, handle in self.open:
            handle.flush()
        self.events.flush()

    def close(self) -> None:
        """As a program that ends."""
        for _, handle in self.open:
            handle.close()
        self.events.close()


class Reopened:
    """Files that are opened, appended to and closed for each record."""

    def __init__(self, folder: Path, files: list[File]) -> None:
        self.files = [(file, _place(folder, file)) for file in files]
        for file, path in self.files:
            path.write_bytes(file.head())

    def write(self, k: int, at: float, last: bool) -> None:
        """Record k into every file."""
        for file, path in self.files:
            with path.open("ab") as handle:
                handle.write(file.record(k, at))

    def close(self) -> None:
        """Nothing is open."""


def _place(folder: Path, file: File) -> Path:
    path: Path = folder / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def copy_in(folder: Path, files: list[File], moments: list[Moment], t0: float) -> None:
    """All files made elsewhere, and copied into their places."""
    aside = folder / ".aside"
    for file in files:
        path = _place(aside, file)
        path.write_bytes(
            file.head() + b"".join(file.record(k, t0 + at) for k, (_, at) in enumerate(moments, 1))
        )
    for file in files:
        shutil.copy(aside / file.name, _place(folder, file))
    shutil.rmtree(aside)


def main() -> None:
    """Write by the plan, then stay until the run is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--plan", required=True)
    parser.add_argument(
        "--style", choices=("held", "buffered", "lazy", "stalled", "reopened", "copied"), required=True
    )
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--t0", type=float, required=True, help="the run's begin, of both clocks")
    parser.add_argument("--factor", type=float, required=True)
    parser.add_argument("--length", type=float, required=True, help="seconds of the records' clock")
    args = parser.parse_args()
    moments = plan(args.plan, args.n, args.length)
    began_at = args.t0 + moments[0][1]
    zone_s = ZONE_S if args.plan == "elsewhere" else 0.0
    files = [File(name, began_at, zone_s) for name in names()]
    wait_until(args.t0, args.factor, 0.005 * args.length)
    if args.style == "copied":
        wait_until(args.t0, args.factor, moments[0][0])
        copy_in(args.folder, files, moments, args.t0)
    else:
        buffer_b = {"buffered": 1, "lazy": 8192, "stalled": 1 << 22}.get(args.style, 0)
        held = args.style != "reopened"
        out: Any = Held(args.folder, files, buffer_b, args.factor) if held else Reopened(args.folder, files)
        flush_s = STALL_S
        for nth, (k, (write_s, at)) in enumerate(zip(counters(args.plan, args.n), moments, strict=True), 1):
            wait_until(args.t0, args.factor, write_s)
            if args.plan == "restarted" and nth == args.n // 2 + 1:
                out.begin(anew=True)
            last = nth == len(moments) or moments[nth][0] > write_s
            out.write(k, args.t0 + at, last)
            if args.style == "stalled" and write_s >= flush_s:
                out.flush()
                flush_s = write_s + STALL_S
        out.close()
    wait_until(args.t0, args.factor, args.length)


def wait_until(t0: float, factor: float, virtual_s: float) -> None:
    """Sleep until so much of the run is over."""
    left_s = t0 + virtual_s / factor - time.time()
    if left_s > 0:
        time.sleep(left_s)


if __name__ == "__main__":
    main()
