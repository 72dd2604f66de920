"""The target around safetensors files: one of a model's two is hurt, and no parameter is invented."""

import json
import os
import time
from collections.abc import Callable

from hypothesis import given, seed
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase

from slurm_guard.progress.safetensors import MAX_PARAMS, ModelSize, Part, read_model
from tests.fuzz.edits import Plan, apply, joined, plans
from tests.fuzz.formats import OTHERS, Course
from tests.fuzz.laws import CPU_S, CPU_S_PER_MB, DEADLINE_S, deadline
from tests.fuzz.targets import Tally, courses, options
from tests.unit.progress.weight_files import block, entries, packed, weights

OTHER_SHARD = weights(block(900, 8))
OTHER_PARAMS = 12 * 8 * 8 + 2 * 8


def make(course: Course) -> tuple[list[bytes], int]:
    """(a file in pieces: its length, its entries, its weights; its model's parameters)."""
    tensors: dict[str, tuple[str, list[int]]] = {}
    for nth in range(1 + course.n % 3):
        tensors.update(block(nth, 8))
    n = (1 + course.n % 3) * OTHER_PARAMS
    tensors["lm_head.weight"] = (("BF16", "F32", "F8_E4M3")[course.seed % 3], [7, 1 + course.first % 999])
    n += 7 * (1 + course.first % 999)
    if course.seed % 5 == 0:
        tensors["mlp.experts.3.w1"] = ("BF16", [3, 4, 5])
        n += 60
    if course.seed % 7 == 0:
        tensors |= {"position_ids": ("I64", [1, 2]), "optimizer.exp_avg": ("F32", [40])}
    body, size = entries(tensors)
    pieces = [f"{json.dumps(name)}: {json.dumps(entry)}, ".encode() for name, entry in body.items()]
    header = [b'{"__metadata__": {"format": "pt"}, ', *pieces[:-1], pieces[-1][:-2], b"}"]
    length = packed(b"", b"", sum(map(len, header)))
    return [length, *header, b"\1" * size], n


def read(*files: bytes) -> ModelSize:
    """The model in these files."""
    parts = []
    try:
        for nth, data in enumerate(files):
            fd = os.memfd_create("fuzz")
            parts.append(Part(f"model-{nth}", fd))
            os.pwrite(fd, data, 0)
        return read_model(parts)
    finally:
        for part in parts:
            os.close(part.fd)


def hold(data: bytes) -> ModelSize:
    """Every law, for one file alone and beside a whole one."""
    begin_s = time.process_time()
    with deadline(DEADLINE_S):
        size = read(data)
    took_s = time.process_time() - begin_s
    assert took_s < CPU_S + CPU_S_PER_MB * len(data) / 1e6, f"slow: {took_s:.2f} s for {len(data)} bytes"
    assert all(": " in problem and "\n" not in problem for problem in size.problems), size.problems
    assert 0 <= size.read_b <= len(data)
    if size.params is None:
        assert size.dense is None
    else:
        assert type(size.params) is int
        assert 1 <= size.params <= MAX_PARAMS
        assert size.params <= len(data), "more parameters than bytes"
        assert size.dense is None or 1 <= size.dense <= size.params
        assert size.problems == []
        assert size.params <= said_in(data), "invented"
    both = read(data, OTHER_SHARD)
    assert both.params in (None, (size.params or 0) + OTHER_PARAMS), "a shard changes what another says"
    return size


def said_in(data: bytes) -> int:
    """An oracle: the elements of all entries, whose places reach to the file's end and nowhere beyond."""
    n = int.from_bytes(data[:8], "little")
    body = json.loads(data[8 : 8 + n])
    body.pop("__metadata__", None)
    total, end = 0, 0
    for entry in body.values():
        count = 1
        for extent in entry["shape"]:
            count *= extent
        total += count
        end = max(end, entry["data_offsets"][1])
    assert 8 + n + end == len(data), "its tensors do not fill it"
    return total


def campaign(n: int, at: int, database: ExampleDatabase | None, tally: Tally) -> Callable[[], None]:
    """A Hypothesis run; raises with the smallest file that breaks a law."""

    @seed(at)
    @options(n, database)
    @given(course=courses, plan=plans, mend=st.booleans())
    def run(course: Course, plan: Plan, mend: bool) -> None:
        whole, params = make(course)
        if mend:  # edits of the header alone, which is as long as it says: most others end at its length
            header = joined(apply(whole[1:-1], plan, OTHERS))
            data = packed(header, whole[-1])
        else:
            data = joined(apply(whole, plan, OTHERS))
        tally.last = data
        begin_s = time.process_time()
        size = hold(data)
        if data == b"".join(whole):
            assert size.params == params, "an unhurt file is not read"
        tally.add(size.params is not None, time.process_time() - begin_s)

    return run
