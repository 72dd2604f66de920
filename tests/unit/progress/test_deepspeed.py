"""DeepSpeed's monitors count samples, whatever the column is called."""

import os
from pathlib import Path

from slurm_guard.progress.mark import Mark
from slurm_guard.progress.registry import choose
from slurm_guard.progress.tfevents import TfeventsReader
from slurm_guard.progress.unit import Input, Told, read_unit, together
from tests.unit.progress.event_files import event, scalar, version


def _read(folder: Path, files: dict[str, str]) -> tuple[list[Told], list[Mark]]:
    inputs = []
    for nth, (name, text) in enumerate(files.items()):
        path = folder / name
        path.write_text(text)
        inputs.append(
            Input(nth, os.open(path, os.O_RDONLY), str(path), "walk", path.stat().st_size, 64 << 20)
        )
    try:
        return read_unit(inputs)
    finally:
        for one in inputs:
            os.close(one.fd)


def test_the_files_of_one_folder_are_one_track_of_samples(tmp_path: Path) -> None:
    rows = "".join(f"{n * 32},{3 - n / 10}\r\n" for n in range(1, 9))

    told, marks = _read(
        tmp_path,
        {
            "Train_Samples_lr.csv": f"step,lr\r\n{rows}",
            "Train_Samples_train_loss.csv": f"step,train_loss\r\n{rows}",
        },
    )

    assert [one.source for one in told] == ["deepspeed", "deepspeed"]
    assert [(mark.step, mark.samples) for mark in marks] == [(None, n * 32) for n in range(1, 9)]
    assert marks[0].loss == 2.9
    assert {mark.file for mark in marks} == {1}
    assert together("/w/a/Train_Samples_lr.csv") == together("/w/a/Train_Samples_train_loss.csv")


def test_a_resume_writes_the_heading_once_more_and_opens_a_segment(tmp_path: Path) -> None:
    text = "step,train_loss\n32,3.0\n64,2.9\n96,2.8\n128,2.7\nstep,train_loss\n64,2.9\n96,nan\n"

    told, marks = _read(tmp_path, {"Train_Samples_train_loss.csv": text})

    assert [(mark.segment, mark.samples, mark.loss) for mark in marks][-2:] == [(1, 64, 2.9), (1, 96, None)]
    assert told[0].problems == []


def test_other_tables_are_not_the_monitors() -> None:
    for path, head in (
        ("/w/Train_Samples_x.csv", b"id,text\n1,2\n"),
        ("/w/Train_Eigenvalues_0.csv", b"step,x\n1,2\n"),
        ("/w/loss.csv", b"step,loss\n1,2\n"),
    ):
        source = choose(head, path, "walk")
        assert source is None or source.name != "deepspeed"


def test_lines_that_are_no_rows_are_counted_as_problems(tmp_path: Path) -> None:
    told, marks = _read(tmp_path, {"Train_Samples_lr.csv": "step,lr\n1,2\na,b\n2,3\n-5,1\n3,0.5\n"})

    assert [mark.samples for mark in marks] == [1, 2, 3]
    assert told[0].problems == [
        "unreadable-deepspeed: lines that look like deepspeed's and have no number that can be used: 2"
    ]


def test_the_tensorboard_monitors_steps_are_samples_too() -> None:
    reader = TfeventsReader()
    for data in (
        version(),
        *(event(1.7e9 + n, n * 32, scalar("Train/Samples/train_loss", 1.0)) for n in range(5)),
    ):
        reader.feed(data, 0)

    (series,) = reader.finish().series

    assert series.key == "samples"
    assert [(claim.step, claim.samples) for claim in series.claims] == [(None, n * 32) for n in range(5)]
