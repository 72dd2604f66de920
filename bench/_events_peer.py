"""Reads event files with a peer (EventFileLoader, EventAccumulator, tbparse), in an interpreter that has it.

A program of its own, run by path: the peers' environment has nothing of ours. Arguments: the peer, how often,
files. Prints one JSON object: CPU seconds of each time, scalars, their digest, memory.
"""

import hashlib
import json
import logging
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Point = tuple[str, int, float, float]  # tag, step, wall time, value


def _loader(path: str) -> Any:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return [sum(len(event.summary.value) for event in EventFileLoader(path).Load())]


def _loader_points(path: str, read: Any) -> Iterator[Point]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for event in EventFileLoader(path).Load():
        for value in event.summary.value:
            if value.HasField("tensor"):
                yield from _points(value.tag, event.step, event.wall_time, value.tensor)


def _accumulator(path: str) -> Any:
    from tensorboard.backend.event_processing import event_accumulator

    unlimited = dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)
    return event_accumulator.EventAccumulator(path, size_guidance=unlimited).Reload()


def _accumulator_points(path: str, read: Any) -> Iterator[Point]:
    for tag in read.Tags()["scalars"]:
        for point in read.Scalars(tag):
            yield tag, point.step, point.wall_time, point.value
    for tag in read.Tags()["tensors"]:
        for event in read.Tensors(tag):
            yield from _points(tag, event.step, event.wall_time, event.tensor_proto)


def _points(tag: str, step: int, at: float, tensor: Any) -> Iterator[Point]:
    """The point in a tensor, if it is one number: float or double."""
    from tensorboard.util import tensor_util

    if tensor.dtype in (1, 2):
        array = tensor_util.make_ndarray(tensor)
        if array.size == 1:
            yield tag, step, at, float(array.item())


def _tbparse(path: str) -> Any:
    from tbparse import SummaryReader

    read = SummaryReader(path, extra_columns={"wall_time"})
    return read.scalars, read.tensors


def _tbparse_points(path: str, read: Any) -> Iterator[Point]:
    for frame in read:
        if len(frame):
            for tag, step, at, value in zip(
                frame["tag"], frame["step"], frame["wall_time"], frame["value"], strict=True
            ):
                yield tag, int(step), float(at), float(value)


# How each reads, and what it then holds.
PEERS: dict[str, tuple[Callable[[str], Any], Callable[[str, Any], Iterable[Point]]]] = {
    "EventFileLoader": (_loader, _loader_points),
    "EventAccumulator": (_accumulator, _accumulator_points),
    "tbparse": (_tbparse, _tbparse_points),
}


def peak_mib() -> float:
    """The most memory that this program had; `ru_maxrss` begins with that of the program that started it."""
    with Path("/proc/self/status").open(encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) / 1024


def digest(points: Iterable[Point]) -> tuple[int, str]:
    """(how many, SHA-256 over the points, sorted: tbparse sorts them, too; values as 32 bits)."""
    by_tag: dict[str, list[bytes]] = {}
    for tag, step, at, value in points:
        packed = struct.pack("<qdf", step, at, value if abs(value) < 3e38 or value != value else 0.0)
        by_tag.setdefault(tag, []).append(packed)
    whole = hashlib.sha256()
    for tag in sorted(by_tag):
        whole.update(tag.encode() + b"".join(sorted(by_tag[tag])))
    return sum(map(len, by_tag.values())), whole.hexdigest()


def main(peer: str, times: int, paths: list[str]) -> None:
    """Read and tell."""
    logging.disable()
    read, points = PEERS[peer]
    read(paths[0])  # imports, and what is made at the first use
    seconds = []
    for _ in range(times):
        begun_s = time.process_time()
        held = [read(path) for path in paths]
        seconds.append(time.process_time() - begun_s)
    rss_mib = peak_mib()
    files = [digest(points(path, one)) for path, one in zip(paths, held, strict=True)]
    sys.stdout.write(json.dumps({"seconds": seconds, "files": files, "rss_mib": rss_mib}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
