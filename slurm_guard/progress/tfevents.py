"""TensorBoard event files: TFRecord framing around Event{1 wall_time, 2 step, 5 Summary, 7 SessionLog}.

The training's tag with the most points is the clock. A record of more than 64 KiB (graph, image) is skipped
by seek; a length that cannot be is a problem and ends the file; a torn tail is normal while a job lives.
Checksums are not checked: they prove nothing about honesty.
"""

import math
import struct
from array import array
from collections.abc import Mapping
from typing import NamedTuple

from slurm_guard.progress.keys import is_eval
from slurm_guard.progress.protobuf import WireError, fields, signed, varint
from slurm_guard.progress.protocol import MAX_CLAIMS, Claim, Found, Reader, Series
from slurm_guard.progress.values import AT_MAX, AT_MIN, LOSS_LIMIT, STEP_LIMIT

MAX_RECORD = 65_536  # bytes of a record that is parsed; scalars need about 60
MAX_LENGTH = 1 << 40  # a length beyond this is no length
MAX_KNOWN, MAX_KNOWN_B = 512, 512  # summaries remembered by what stands around their scalar, and their length
MAX_TAGS = 128  # distinct tags followed in one file; their names are the job's choice
LEAST_POINTS = 3  # of a training's tag, before an evaluation's is no clock (judgement)
SAMPLES = b"Train/Samples/"  # DeepSpeed's tags: what stands as their step is its count of samples
_HEAD = struct.Struct("<QI")
_F64 = struct.Struct("<d")
_F32 = struct.Struct("<f")


class _Tag(NamedTuple):
    """All points of one tag, in file order."""

    steps: "array[int]"
    at: "array[float]"
    offsets: "array[int]"
    values: "array[float]"


class TfeventsSource:
    """Written by torch, tensorboardX, TensorFlow, JAX's clu, Lightning and Keras alike."""

    name = "tfevents"
    resyncs = False

    def claims(self, head: bytes, path: str) -> float:
        """1 when the first record is Event{file_version: "brain.Event:2"}; 0.6 by name while still empty."""
        if b"brain.Event:" in head[:64]:
            return 1.0
        named = ".tfevents." in path.rpartition("/")[2]
        return 0.6 if named and len(head) < 24 else 0.0

    def reader(self) -> Reader:
        return TfeventsReader()


class TfeventsReader:
    """Feeds on chunks; keeps only numbers, in arrays (32 bytes a scalar)."""

    def __init__(self) -> None:
        self._carry = b""
        self._tags: dict[bytes, _Tag] = {}
        # Summaries of one scalar differ in its four bytes alone: where these stand in one of that length, and
        # the tag of what stands around them.
        self._spots: dict[int, int] = {}
        self._known: dict[bytes, _Tag] = {}
        self._spot = 0  # of the scalar read last, an index of the data
        self._last = _Tag(array("q"), array("d"), array("q"), array("d"))  # the tag that it went to
        self._n_taken = 0  # scalars of the summary read last
        self._problems: dict[str, int] = {}
        self._read_b = 0
        self._dead = False

    def feed(self, data: bytes, offset: int) -> int:
        self._read_b += len(data)
        if self._carry:
            offset -= len(self._carry)
            data = self._carry + data
        end = len(data)
        at = 0
        while not self._dead and end - at >= 12:
            length = _HEAD.unpack_from(data, at)[0]
            if length > MAX_LENGTH:
                self._count("length-bomb")
                self._dead = True
            elif length > MAX_RECORD:
                at += 16 + length
                self._count("skipped-large-records")
            elif at + 16 + length <= end:
                self._event(data, at + 12, at + 12 + length, offset + at + 16 + length)
                at += 16 + length
            else:
                break
        if self._dead or at >= end:
            self._carry = b""
            return offset + max(at, end)
        self._carry = data[at:]
        return offset + end

    def skipped(self, offset: int) -> None:
        """A record's start cannot be found again: the rest is not read."""
        self._dead = True

    def finish(self) -> Found:
        problems = [f"{slug}: {count}" for slug, count in sorted(self._problems.items())]
        if self._carry:
            problems.append(f"torn-tail: {len(self._carry)} bytes of an unfinished record")
        if not self._tags:
            return Found([], [], problems, self._read_b)
        claims = self._clock()
        return Found([Series("tfevents", claims[0].key, "", claims)], self._evals(), problems, self._read_b)

    def scalars(self) -> dict[bytes, tuple[list[int], list[float], list[float]]]:
        """Every scalar so far: tag -> steps, wall times and values, in the file's order."""
        return {tag: (list(one.steps), list(one.at), list(one.values)) for tag, one in self._tags.items()}

    def _count(self, slug: str) -> None:
        self._problems[slug] = self._problems.get(slug, 0) + 1

    def _event(self, data: bytes, at: int, end: int, offset: int) -> None:
        """One Event. The usual order (wall_time, step, summary) is read without a general walk.

        Nothing is kept before the record has been walked to its end: a broken one says nothing.
        """
        wall = 0.0
        step = 0
        values: list[tuple[bytes, float, int]] = []
        restarts = 0
        try:
            if end - at > 9 and data[at] == 0x09:
                wall = _F64.unpack_from(data, at + 1)[0]
                at += 9
            if at < end and data[at] == 0x10:
                step, at = data[at + 1], at + 2
                if step >= 0x80:
                    step, at = varint(data, at - 1)
                if at > end:
                    raise WireError("step")
            spot = self._spots.get(end - at)
            if spot is not None and step < STEP_LIMIT:
                series = self._known.get(data[at : at + spot] + data[at + spot + 4 : end])
                if series is not None:
                    series.steps.append(step)
                    series.at.append(wall)
                    series.offsets.append(offset)
                    series.values.append(_F32.unpack_from(data, at + spot)[0])
                    return
            if at < end and data[at] == 0x2A:
                size, begin = varint(data, at + 1)
                if begin + size == end:
                    _summary(data, begin, end, values)
                    self._keep(values, (step, wall, offset))
                    self._remember(data, at, end)
                    return
            for number, kind, start, stop in fields(data, at, end):
                if number == 1 and kind == 1:
                    wall = _F64.unpack_from(data, start)[0]
                elif number == 2 and kind == 0:
                    step = start
                elif number == 5 and kind == 2:
                    _summary(data, start, stop, values)
                elif number == 7 and kind == 2:
                    restarts += 1
        except (WireError, IndexError, struct.error):
            self._count("broken-records")
            return
        if restarts:
            self._count("writer-restarts")
        self._keep(values, (step, wall, offset))

    def _remember(self, data: bytes, at: int, end: int) -> None:
        """What stands around the scalar of data[at:end], if it is the only one there."""
        if self._n_taken == 1 and end - at <= MAX_KNOWN_B and len(self._known) < MAX_KNOWN:
            spot = self._spots.setdefault(end - at, self._spot - at)
            if spot == self._spot - at:
                self._known[data[at : at + spot] + data[at + spot + 4 : end]] = self._last

    def _keep(self, values: list[tuple[bytes, float, int]], where: tuple[int, float, int]) -> None:
        """The scalars of one whole record."""
        self._n_taken = 0
        if not values:
            return
        if signed(where[0]) != where[0] or where[0] >= STEP_LIMIT:
            self._count("impossible-steps")
            return
        for tag, value, spot in values:
            series = self._tags.get(tag)
            if series is None:
                if len(self._tags) >= MAX_TAGS:
                    self._count("many-tags")
                    continue
                series = self._tags[tag] = _Tag(array("q"), array("d"), array("q"), array("d"))
            series.steps.append(where[0])
            series.at.append(where[1])
            series.offsets.append(where[2])
            series.values.append(value)
            self._last, self._spot = series, spot
            self._n_taken += 1 if spot else 2  # of eight bytes: nothing to remember

    def _clock(self) -> list[Claim]:
        """The longest tag's points, of the training's where there are any: an evaluation may count batches of
        its own, and write an epoch's number at its steps and at the training's."""
        tag = clock_of({name: len(series.steps) for name, series in self._tags.items()})
        series = self._tags[tag]
        stride = 1 + len(series.steps) // MAX_CLAIMS
        lossy = b"loss" in tag.lower()
        counts = tag.startswith(SAMPLES)
        return [
            Claim(
                series.offsets[i],
                "samples" if counts else "step",
                step=None if counts else series.steps[i],
                samples=series.steps[i] if counts else None,
                at=_instant(series.at[i]),
                loss=_loss(series.values[i]) if lossy else None,
                phase="eval" if evaluates(tag) else "train",
                advances=True,
            )
            for i in range(0, len(series.steps), stride)
        ]

    def _evals(self) -> list[Claim]:
        """Marks from the longest evaluation tag, when it is not the clock itself."""
        tags = [name for name in self._tags if evaluates(name)]
        if not tags or len(tags) == len(self._tags):
            return []
        series = self._tags[min(tags, key=lambda name: (-len(self._tags[name].steps), name))]
        stride = 1 + len(series.steps) // 1000
        return [
            Claim(
                series.offsets[i],
                "phase",
                step=series.steps[i],
                at=_instant(series.at[i]),
                phase="eval",
                advances=False,
            )
            for i in range(0, len(series.steps), stride)
        ]


def _summary(data: bytes, at: int, end: int, into: list[tuple[bytes, float, int]]) -> None:
    """Every scalar in one Summary: tag, value, and where its four bytes stand or 0."""
    for number, kind, start, stop in fields(data, at, end):
        if number == 1 and kind == 2:
            tag: bytes | None = None
            value: float | None = None
            spot = 0
            for inner, wire, first, last in fields(data, start, stop):
                if inner == 1 and wire == 2:
                    tag = data[first : min(last, first + 64)]
                elif inner == 2 and wire == 5:
                    value, spot = _F32.unpack_from(data, first)[0], first
                elif inner == 8 and wire == 2 and last - first < 256:
                    value, spot = _tensor(data, first, last)
            if tag is not None and value is not None:
                into.append((tag, value, spot))


def clock_of(tags: Mapping[bytes, int]) -> bytes:
    """The tag that is the clock, of names and how many points each has; ties go to the first name."""
    own = {tag: n for tag, n in tags.items() if n >= LEAST_POINTS and not evaluates(tag)}
    own = {tag: n for tag, n in own.items() if tag.rpartition(b"/")[2] != b"epoch"} or own or dict(tags)
    return min(own, key=lambda tag: (-own[tag], evaluates(tag), tag))


def evaluates(tag: bytes) -> bool:
    """`val_loss_step`, `val/acc`, `Loss/test`."""
    return any(is_eval(part) for part in tag.decode("utf-8", "replace").split("/"))


def _instant(value: float) -> float | None:
    return value if AT_MIN <= value < AT_MAX else None


def _loss(value: float) -> float | None:
    return value if math.isfinite(value) and abs(value) < LOSS_LIMIT else None


def _tensor(data: bytes, at: int, end: int) -> tuple[float | None, int]:
    """(scalar, where its four bytes stand or 0) of a TensorProto of dtype 1 (f32) or 2 (f64)."""
    dtype = 0
    found: float | None = None
    spot = 0
    for number, kind, start, stop in fields(data, at, end):
        if number == 1 and kind == 0:
            dtype = start
        elif kind == 0:
            continue
        elif stop - start == 4 and ((number == 4 and kind == 2 and dtype == 1) or number == 5):
            found, spot = _F32.unpack_from(data, start)[0], start
        elif stop - start == 8 and ((number == 4 and kind == 2 and dtype == 2) or number == 6):
            found, spot = _F64.unpack_from(data, start)[0], 0
    return found, spot
