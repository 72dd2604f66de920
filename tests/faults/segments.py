"""A stream's life as the tests of the writer live it, and what must hold of what it leaves."""

import hashlib
import json
from pathlib import Path

from slurm_guard import wire
from slurm_guard.sampler.events import Journal
from slurm_guard.sampler.streams import Streams
from slurm_guard.sampler.writer import Instant, Origin, Stream, prepare

RUN = "c/7/n1/abcdef01/1000"
NAME = "c_7_n1_abcdef01_1000.000000.jsonl"


def origin_of(spool: Path) -> Origin:
    return Origin(str(spool), "n1", "c", "abcdef01", 60.0, 1.0)


def body_of(spool: Path) -> bytes:
    prepare(str(spool))
    stream = Stream(origin_of(spool), RUN)
    for n in range(3):
        stream.write(wire.Event(float(n), RUN, "test", {"n": n}), Instant(1.0, 1.0))
    raw = (spool / "open" / NAME).read_bytes()
    stream.close("rotate", Instant(2.0, 2.0))
    whole = (spool / "sealed" / NAME).read_bytes()
    assert whole.startswith(raw)
    return whole


def check_segment(path: Path) -> tuple[int, str]:
    raw = path.read_bytes()
    records = [json.loads(line) for line in raw.splitlines()]
    tail = records[-1]
    assert records[0]["k"] == "head"
    assert tail["k"] == "tail"
    assert tail["n"] == len(records) - 2
    assert tail["sha256"] == hashlib.sha256(raw[: raw.rindex(b"\n", 0, -1) + 1]).hexdigest()
    return tail["n"], tail["reason"]


def event_of(n: int) -> wire.Event:
    return wire.Event(1000.0 + n, RUN, "test", {"n": n})


def live_once(spool: Path) -> None:
    """Two segments and a seal, as a sampler writes them."""
    streams = Streams(origin_of(spool), Journal("/nonexistent/log"))
    for n in range(3):
        streams.write(RUN, event_of(n), Instant(1000.0 + n, float(n)))
    streams.rotate(0.5, Instant(1010.0, 10.0))
    streams.write(RUN, event_of(3), Instant(1011.0, 11.0))
    assert streams.finish(RUN, "epilog", Instant(1012.0, 12.0))


def events_in(spool: Path) -> list[int]:
    """Numbers of the events in sealed segments, each of which must be whole."""
    found = []
    for path in sorted((spool / "sealed").iterdir()):
        check_segment(path)
        records = [json.loads(line) for line in path.read_bytes().splitlines()]
        found += [r["detail"]["n"] for r in records if r["k"] == "event" and r["name"] == "test"]
    return found


def assert_the_seal_holds(spool: Path) -> None:
    seal = json.loads((spool / "seals" / NAME.replace(".000000.jsonl", ".json")).read_bytes())
    there = []
    for path in sorted((spool / "sealed").glob("c_7_*")):
        tail = json.loads(path.read_bytes().splitlines()[-1])
        there.append([int(path.name[-12:-6]), tail["n"], tail["sha256"]])
    assert seal["segments"] == there
    assert [part[0] for part in there] == list(range(len(there)))


def count_open_fds() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
