"""Loops inside a training's steps, counters that stand still, labels, and clocks that other words name."""

from collections.abc import Callable

import pytest

from slurm_guard.progress.protocol import MICRO
from tests.unit.progress.logs import all_series, steps


@pytest.mark.parametrize(
    "loop", ["PGD step", "microbatch step", "LBFGS iter", "Denoise step", "Rollout step"]
)
def test_a_loop_inside_a_step_is_no_clock_beside_it(loop: str) -> None:
    text = ""
    for n in range(1, 21):
        text += f"step: {10 * n} loss: 0.5\n"
        text += "".join(f"{loop} {k}/30 time 0.1 loss 0.5\n" for k in range(1, 31))

    assert steps(text) == [10 * n for n in range(1, 21)]
    assert len(all_series(text)) == 1


def test_a_loop_that_begins_again_and_again_is_none_alone() -> None:
    text = "".join(f"Diffusion step {k}/50 time 0.1\n" for _ in range(10) for k in range(50))

    assert all_series(text) == []


@pytest.mark.parametrize("beside", ["loss=0.1", "acc=0.7", "loss 0.1, lr 0.3"])
@pytest.mark.parametrize("word", ["Finetuning step", "Fold epoch", "VAE iter", "Client epoch"])
@pytest.mark.parametrize("n_trainings", [2, 9, 40])
def test_trainings_one_after_the_other_with_a_word_before_the_clock_count(
    n_trainings: int, word: str, beside: str
) -> None:
    text = "".join(f"{word} {k}: {beside}\n" for _ in range(n_trainings) for k in range(1, 51))

    assert len(steps(text)) == 50 * n_trainings


def test_a_loop_beside_a_bar_or_a_stray_line_still_counts() -> None:
    text = "step: 3 loss: 0.5\n"
    for _ in range(12):
        text += "".join(f"{n}%|#  | {n}/40 [00:{n}<00:09, 1.00it/s]\r" for n in range(10, 41))
        text += "\n" + "".join(f"Fold epoch {k}: loss=0.1\n" for k in range(1, 51))

    assert len(steps(text)) == 12 * 50


@pytest.mark.parametrize("n_names", [8, 9, 12, 26])
@pytest.mark.parametrize("n_inside", [1, 3, 30])
def test_many_named_loops_add_nothing_to_the_trainings_own_clock(n_names: int, n_inside: int) -> None:
    text = ""
    for n in range(100, 160):
        text += f"step {n} loss 0.3\n"
        for letter in "abcdefghijklmnopqrstuvwxyz"[:n_names]:
            text += "".join(f"layer{letter} step {k} loss 0.1\n" for k in range(n_inside))

    assert steps(text) == list(range(100, 160))


def test_the_ninth_named_training_and_those_behind_it_count() -> None:
    names = "abcdefghijkl"
    text = "".join(f"model{letter} step {k} loss 0.1\n" for letter in names for k in range(50))

    assert sum(len(series.claims) for series in all_series(text)) == 50 * len(names)


def test_a_word_before_the_clock_alone_hides_no_training() -> None:
    text = "".join(f"Finetune step {k}/50 loss 0.1\n" for _ in range(3) for k in range(50))

    assert len(steps(text)) == 150
    text = "".join(f"{'Slow' if k % 9 else 'Fast'} step {k} loss 0.1\n" for k in range(90))
    assert steps(text)[-1] == 89


@pytest.mark.parametrize(
    "form", ["step={} iter={} res=0.1 time=0.1", "step {} | loss 0.5 | disc iter: {}/5", "step: {} iter: {}"]
)
def test_of_two_clocks_in_a_line_the_one_that_goes_on_counts(form: str) -> None:
    text = "".join(form.format(n, k) + "\n" for n in range(1, 31) for k in range(1, 6))

    assert steps(text) == [*range(1, 31)]


def test_of_two_clocks_that_go_on_the_finer_counts() -> None:
    assert steps("".join(f"iter {4 * n} step {n} loss 0.5\n" for n in range(1, 31))) == [
        4 * n for n in range(1, 31)
    ]


def test_of_two_counters_in_a_row_the_one_that_goes_on_is_the_step() -> None:
    inner = "".join(f'{{"step": {n}, "iter": {k}, "res": 0.1}}\n' for n in range(1, 31) for k in range(1, 6))
    of_epochs = "".join(
        f'{{"epoch": {e}, "iter": {k}, "step": {100 * e + k}, "loss": 0.5}}\n'
        for e in range(12) for k in range(10, 91, 10)
    )  # fmt: skip
    finer = "".join(f'{{"iter": {n}, "step": {n // 8}, "loss": 0.5}}\n' for n in range(1, 200))
    sizes = "".join(f'{{"iter": {k}, "batch": 64, "loss": 0.5}}\n' for _ in range(12) for k in range(9))

    assert steps(inner) == [*range(1, 31)]
    assert steps(of_epochs) == [100 * e + k for e in range(12) for k in range(10, 91, 10)]
    assert steps(finer) == [*range(1, 200)]
    assert steps(sizes) == [*range(9)] * 12


@pytest.mark.parametrize(
    "form",
    [
        '{{"epoch": {}, "batch": 64, "loss": 0.5}}',
        '{{"epoch": {}, "num_samples": 5000, "loss": 0.5}}',
        "epoch={} step=0 loss=0.5",
    ],
)
def test_a_counter_that_stands_still_leaves_the_clock_to_the_epoch(form: str) -> None:
    assert steps("".join(form.format(n) + "\n" for n in range(1, 9))) == [n * MICRO for n in range(1, 9)]


def test_the_end_of_each_epoch_alone_still_counts_its_steps() -> None:
    text = "".join(f"epoch {n} step 100/100 loss: 0.5\n" for n in range(1, 9))

    assert steps(text) == [100 * n for n in range(1, 9)]


def test_numbers_of_lines_are_no_labels_of_ranks() -> None:
    text = "".join(f"{n}: step={10 * n} loss=0.5\n" for n in range(1, 300))

    assert steps(text) == [10 * n for n in range(1, 300)]
    assert len(all_series(text)) == 1


def test_labels_of_many_ranks_stay_labels() -> None:
    text = "".join(f"{rank}: step={n} loss=0.5\n" for n in range(1, 9) for rank in range(40))
    ranks = [*range(9, 0, -1), 12, 11, 10]
    other = "".join(f"{rank}: step={100 * rank + n} loss=0.5\n" for n in range(8) for rank in ranks)

    assert steps(text) == [*range(1, 9)]
    assert len(all_series(other)) == 12


@pytest.mark.parametrize("n_ranks", [8, 9, 16, 60])
@pytest.mark.parametrize("shape", ["shards", "paces", "apart"])
def test_labels_that_come_again_are_ranks_however_they_began(shape: str, n_ranks: int) -> None:
    counts: dict[str, Callable[[int, int], int]] = {
        "shards": lambda rank, n: 5000 * rank + n,
        "paces": lambda rank, n: n * (rank + 1),
        "apart": lambda rank, n: 30 * rank + 20 * n,
    }
    count = counts[shape]
    text = "".join(
        f"{rank:2d}: step={count(rank, n)} loss=0.5\n" for n in range(1, 41) for rank in range(n_ranks)
    )

    found = [[claim.step for claim in series.claims] for series in all_series(text)]

    for rank in range(n_ranks):
        mine = [count(rank, n) for n in range(1, 41)]
        assert mine in found or any(len({*mine} & {*other}) >= len(mine) / 2 for other in found)
    assert all(one in [[count(rank, n) for n in range(1, 41)] for rank in range(n_ranks)] for one in found)


def test_more_ranks_than_are_followed_are_no_restarts() -> None:
    text = "".join(
        f"{rank:3d}: step={5000 * rank + n} loss=0.5\n" for n in range(1, 41) for rank in range(200)
    )

    assert all(len(series.claims) <= 40 for series in all_series(text))


@pytest.mark.parametrize("begin", [0, 300])
@pytest.mark.parametrize("n_lines", [20, 300])
def test_a_log_with_line_numbers_that_is_begun_again_stays_one(n_lines: int, begin: int) -> None:
    text = "".join(f"{n}: step={10 * n} loss=0.5\n" for n in range(1, n_lines))
    again = "".join(f"{n}: step={10 * (begin + n)} loss=0.5\n" for n in range(1, n_lines))

    assert [len(series.claims) for series in all_series(text + again)] == [2 * n_lines - 2]


@pytest.mark.parametrize(
    ("form", "scale"),
    [
        ("2026-08-01 10:11:12.123456: Epoch {} ", MICRO),
        ("========================= Step {}/500 =========================", 1),
        ("20260801-10:11:12 INFO: Train step {}/1160 done.", 1),
        ("Steps:{}/10000 (1.2%), Walltime:1m", 1),
        ("\u8bad\u7ec3 step\uff1a{}\uff0closs\uff1a0.5", 1),
        ("[1,0]<stdout>:step={} loss=0.5", 1),
        ("Epoch 0: : {}it [05:20,  1.56it/s, v_num=0]", 1),
        ("Epoch 0: |          | {}/? [05:20<00:00,  1.56it/s, v_num=0]", 1),
    ],
)
def test_a_line_that_says_its_clock_without_a_metric_or_an_ascii_colon(form: str, scale: int) -> None:
    assert steps("".join(form.format(n) + "\n" for n in range(1, 9))) == [n * scale for n in range(1, 9)]


@pytest.mark.parametrize(
    "form",
    [
        "Step {}/5 : RUN make",
        "-- Step {}/5 of the set-up --",
        "2026-08-01 10:11:12 Step {}",
        "2026-08-01 10:11:12 Epoch {} begins",
        "steps: {}",
        "Trains step {} done.",
    ],
)
def test_prose_with_a_clocks_word_stays_prose(form: str) -> None:
    assert all_series("".join(form.format(n) + "\n" for n in range(1, 5))) == []


@pytest.mark.parametrize(
    "words", ["Capturing CUDA graph shapes", "Compiling kernels", "Profiling", "Warming up"]
)
def test_a_bar_of_the_start_is_no_progress(words: str) -> None:
    bar = "{}:  {}%|#| {}/67 [00:10<00:20,  3.21it/s]\n"

    assert all_series("".join(bar.format(words, n, n) for n in range(1, 68))) == []


@pytest.mark.parametrize(
    "line",
    ["Last update: 2026-11-{:02d} ok", "Update: 11/{}/2026 ok", "update: {}/12 12:00 ok", "update: {}:30"],
)
def test_a_date_behind_update_is_no_counter(line: str) -> None:
    assert all_series("".join(line.format(n) + "\n" for n in range(10, 19))) == []


def test_a_refined_levels_step_is_no_step() -> None:
    line = "STEP = {} TIME = 1.0\n[Level 0 step {}] ADVANCE with time\n[Level 1 step {}] ADVANCE with time\n"

    assert steps("".join(line.format(n, n, 2 * n) for n in range(1, 20))) == [*range(1, 20)]


@pytest.mark.parametrize(
    "end", ["] ADVANCE with dt = 0.1", " ] ADVANCE at time 0 with dt = 1", "] Advanced 4096 cells"]
)
def test_the_coarsest_levels_step_is_the_simulations(end: str) -> None:
    text = ""
    for n in range(1, 20):
        text += f"[Level 0 step {n}{end}\n"
        text += "".join(f"[Level 1 step {k}{end}\n[Level 2 step {2 * k}{end}\n" for k in (2 * n - 1, 2 * n))

    assert steps(text) == [*range(1, 20)]
    assert all_series("".join(f"[Level 0 step {n}] of the set-up\n" for n in range(1, 9))) == []


def test_wenets_batch_names_its_epoch_before_the_batch() -> None:
    line = "2026-11-26 05:00:00,000 DEBUG TRAIN Batch {}/{} loss 12.5 loss_att 12.1 lr 0.001 rank 0\n"

    assert steps("".join(line.format(n // 10, 100 * (n % 10 + 1)) for n in range(150))) == [
        100 * n for n in range(1, 151)
    ]
    assert steps("".join(f"Batch {n}/500 loss 12.5\n" for n in range(1, 50))) == [*range(1, 50)]


@pytest.mark.parametrize(
    "form",
    [
        "Step {}/30: running bash, time 3.2s",
        "2026-11-26 05:00:00 INFO step {}: tool=bash",
        "[agent] step={} action=click(12)",
        "step: {}",
    ],
)
def test_an_agents_steps_in_task_after_task_are_no_training(form: str) -> None:
    turns = [4 + 7 * t % 23 for t in range(40)]
    text = "".join(form.format(s) + "\n" for turn in turns for s in range(1, turn))

    assert all_series(text) == []
    assert steps(text + "".join(f"iteration: {n} loss: 0.5\n" for n in range(1, 9))) == [*range(1, 9)]


@pytest.mark.parametrize(
    "said",
    ["I took the time to read it", "the account has access", "a reward awaits, no loss", "elapsed in vain"],
)
def test_a_step_in_prose_with_a_metrics_word_is_none(said: str) -> None:
    assert all_series("".join(f"Step {n}: {said}\n" for n in range(1, 30))) == []


@pytest.mark.parametrize(
    "said",
    [
        "loss on the training set: 0.5",
        "loss (avg) is 0.5", "Loss: {'total': tensor(0.5)}", "train_loss 0.5", "loss nan", "12.3 ms/step",
        "acc@1 45.3", "top1_acc: 0.5", "accuracy = .5", "it/s 8.1", "8.1it/s", "1,234 tok/s", "Time (s): 3.2",
    ],
)  # fmt: skip
def test_a_step_beside_a_metric_with_a_number_counts(said: str) -> None:
    assert steps("".join(f"Step {n} {said}\n" for n in range(1, 30))) == [*range(1, 30)]


def test_loops_over_data_that_print_no_metric_stay_progress() -> None:
    text = "".join(f"step: {s}\n" for _ in range(20) for s in range(0, 500, 50))
    assert len(steps(text)) == 200

    sweep = [4000 + 70 * n for n in range(12)]
    assert len(steps("".join(f"STEP = {s} TIME = 0.1\n" for top in sweep for s in range(0, top, 100)))) > 400

    ranks = [(n + late) * 10 for n in range(2, 60) for late in (0, -1, 0, -2, 0, -1, 0)]
    assert steps("".join(f"step: {s}\n" for s in ranks))[-1] == 590


def test_an_agents_steps_are_rows_of_data() -> None:
    row = '{{"task": {}, "step": {}, "action": "bash"}}\n'

    assert all_series("".join(row.format(t, s) for t in range(20) for s in range(1, 5 + t % 7))) == []
