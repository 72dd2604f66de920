"""Reads files as the parser does, one after the other: a program of its own, so that its memory is its own.

`unit`: the whole way of a file to its tracks. `scalars`: the event file's reader alone, as the peers read.
Arguments: which, how often, a folder to name paths from, files. Prints one JSON object.
"""

import gc
import json
import os
import sys
import time
from pathlib import Path

from bench._events_peer import digest, peak_mib
from slurm_guard.progress.child import COLLECT_AFTER
from slurm_guard.progress.protocol import CHUNK
from slurm_guard.progress.tfevents import TfeventsReader
from slurm_guard.progress.unit import Input, Told, read_unit

CAP_B = 64 << 20


def _unit(path: str, patterns: tuple[str, ...]) -> list[Told]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_unit([Input(0, fd, path, "fd", os.fstat(fd).st_size, CAP_B)], patterns)[0]
    finally:
        os.close(fd)


def _scalars(path: str) -> TfeventsReader:
    reader = TfeventsReader()
    at = 0
    with Path(path).open("rb") as file:
        while data := file.read(CHUNK):
            at = reader.feed(data, at)
            file.seek(at)
    reader.finish()
    return reader


def main(what: str, times: int, patterns: tuple[str, ...], paths: list[str]) -> None:
    """Read and tell."""
    gc.set_threshold(COLLECT_AFTER)
    seconds = []
    for _ in range(times + 1):
        begun_s = time.process_time()
        if what == "unit":
            told = [_unit(path, patterns) for path in paths]
        else:
            readers = [_scalars(path) for path in paths]
        seconds.append(time.process_time() - begun_s)
    said = {
        "seconds": seconds[1:],  # the first time fills the caches of patterns
        "rss_mib": peak_mib(),
    }
    if what == "unit":
        said["files"] = [[sum(one.n for one in each), each[0].source or ""] for each in told]
    else:
        said["files"] = [
            digest(
                (tag.decode(), *point)
                for tag, columns in reader.scalars().items()
                for point in zip(*columns, strict=True)
            )
            for reader in readers
        ]
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), tuple(json.loads(sys.argv[3])), sys.argv[4:])
