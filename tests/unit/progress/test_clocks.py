"""Which number of a line is its clock: commas, and words that make another count of it."""

import pytest

from slurm_guard.progress.protocol import MAX_SEGMENT, MICRO
from tests.unit.progress.logs import all_series, steps


@pytest.mark.parametrize(
    "form",
    [
        "Epoch: {:03d}, Loss: 0.5, Train: 0.9",
        "epoch={}, loss=0.5",
        "epoch: {}, lr: 1.00e-03 - train loss: 2.31 - valid loss: 2.1",
    ],
)
def test_a_comma_behind_an_epoch_is_not_part_of_it(form: str) -> None:
    text = "".join(form.format(epoch) + "\n" for epoch in range(1, 6))

    assert steps(text) == [epoch * MICRO for epoch in range(1, 6)]


@pytest.mark.parametrize(
    "form", ["Epoch: {}, Step: {}, Loss: 0.5", "INFO - __main__ - epoch: {}, step: {}, loss: 1"]
)
def test_steps_are_added_up_over_epochs_with_a_comma(form: str) -> None:
    text = "".join(form.format(epoch, step) + "\n" for epoch in range(3) for step in (10, 20, 30))

    assert steps(text) == [10, 20, 30, 40, 50, 60, 70, 80, 90]


@pytest.mark.parametrize(
    ("line", "step", "total"),
    [
        ("step: 1,234,567 loss: 0.5", 1_234_567, None),
        ("step 7/1,000, loss: 0.5", 7, 1000),
        ("step 7/100,20 loss: 0.5", 7, None),
        ("step=1_000, loss=0.5", 1000, None),
    ],
)
def test_commas_group_three_digits(line: str, step: int, total: int | None) -> None:
    claim = all_series(line + "\n")[0].claims[0]

    assert (claim.step, claim.total) == (step, total)


@pytest.mark.parametrize("number", ["5,20", "12,345,6", "1,2345"])
def test_a_tuple_is_no_counter(number: str) -> None:
    assert all_series(f"iter: {number}, loss: 0.5\n") == []


@pytest.mark.parametrize(
    "words",
    [
        "ms per step: {}", "avg iter: {}", "best step: {}", "max iter: {}", "remaining step: {}",
        "skipped step: {}", "tokens per step: {}", "micro step: {}", "inner iter: {}", "Sampling step: {}",
        "warmup step: {}",
        "warm-up step: {}", "fps step: {}", "throughput step: {}", "every step: {}", "best epoch: {}",
    ],
)  # fmt: skip
def test_a_word_before_the_clock_makes_it_another_count(words: str) -> None:
    assert all_series("".join(words.format(n) + " loss: 0.5\n" for n in range(1, 9))) == []
    assert steps("".join(f"{words.format(9 * n)} loss: 0.5 step: {n}\n" for n in range(1, 9))) == [
        *range(1, 9)
    ]


@pytest.mark.parametrize("words", ["12.3 ms step: {}", "model step: {}", "train step: {}", "paper step: {}"])
def test_other_words_before_the_clock_leave_it(words: str) -> None:
    assert steps("".join(words.format(n) + " loss: 0.5\n" for n in range(1, 9))) == [*range(1, 9)]


def test_a_frame_rate_is_no_step() -> None:
    line = "fps step: {} fps step and policy inference: 41931 fps total: 43117 epoch: {}/1500 frames: {}\n"
    text = "".join(line.format(54_000 + 97 * n % 3000, n, n * 65_536) for n in range(1, 9))

    assert steps(text) == [n * MICRO for n in range(1, 9)]


def test_a_size_is_no_batch_that_is_counted() -> None:
    trial = "Trial {} finished with value: 0.9 and parameters: {{'lr': 0.1, 'batch': {}}}.\n"

    assert all_series("".join(trial.format(n, 16 << n % 3) for n in range(30))) == []
    assert (
        all_series("engine/trainer: task=detect, mode=train, epochs=100, batch=16, imgsz=640, time=None\n")
        == []
    )
    assert steps("".join(f"  batch {n} loss: 0.9\n" for n in range(1, 9))) == [*range(1, 9)]
    assert steps("".join(f"batch: {n}/80 loss: 0.9\n" for n in range(1, 9))) == [*range(1, 9)]
    assert steps("".join(f"epoch 0 batch: {n} loss: 0.9\n" for n in range(1, 9))) == [*range(1, 9)]


def times(line: str) -> list[float | None]:
    """The claimed times of three such lines."""
    return [claim.at for claim in all_series("".join(line.format(n) + "\n" for n in range(3)))[0].claims]


@pytest.mark.parametrize(
    "line",
    [
        "Time step: {} model time 2020-01-01T00:00:00 loss 1",
        "step={} loss=0.1 valid at 2020-01-01 00:00:00",
        "model time: 2020-01-01 00:00:00, step: {}",
        "step={} date=2020-01-01T06:00:00Z",
    ],
)
def test_a_models_date_is_no_time(line: str) -> None:
    assert times(line) == [None, None, None]


@pytest.mark.parametrize(
    "line",
    [
        "2026-08-01 10:11:12 step: {} loss 1",
        "[INFO|trainer.py:12] 2026-08-01 10:11:12,123 >> epoch: {} loss: 1",
        "step: {} loss: 1 [2026-08-01 10:11:12]",
        "step={} loss=1 ts=2026-08-01T10:11:12Z",
    ],
)
def test_a_writers_date_is_a_time(line: str) -> None:
    assert None not in times(line)


def test_a_number_that_the_cut_tears_is_not_read() -> None:
    begin = "step=7 loss=0.5 "
    for n in range(1, 20):
        line = begin + "x" * (MAX_SEGMENT - len(begin) - n) + " tokens=12345 lr=1"
        claims = [claim for one in all_series(line + "\n") for claim in one.claims]

        assert [claim.step for claim in claims] == [7]
        assert claims[0].tokens in (None, 12345)


def test_a_long_object_without_blanks_keeps_what_stands_before_the_cut() -> None:
    body = '{"step":12,' + ",".join(f'"k{n}":{n}' for n in range(900)) + ',"loss":0.5}'

    assert steps(body + "\n" + body.replace(":12,", ":13,", 1) + "\n") == [12, 13]


@pytest.mark.parametrize(
    ("train", "evaluation"),
    [
        ("[Train] Step {}/10000 loss 0.5", "[Validation] Step {}/50 loss 0.3"),
        ("| train | epoch 3 | step {} | loss 0.5", "| valid | epoch 3 | step {} | loss 0.3"),
        ("mode=train epoch=3 step={} loss=0.5", "mode=val epoch=3 step={} loss=0.3"),
        ("step={} split=train loss=0.5", "step={} split='validation' loss=0.3"),
        ("Train step: {} loss: 0.5", "Dev step: {} loss: 0.3"),
        ("Train (step {}/10000) loss: 0.5", "Eval (step {}/50) loss: 0.3"),
        ("[Train][Epoch 3/9][Iter: {}/9000]lr: 1, loss: 0.5", "[Eval][Epoch 3][Iter: {}/40]loss: 0.3"),
        ("INFO Training: step {} loss 0.5", "INFO Validating: step {} loss 0.3"),
    ],
)
def test_an_evaluation_before_the_clock_counts_no_step(train: str, evaluation: str) -> None:
    text = ""
    for turn in range(3):
        text += "".join(train.format(100 * (8 * turn + n)) + "\n" for n in range(1, 9))
        text += "".join(evaluation.format(10 * n) + "\n" for n in range(1, 5))

    assert steps(text) == [100 * n for n in range(1, 25)]


@pytest.mark.parametrize("place", ["engine:step:{}", "__main__:train_step:{}", "[trainer.py:iter:{}]"])
def test_a_function_and_its_line_are_no_clock(place: str) -> None:
    line = "2026-11-26 05:00:00.123 | INFO     | " + place + " - step {} loss 0.5\n"

    assert steps("".join(line.format((45, 52, 88)[n % 3], 10 * n) for n in range(1, 9))) == [
        10 * n for n in range(1, 9)
    ]
    assert steps("".join(f"INFO:__main__:step:{n}/30 val_loss:4.5\n" for n in range(1, 9))) == [*range(1, 9)]


@pytest.mark.parametrize("number", ["4.19B", "98.00M", "4.5k", "50%", "12.5%"])
def test_what_stands_before_a_unit_is_no_number(number: str) -> None:
    claim = all_series(f"step=7 loss=0.5 tokens={number}, samples={number} lr=1\n")[0].claims[0]

    assert (claim.step, claim.tokens, claim.samples, claim.loss) == (7, None, None, 0.5)


def test_a_sentences_end_is_no_part_of_a_number() -> None:
    claim = all_series("step=7,tokens=4096,samples=8,loss=0.5.\n")[0].claims[0]

    assert (claim.tokens, claim.samples, claim.loss) == (4096, 8, 0.5)


@pytest.mark.parametrize("mark", [" ", "'", "\u202f", "\xa0"])
def test_groups_that_no_comma_parts_are_not_read_in_part(mark: str) -> None:
    assert all_series(f"step: 1{mark}000 loss: 0.5\nstep: 12{mark}000{mark}000 loss: 0.5\n") == []
    claim = all_series(f"step 7/1{mark}000 loss: 0.5\n")[0].claims[0]
    assert (claim.step, claim.total) == (7, None)
    claim = all_series(f"step: 7 tokens: 1{mark}024 loss: 0.5\n")[0].claims[0]
    assert (claim.step, claim.tokens) == (7, None)


@pytest.mark.parametrize(
    "line", ["step 1024 512 loss: 0.5", "step 7 loss 0.5 acc 100 time 1", "step 7 0.5 loss"]
)
def test_a_number_beside_another_is_whole(line: str) -> None:
    assert steps(line + "\n")[0] in (1024, 7)


def test_nemos_iterations_without_a_global_step_go_on_over_the_epochs() -> None:
    line = "Training epoch {}, iteration {}/49 | lr: 1e-4 | reduced_train_loss: 0.5\n"

    assert steps("".join(line.format(n // 50, n % 50) for n in range(150))) == [*range(150)]
