"""Lines without a counter that name a phase."""

import pytest

from slurm_guard.progress.protocol import MAX_PHASES
from slurm_guard.progress.registry import TEXT

EVALUATIONS = [
    "Test: [ 10/196]  Time 0.1 (0.2)  Loss 6.1",
    "Test:   [   0/2500]  eta: 0:01:00  loss: 0.3",
    "val: [40/196] acc 0.3",
    "2026/11/26 10:00:00 - mmengine - INFO - Epoch(val) [3][ 50/196]    eta: 0:00:10",
    "[11/26 10:00:00 d2.evaluation.evaluator]: Inference done 50/5000. Dataloading: 0.01 s/iter.",
    "Validation DataLoader 0:  40%|████      | 4/10 [00:02<00:03,  1.9it/s]",
    "Testing:  40%|████      | 4/10 [00:02<00:03,  1.9it/s]",
    "                 Class     Images  Instances      Box(P      R      mAP50):  50%|█████     | 2/4",
    "***** Running Evaluation *****",
]
OTHERS = [
    "Test set: 10000 samples", "Validation loss improved from 0.3 to 0.2", "Epoch(train) [3][ 50/196] lr: 1",
    "Evaluating the model every 500 steps", "Testing whether the cluster is up", "val: 0.3",
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


def test_of_too_many_marks_the_first_and_the_last_stay() -> None:
    reader = TEXT.reader()
    line = f"{EVALUATIONS[0]}\n".encode()
    reader.feed(line * (MAX_PHASES + 7), 0)
    found = [claim.offset for claim in reader.finish().phases]

    n = len(line)
    assert found == [*range(n, n * MAX_PHASES, n), n * (MAX_PHASES + 7)]
