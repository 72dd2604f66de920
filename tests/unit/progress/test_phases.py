"""Lines without a counter that name a phase."""

import pytest

from slurm_guard.progress.protocol import MAX_PHASES
from slurm_guard.progress.registry import TEXT

EVALUATIONS = [
    "Test: [ 10/196]  Time 0.1 (0.2)  Loss 6.1",
    "Test:   [   0/2500]  eta: 0:01:00  loss: 0.3",
    "val: [40/196] acc 0.3",
    "valid: [40/196] acc 0.3",
    '2026-11-20 10:51:13 | INFO | fairseq_cli.train | begin validation on "valid" subset',
    "2026/11/26 10:00:00 - mmengine - INFO - Epoch(val) [3][ 50/196]    eta: 0:00:10",
    "[11/26 10:00:00 d2.evaluation.evaluator]: Inference done 50/5000. Dataloading: 0.01 s/iter.",
    "Validation DataLoader 0:  40%|████      | 4/10 [00:02<00:03,  1.9it/s]",
    "Testing:  40%|████      | 4/10 [00:02<00:03,  1.9it/s]",
    "                 Class     Images  Instances      Box(P      R      mAP50):  50%|█████     | 2/4",
    "***** Running Evaluation *****",
    "***** Evaluating perplexity, Epoch 1/1 *****",
    "2024-01-01 12:00:00.000\thost:0\tolmo.train:1010\tINFO\t[eval_step=10/60]",
    "Completed eval step 12",
    "eval metrics after step: 1300, loss=2.1, total_weights=123",
    "INFO | valid1 | epoch 001 | valid on 'valid1' subset | loss 8.1 | num_updates 1300",
    "2023-01-01 12:00:00,123 INFO [train.py:1053] (0/4) Epoch 1, validation: loss=0.1, over 9.00 frames.",
]
OTHERS = [
    "Test set: 10000 samples", "Validation loss improved from 0.3 to 0.2", "Epoch(train) [3][ 50/196] lr: 1",
    "Evaluating the model every 500 steps", "Testing whether the cluster is up", "val: 0.3",
    "To begin validation, set --do_eval", "valid: [a, b]", "sampling interval: [ 3/100]", "Retrieval: [1/9]",
    "latest: [3/9]", "eval_step=500", "[eval_steps=500/9]", "will be completed eval steps 3",
]  # fmt: skip


def phases(line: str) -> list[str]:
    reader = TEXT.reader()
    reader.feed(f"{line}\n".encode(), 0)
    return [claim.phase for claim in reader.finish().phases]


@pytest.mark.parametrize("line", EVALUATIONS)
def test_a_line_of_an_evaluation_is_its_mark(line: str) -> None:
    assert phases(line) == ["eval"]


@pytest.mark.parametrize("line", OTHERS)
def test_a_line_about_one_is_none(line: str) -> None:
    assert "eval" not in phases(line)


def offsets(log: bytes) -> list[int]:
    reader = TEXT.reader()
    reader.feed(log, 0)
    return [claim.offset for claim in reader.finish().phases]


def test_of_too_many_marks_the_first_and_the_last_stay() -> None:
    line = b"Successfully saved the model to /ckpt\n"
    n = len(line)

    assert offsets(line * (MAX_PHASES + 7)) == [*range(n, n * MAX_PHASES, n), n * (MAX_PHASES + 7)]


def test_of_an_evaluations_marks_in_a_row_the_first_and_the_last_stay() -> None:
    line = f"{EVALUATIONS[0]}\n".encode()
    row, step = line * (MAX_PHASES + 7), b"step 10 loss 2.3\n"
    n = len(row)

    assert offsets(row + step + row) == [len(line), n, n + len(step + line), 2 * n + len(step)]


TRAINING = "".join(
    f"\r {n // 10:2d}%|█   | {n}/1000 [00:{n // 20:02d}<01:00,  5.0it/s]" for n in range(0, 501, 20)
)
HEADING = "***** Running Evaluation *****\n  Num examples = 50000\n  Batch size = 32\n"


def bar_of(total: int, words: str = "") -> str:
    return "".join(
        f"\r{words} {n % 9}%|█   | {n}/{total} [00:01<01:00,  5.0it/s]" for n in range(0, total + 1, 2)
    )


def marks(log: str) -> tuple[list[int | None], int]:
    """(counters of the bars' series, number of marks of evaluations; of each its first and last)."""
    reader = TEXT.reader()
    reader.feed(log.encode(), 0)
    found = reader.finish()
    counters = [claim.step for one in found.series for claim in one.claims]
    return counters, [claim.phase for claim in found.phases].count("eval")


def test_a_bar_below_the_heading_of_an_evaluation_is_marks_while_it_lasts() -> None:
    log = f"***** Running training *****\n{TRAINING}\n{HEADING}{bar_of(314)}\n"

    assert marks(f"{log}{TRAINING}\n") == ([*range(0, 501, 20), *range(0, 501, 20)], 2)
    assert marks(f"{log}{TRAINING}\n{HEADING}{bar_of(314)}\n")[1] == 2 * 2


@pytest.mark.parametrize(
    "log",
    [
        f"{HEADING}{bar_of(314)}\n",  # nothing shows that it is not the training's
        f"{TRAINING}\n{HEADING}***** Running training *****\n{bar_of(314)}\n",
        f"{bar_of(314)}\n{HEADING}{bar_of(314)}\n",
        f"{TRAINING}\n{HEADING}{bar_of(314, 'Step:')}\n",
    ],
)
def test_a_bar_that_may_be_a_trainings_stays_one(log: str) -> None:
    assert marks(log)[0][-158:] == list(range(0, 315, 2))
