"""Rows that say under a name of which part they are: the training's, or an evaluation's."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence

import pytest

from slurm_guard.progress.mark import Mark
from slurm_guard.progress.parts import is_evaluation, says_part
from slurm_guard.progress.registry import TEXT
from slurm_guard.progress.unit import Input, Told, read_unit

Row = Mapping[str, object]
Rows = Sequence[Row]
WORDS = [
    ("train", "val"), ("training", "validation"), ("Train", "Valid"), ("train", "dev"), ("train", "test"),
    ("train", "eval"), ("train", "dev-clean"), ("train_set", "val_set"), ("train-clean-100", "dev_other"),
]  # fmt: skip
NAMES = ["split", "phase", "mode", "stage", "set", "subset", "dataset", "partition", "type", "Data Split"]
FLAGS = ["is_train", "training", "is_training"]


def read(text: str, name: str) -> tuple[Told, list[Mark]]:
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        size = os.fstat(file.fileno()).st_size
        told, marks = read_unit([Input(0, file.fileno(), f"/w/{name}", "fd", size, 1 << 26)])
    return told[0], marks


def as_csv(rows: Rows) -> str:
    names = list(rows[0])
    return "".join(",".join(map(str, line)) + "\n" for line in (names, *(row.values() for row in rows)))


def as_json(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


WRITERS = {"metrics.csv": as_csv, "metrics.jsonl": as_json}


def trained(rows: Rows, name: str) -> list[int | None]:
    """The counters of the track, which falls nowhere; its evaluations are marks."""
    told, marks = read(WRITERS[name](rows), name)
    assert told.problems == []
    assert not any(mark.flags for mark in marks)
    return [mark.step for mark in marks if mark.phase == "train"]


def rows_of(name: str, words: tuple[object, object], n_epochs: int, n_eval: int, counts: str) -> Rows:
    """Ten rows an epoch of the training's steps, and behind them an evaluation's own."""
    out: list[Row] = []
    for e in range(n_epochs):
        own = {"again": 0, "on": e * n_eval}[counts]
        out += [{name: words[0], "epoch": e, "step": 100 * e + b, "loss": 0.3} for b in range(0, 100, 10)]
        out += [{name: words[1], "epoch": e, "step": own + b, "loss": 0.4} for b in range(0, n_eval, 5)]
    return out


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("part", NAMES)
@pytest.mark.parametrize("words", WORDS)
def test_an_evaluations_rows_count_nothing(name: str, part: str, words: tuple[str, str]) -> None:
    assert trained(rows_of(part, words, 5, 20, "again"), name) == [*range(0, 500, 10)]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("part", FLAGS)
@pytest.mark.parametrize("n_epochs", [2, 40])
def test_a_flag_tells_the_training_from_the_evaluation(name: str, part: str, n_epochs: int) -> None:
    assert trained(rows_of(part, (True, False), n_epochs, 20, "again"), name) == [
        *range(0, 100 * n_epochs, 10)
    ]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("n_eval", [20, 90, 150, 1000])
@pytest.mark.parametrize("counts", ["again", "on"])
@pytest.mark.parametrize("n_epochs", [5, 30])
def test_an_evaluations_own_counter_counts_nothing_however_long(
    name: str, n_eval: int, counts: str, n_epochs: int
) -> None:
    assert trained(rows_of("split", ("train", "val"), n_epochs, n_eval, counts), name) == [
        *range(0, 100 * n_epochs, 10)
    ]


@pytest.mark.parametrize("name", WRITERS)
def test_without_epochs_neither(name: str) -> None:
    rows = [
        {k: v for k, v in row.items() if k != "epoch"}
        for row in rows_of("phase", ("train", "valid"), 30, 60, "again")
    ]

    assert trained(rows, name) == [*range(0, 3000, 10)]


@pytest.mark.parametrize("name", WRITERS)
def test_an_evaluation_behind_the_training_does_not_climb_past_it(name: str) -> None:
    rows: list[dict[str, object]] = [{"split": "train", "step": n, "loss": 0.3} for n in range(0, 1000, 10)]
    test = [{"split": "test", "step": n, "loss": 0.3} for n in range(0, 5000, 10)]

    assert trained(rows + test, name) == [*range(0, 1000, 10)]
    # none of them keeps a counter that nobody's training reached
    told = [mark for mark in read(WRITERS[name](rows + test), name)[1] if mark.phase == "eval"]
    assert {mark.step for mark in told if (mark.step or 0) > 1000} == set()
    between = [row for n, row in enumerate(rows) for row in (row, *(test[90:] if n % 20 == 19 else ()))]
    told = [mark for mark in read(WRITERS[name](between), name)[1] if (mark.step or 0) > 1000]
    assert told == []
    # one that goes on from there fits
    assert trained([*rows, {"split": "test", "step": 1000, "loss": 0.3}], name)[-1] == 1000


@pytest.mark.parametrize("name", WRITERS)
def test_steps_of_the_epoch_are_added_up_over_evaluations(name: str) -> None:
    rows = [
        {"split": part, "epoch": e, "step": b, "loss": 0.3}
        for e in range(10)
        for part, n in (("train", 100), ("val", 200))
        for b in range(10, n + 1, 10)
    ]

    assert trained(rows, name) == [*range(10, 1001, 10)]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("parts", [("train", "val"), ("val", "train")])
def test_one_row_for_each_epoch_and_part_counts_epochs(name: str, parts: tuple[str, str]) -> None:
    rows: list[Row] = [{"epoch": e, "phase": p, "loss": 0.3} for e in range(50) for p in parts]
    _, marks = read(WRITERS[name](rows), name)

    assert [mark.step for mark in marks if mark.phase == "train"] == [e * 1_000_000 for e in range(50)]


@pytest.mark.parametrize("name", WRITERS)
def test_an_evaluation_at_the_trainings_step_is_a_point_of_it(name: str) -> None:
    rows: list[Row] = [
        {"split": part, "step": step + ahead, "loss": 0.3}
        for step in range(0, 1000, 100)
        for part, ahead in (("train", 0), ("val", 50))
    ]

    assert trained(rows, name) == [*range(0, 1000, 50)]


@pytest.mark.parametrize("name", WRITERS)
def test_rows_that_are_all_an_evaluations_count(name: str) -> None:
    rows: list[Row] = [{"split": "test", "step": n, "loss": 0.3} for n in range(40)]

    assert trained(rows, name) == [*range(40)]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("dataset", ("imagenet", "cifar-test")),
        ("stage", (1, 2)),
        ("type", ("step", "metrics")),
        ("set", ("a", "b")),
        ("train", (0.25, 0)),
        ("mode", ("max", "min")),
    ],
)
def test_other_words_are_no_parts(name: str, part: str, values: tuple[object, object]) -> None:
    rows: list[Row] = [{part: values[n % 2], "step": n, "loss": 0.3} for n in range(40)]

    assert trained(rows, name) == [*range(40)]


@pytest.mark.parametrize("name", WRITERS)
def test_a_resume_of_the_training_still_shows(name: str) -> None:
    rows: list[Row] = [
        {"split": part, "step": b if part == "train" else k, "loss": 0.3 + b / 1e4}
        for begin, end in ((0, 1000), (500, 1500))
        for b in range(begin, end, 100)
        for part, n in (("train", 1), ("val", 4))
        for k in range(n)
    ]
    _, marks = read(WRITERS[name](rows), name)

    assert [(m.segment, m.step) for m in marks if m.phase == "train"] == [
        *((0, step) for step in range(0, 1000, 100)), *((1, step) for step in range(500, 1500, 100))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "known"),
    [("Stage", True), ("is_train", True), ("data split", True), ("step", False), ("loss", False)],
)
def test_which_names_say_parts(name: str, known: bool) -> None:
    assert says_part(name) == known


@pytest.mark.parametrize(
    ("name", "values", "evaluates"),
    [
        ("split", ("val", "TRAIN", "x", None, 1), [True, False, None, None, None]),
        ("is_eval", (True, "false", 1, 0, "0", 0.5), [True, False, True, False, False, None]),
        ("training", (True, "False", 1, 0.1), [False, True, None, None]),
    ],
)
def test_which_values_say_that_a_row_is_an_evaluations(
    name: str, values: Sequence[object], evaluates: list[bool | None]
) -> None:
    assert [is_evaluation(name, value) for value in values] == evaluates


def of_modes(*modes: tuple[str, range]) -> str:
    return as_json([{"mode": mode, "step": n, "loss": 0.3} for mode, steps in modes for n in steps])


@pytest.mark.parametrize("word", ["predict", "prediction", "inference", "Predict"])
def test_predictions_that_recur_between_the_trainings_rows_count_nothing(word: str) -> None:
    own = (word, range(1, 21))
    log = of_modes(
        *(part for e in range(5) for part in (("train", range(100 * e + 10, 100 * e + 101, 10)), own))
    )
    told, marks = read(log, "metrics.jsonl")

    assert told.problems == []
    assert [mark.step for mark in marks if mark.phase == "train"] == [*range(10, 501, 10)]
    assert not any(mark.flags for mark in marks)


@pytest.mark.parametrize(
    "modes",
    [
        (("train", range(1, 50)), ("predict", range(1, 90))),  # a second training
        (("predict", range(1, 50)), ("train", range(1, 90))),
        (("train", range(1, 50)), ("predict", range(1, 9)), ("train", range(50, 90))),  # once
        # a training of its own each time, from whose begin the other begins anew
        *[(("train", range(1, 50)), ("predict", range(1, 90))) * 4],
    ],
)
def test_other_predictions_may_train(modes: tuple[tuple[str, range], ...]) -> None:
    _, marks = read(of_modes(*modes), "metrics.jsonl")

    assert [mark.phase for mark in marks] == ["train"] * sum(len(steps) for _, steps in modes)


def test_predictions_with_the_trainings_counter_are_its_records() -> None:
    rows = as_json(
        [{"mode": "predict" if n % 5 == 0 else "train", "step": n, "loss": 0.3} for n in range(100)]
    )

    assert [mark.step for mark in read(rows, "metrics.jsonl")[1] if mark.phase == "train"] == [*range(100)]


@pytest.mark.parametrize(
    ("row", "marks"),
    [
        ({"phase": "eval", "loss": 1.2}, 1),
        ({"phase": "eval"}, 1),
        ({"split": "val", "accuracy": 0.5}, 1),
        ({"is_eval": True, "loss": 1.2}, 1),
        ({"split": "test", "text": "a row of data"}, 0),
        ({"phase": "train", "loss": 1.2}, 0),
        ({"eval_loss": 1.2}, 0),
    ],
)
def test_an_evaluations_row_without_a_counter_is_a_mark(row: dict[str, object], marks: int) -> None:
    reader = TEXT.reader()
    reader.feed(f'{{"step": 10, "loss": 1.5}}\n{json.dumps(row)}\n'.encode(), 0)
    found = reader.finish()

    assert [claim.phase for claim in found.phases] == ["eval"] * marks
    assert [claim.step for claim in found.series[0].claims] == [10]
