"""Real logs give what a person counts in them: `conformance.csv` beside this file, one row per file.

The counts were made with grep, awk, a JSON loader and a twenty-line walk over event files, none of it ours;
`counted` says how. A row's n counts distinct values of the counter in each segment. In files of rows without
a source there is nothing to count, and nothing may be found.
"""

import csv
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from slurm_guard.progress.mark import Mark
from slurm_guard.progress.protocol import MICRO
from slurm_guard.progress.registry import TEXT
from slurm_guard.progress.unit import Input, Told, read_unit

pytestmark = pytest.mark.shared_data
DATA = Path(__file__).parents[2].parent / "shared" / "data"
RUN_S = 1.0  # seconds by which a run's length may differ from the file's own stamps


class Row(NamedTuple):
    """What a person counts in one file. `first` and `last` as the file writes them; epochs may be broken."""

    path: str
    source: str
    n: int
    first: str
    last: str
    unit: str
    segments: int
    run_s: str
    counted: str


def rows() -> list[Row]:
    """The table."""
    with (Path(__file__).parent / "conformance.csv").open(newline="") as file:
        return [
            Row(**{**row, "n": int(row["n"]), "segments": int(row["segments"])})  # type: ignore[arg-type]
            for row in csv.DictReader(file)
        ]


@cache
def read(name: str) -> tuple[Told, list[Mark]]:
    """The first track of a real file."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the shared data folder does not stand beside the checkout: {name}")
    fd = os.open(path, os.O_RDONLY)
    try:
        told, marks = read_unit([Input(0, fd, str(path), "fd", path.stat().st_size, 64 << 20)])
    finally:
        os.close(fd)
    return told[0], [mark for mark in marks if mark.track == told[0].track and told[0].track]


def counters(marks: list[Mark]) -> list[tuple[int, int]]:
    """(segment, clock's value) of training points."""
    values = [
        (mark.segment, next((v for v in (mark.step, mark.samples, mark.tokens) if v is not None), None))
        for mark in marks
        if mark.phase == "train"
    ]
    return sorted({(segment, value) for segment, value in values if value is not None})


def unit_of(told: Told, marks: list[Mark]) -> str:
    """What the track counts."""
    if "/epoch:" in told.track:
        return "epoch"
    return "step" if any(mark.step is not None for mark in marks) else "samples"


def as_counted(row: Row) -> tuple[object, ...]:
    """The row in the reader's numbers."""
    scale = MICRO if row.unit == "epoch" else 1
    return (row.n, round(float(row.first) * scale), round(float(row.last) * scale), row.unit, row.segments)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.path)
def test_a_real_file_gives_what_a_person_counts(row: Row) -> None:
    told, marks = read(row.path)
    values = counters(marks)

    if row.n == 0:
        assert (told.source, values) == (None, [])
        return
    segments = len({segment for segment, _ in values})
    found = (len(values), values[0][1], values[-1][1], unit_of(told, marks), segments)
    assert (told.source, *found) == (row.source, *as_counted(row))


@pytest.mark.parametrize("row", [row for row in rows() if row.run_s], ids=lambda row: row.path)
def test_the_time_between_mlperfs_run_start_and_run_stop_is_the_files(row: Row) -> None:
    _, marks = read(row.path)
    begin = next(mark.at for mark in marks if mark.phase == "train")
    end = next(mark.at for mark in marks if mark.phase == "end")

    assert begin is not None
    assert end is not None
    assert abs((end - begin) - float(row.run_s)) <= RUN_S


@pytest.mark.parametrize(
    ("begin", "clock"),
    [
        ("(APIServer pid=3646) INFO 05-19", ("vllm", 10_553)),  # 1,055.3 tokens/s over ten seconds
        ("INFO 01-25 11:26:58 llm_engine", ("vllm", 773)),
        ("I0811 21:55:06.119312", ("keyvalue", 2)),
        (" [2026-08-01 07:19:37.123456] iteration", ("megatron", 1)),
        ("2026-08-01 07:19:20\tJob ID: 4242\t# GPUs: 64\tStarting", None),
        ("2026-08-01 08:19:20\tJob ID: 4242\t# GPUs: 64\tSaved", ("megatron", 500)),
        ("[titan] 2026-08-01", ("keyvalue", 20)),  # with colours
        ("step 0: train loss", ("keyvalue", 0)),
        ("iter 10: loss", ("keyvalue", 10)),
        ("step 00100/21400", ("keyvalue", 100)),
        ("{'loss': 2.08", ("hf", 10_000)),  # epoch 0.01
    ],
)
def test_a_line_of_many_programs_gives_its_counter(begin: str, clock: tuple[str, int] | None) -> None:
    """`24_misc_one_liners.txt`: its lines stand for logs of one line each; its ESC is written out."""
    path = DATA / "progress_samples" / "24_misc_one_liners.txt"
    if not path.exists():
        pytest.skip(f"the shared data folder does not stand beside the checkout: {path.name}")
    lines = [line for line in path.read_text().splitlines() if line.startswith(begin)]
    reader = TEXT.reader()
    reader.feed((lines[0].replace("\\x1b", "\x1b") + "\n").encode(), 0)

    said = [(one.source, one.claims[0].clock()) for one in reader.finish().series]

    assert (len(lines), said) == (1, [] if clock is None else [clock])


FOLDERS = sorted({str(Path(row.path).parent) for row in rows() if row.path.endswith("/measurements.csv")})


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_csv_file_and_the_event_file_of_one_run_agree(folder: str) -> None:
    """AlgoPerf writes both. A folder's event files are its attempts; the CSV file is the last one's."""
    events = [row.path for row in rows() if row.path.startswith(f"{folder}/events.out.tfevents.")]
    _, marks = read(max(events))  # their names begin with the second in which they were made
    with (DATA / folder / "measurements.csv").open(newline="") as file:
        steps = {int(float(row["global_step"])) for row in csv.DictReader(file)}

    assert {value for _, value in counters(marks)} == steps


def test_an_evaluation_after_training_is_no_restart() -> None:
    """Stable diffusion evaluates its older checkpoints when training is over."""
    _, marks = read("progress/mlperf_v5.0/stable_diffusion/Dell__1xXE9712x4GB200/result_1.txt")

    assert {mark.segment for mark in marks} == {0}
    # behind the training's last record each one's begin and its end
    assert [mark.samples for mark in marks if mark.phase == "eval"] == [*[1_024_000] * 2, *[1_536_000] * 2]


def test_an_evaluation_that_shows_the_counter_first_still_marks_its_begin_and_end() -> None:
    """DLRM's only counters are those of its evaluations: 3.5 s after each 25 s of training."""
    _, marks = read("progress/mlperf_v5.0/dlrm_dcnv2/Dell__1xXE7745x4H200-NVL-141GB/result_0.txt")
    begins = [mark.at for mark in marks if mark.phase == "eval"]
    ends = [mark.at for mark in marks if mark.phase == "train" and mark.step is None and mark.samples is None]

    assert len(begins) == 17 + 1  # behind the training's last record the end of its evaluation, too
    assert begins[0] == 1_746_166_137.389  # eval_start, not eval_accuracy
    assert 1_746_166_140.867 in ends
