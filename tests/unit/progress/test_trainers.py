"""Lines of trainers that name no usual counter, and words in German."""

import pytest

from slurm_guard.progress.registry import TEXT
from tests.unit.progress.logs import all_series, steps


def told(*lines: str) -> list[tuple[str, str, list[int | None]]]:
    """(source, clock, counters) of each series."""
    reader = TEXT.reader()
    reader.feed(("\n".join(lines) + "\n").encode(), 0)
    return [(one.source, one.key, [claim.clock() for claim in one.claims]) for one in reader.finish().series]


@pytest.mark.parametrize(
    ("line", "key", "counter"),
    [
        ("[12]\ttrain-logloss:0.12345\teval-logloss:0.2", "round", 12),
        ("[10]\ttraining's l2: 0.901\tvalid_1's l2: 0.5", "round", 10),
        ("I0801 10:00:00.123456 140 logging_writer.py:48] [4900] loss=2.5, lr=0.0001", "step", 4900),
        ("tick 7     kimg 28.3     time 7m 12s       sec/tick 61.5", "samples", 28_300),
        ("[2026-08-01 10:00:01] Ep. 1 : Up. 500 : Sen. 25,000 : Cost 7.1 * 1,234 @ 12", "step", 500),
        ("2026-08-01 10:00:01,123 INFO: 3epoch:train:51-100batch: iter_time=0.1, loss=2.0", "batch", 100),
    ],
)
def test_each_counts_by_itself(line: str, key: str, counter: int) -> None:
    assert told(line) == [("trainers", key, [counter])]


@pytest.mark.parametrize(
    "line", ["[12]\tsome words", "[1.5]\tx: 2", "tick tock kimg 3 ", "3epoch:valid:1-5batch: loss=2.0"]
)
def test_what_looks_a_little_like_them_is_none(line: str) -> None:
    assert told(line) == []


def test_german_words_and_commas_count() -> None:
    assert told("Schritt 10/1000 Verlust: 2,5", "Schritt 20/1000 Verlust: 2,4") == [
        ("keyvalue", "schritt", [10, 20])
    ]
    assert told("Epoche: 1 Verlust: 2,5")[0][:2] == ("keyvalue", "epoch")


def test_batches_of_an_epoch_between_bars_count() -> None:
    found = told("| epoch   1 |   200/2983 batches | lr 20.00 | ms/batch 14.1 | loss  5.1 | ppl 250.1")

    assert found == [("keyvalue", "batch", [200])]


@pytest.mark.parametrize("word", ["CG", "PCG", "GMRES", "BiCGStab", "linear", "line search"])
def test_iterations_of_a_linear_solver_are_no_progress(word: str) -> None:
    assert told(*(f"{word} iter: {k} residual: 1e-{k}" for k in range(1, 9))) == []
    assert told("Newton step: 3", f"{word} iter: 1 residual: 0.1") == [("keyvalue", "step~newton", [3])]


def test_lightnings_rich_bar_counts_the_batches_of_all_epochs() -> None:
    lines = [
        f"Epoch {epoch}/2  ━━━━━━━━━━╺━━━━━ {batch}/100 0:00:12 • 0:00:03 8.31it/s train_loss: 1.2"
        for epoch in range(3)
        for batch in (50, 100)
    ]

    assert told(*lines) == [("keyvalue", "batch", [50, 100, 50, 100, 50, 100])]


@pytest.mark.parametrize(
    ("line", "source", "key", "counter"),
    [
        (
            " NSTEP =     1000   TIME(PS) =       2.000  TEMP(K) =   300.0  PRESS =     0.0",
            "amber",
            "step",
            1000,
        ),
        ("[metric][batch=20]: throughput/tokens_per_sec: 12345.1", "keyvalue", "batch", 20),
        ("          \x1b[1m Learning iteration 12/1500 \x1b[0m        ", "keyvalue", "iteration", 12),
        ("DEEPMD INFO    batch     100: trn: rmse = 1.2e-01, lr = 1.00e-03", "keyvalue", "batch", 100),
    ],
)
def test_a_line_gives_its_counter(line: str, source: str, key: str, counter: int) -> None:
    assert told(line) == [(source, key, [counter])]


_HEADING = "      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size\n"
_NEW = "\r\x1b[K{:>11}      2.61G      1.153        nan         81        640: {}% {} {}/80 8.2it/s {}"
_OLD = (
    "\r{:>11}      2.61G      1.153      1.398      1.192         81        640:  {}%|{}| {}/80 [{}, 8.2it/s]"
)


@pytest.mark.parametrize(
    ("row", "bar", "spent", "checked"),
    [
        (_NEW, "━━━━━╸──────", "4.1s<5.0s", ": 100% ━━━━━━━━━━━━ 4/4 5.5it/s 0.7s"),
        (_OLD, "█████     ", "00:04<00:05", ": 100%|██████████| 4/4 [00:00<00:00,  4.3it/s]"),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_ultralytics_rows_count_the_batches_of_all_epochs(
    row: str, bar: str, spent: str, checked: str, first: int
) -> None:
    text = ""
    for epoch in range(first, 20 + first):
        text += "\r\x1b[K: 0% ──────────── 0/80  0.0s\n" + _HEADING
        text += "".join(row.format(f"{epoch}/20", n // 8 * 10, bar, n, spent) for n in (1, 40, 79, 80))
        text += (
            f"\n\r                 Class     Images  Instances      Box(P          R      mAP50{checked}\n"
        )

    assert [one.source for one in all_series(text)] == ["trainers"]
    assert steps(text) == [80 * epoch + n for epoch in range(20) for n in (1, 40, 79, 80)]


@pytest.mark.parametrize(
    "line",
    [
        "       3/20      2.61G      1.153         81        640: 100% ━━━━━━━━━━━━ 81/80 8.2it/s 4.1s",
        "       3/20 files copied: 50% ━━━━━━────── 40/80 8.2it/s 4.1s",
        "Downloading model.pt: 50% ━━━━━━────── 40/80 8.2it/s 4.1s",
    ],
)
def test_other_bars_of_that_shape_count_nothing(line: str) -> None:
    assert told(line) == []


def test_torchtunes_bar_counts_by_the_step_in_its_words() -> None:
    """It begins again in each epoch, and is drawn once with the new count and the words of the one before."""
    lines = []
    for epoch in range(3):
        words = f"{epoch}|{epoch * 3}"
        lines.append(f"{words}:   0%|          | 0/3 [00:00<?, ?it/s]")
        for batch in (1, 2, 3):
            bar = f"{33 * batch}%|███▎      | {batch}/3 [00:0{batch}<00:01,  1.17s/it]"
            lines.append(f"{words}:  {bar}")
            words = f"{epoch + 1}|{epoch * 3 + batch}|Loss: {2.5 / (epoch * 3 + batch)}"
            lines.append(f"{words}:  {bar}")
    log = "\r".join(lines) + "\n"

    assert all_series(log)[0].source == "trainers"
    assert all_series(log)[0].claims[-1].loss == 2.5 / 9
    assert steps(log) == list(range(1, 10))


@pytest.mark.parametrize(
    "words", ["1|25", "25|Loss: 1.2", "1|2.5|Loss: 1.2", "a|25|Loss: 1.2", "1|25|Acc: 0.2"]
)
def test_a_bar_with_other_words_is_a_bar(words: str) -> None:
    assert told(f"{words}:   4%|▍         | 1/25 [00:01<00:28,  1.17s/it]") == [("tqdm", "bar25", [1])]


def test_a_number_in_a_bars_words_that_stands_still_is_no_step() -> None:
    """`epoch|of|Loss: …`: the bar goes on being one."""
    bars = (
        f"1|100|Loss: {5 / n}: {n // 2:3d}%|███▎   | {n}/200 [00:{n % 60:02d}<02:00,  1.17it/s]"
        for n in range(1, 201)
    )

    assert told(*bars)[-1] == ("tqdm", "bar200", list(range(18, 201)))
