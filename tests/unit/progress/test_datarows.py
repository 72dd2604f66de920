"""Rows of data beside honest counters that fall."""

import random

import pytest

from slurm_guard.progress.datarows import count_falls
from slurm_guard.progress.protocol import MICRO, Claim, Found
from slurm_guard.progress.registry import TEXT
from slurm_guard.progress.track import build


def _read(text: str) -> Found:
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)
    return reader.finish()


def _claims(values: list[int]) -> list[Claim]:
    return [Claim(n, "step", step=value) for n, value in enumerate(values)]


@pytest.mark.parametrize(
    "form",
    [
        '{{"id": {}, "prompt": "a", "num_tokens": {}}}',
        '{{"question": "{}", "samples": {}, "acc": 1}}',
        "doc {} done: tokens={} loss=0.1 step={}",
    ],
)
def test_lengths_of_samples_are_no_progress(form: str) -> None:
    rng = random.Random(7)
    rows = [rng.randrange(3000, 4000) for _ in range(300)]

    found = _read("".join(form.format(n, value, value) + "\n" for n, value in enumerate(rows)))

    assert found.series == []
    assert [problem.split(":")[0] for problem in found.problems] == ["data-rows"]


@pytest.mark.parametrize("name", ["num_tokens", "tokens", "samples", "total_tokens"])
def test_lengths_that_were_sorted_are_none_either(name: str) -> None:
    rows = "".join(f'{{"id": {n}, "{name}": {3 * n}, "score": 0.5}}\n' for n in range(800))

    assert all(one.claims == [] for one in _read(rows).series)


@pytest.mark.parametrize(
    "form",
    [
        '{{"tokens_seen": {}, "ppl": 3.1}}',
        '{{"train/consumed_samples": {}, "ppl": 3.1}}',
        '{{"num_tokens": {}, "loss": 2.1}}',
        '{{"samples": {}, "epoch": 0.5}}',
        '{{"tokens": {}, "ts": 1795475142.2}}',
    ],
)
def test_a_cumulative_count_says_so_or_tells_more(form: str) -> None:
    series = _read("".join(form.format(100 * n) + "\n" for n in range(1, 9))).series

    assert [claim.clock() for one in series for claim in one.claims] == [100 * n for n in range(1, 9)]


@pytest.mark.parametrize(
    "values",
    [
        [*range(0, 5000, 7)],
        [step for _ in range(60) for step in (1, 2, 3, 4, 5)],  # a sweep of short trainings
        [step for n in range(20) for step in range(40 * n, 40 * n + 60)],  # resumes that repeat some
        [step + late for step in range(0, 2000, 10) for late in (0, -30, 10, -20)],  # ranks that lag
        [
            step for block in range(0, 800, 80) for _ in range(8) for step in range(block, block + 80)
        ],  # buffers
        [value for n in range(1, 100) for value in (n, 4 * n)],  # a code that counts coarse and fine steps
        [
            value for n in range(100) for value in (4 * n, 4 * n + 1, 4 * n + 2, n)
        ],  # two trainings in one file
        [3, 2, 1] * 2,
    ],
)
def test_a_training_that_begins_again_is_one(values: list[int]) -> None:
    assert count_falls(_claims(values)) == 0


def test_a_fall_is_no_datas_where_the_record_has_a_total_or_a_later_epoch() -> None:
    rng = random.Random(7)
    claims = _claims([rng.randrange(1000) for _ in range(200)])

    assert count_falls(claims) > 20
    assert count_falls([claim._replace(total=1000) for claim in claims]) == 0
    assert count_falls([claim._replace(epoch=float(n)) for n, claim in enumerate(claims)]) == 0


@pytest.mark.parametrize("metric", ["acc", "psnr", "nll", "mae", "top1", "grad_norm", "eval/ssim", "Reward"])
@pytest.mark.parametrize("clock", ["iteration", "epoch", "step"])
def test_seeds_in_one_file_are_told_by_the_metric_beside_their_counter(metric: str, clock: str) -> None:
    rows = [f'{{"{clock}": {n}, "{metric}": 0.{n}}}\n' for _ in range(12) for n in range(1, 41)]

    found = _read("".join(rows))

    assert [len(one.claims) for one in found.series] == [480]
    assert found.problems == []


@pytest.mark.parametrize("beside", ['"reward": 0.0', '"action": "look", "error": null', '"done": false'])
def test_an_agents_steps_are_no_training_for_their_rewards(beside: str) -> None:
    rng = random.Random(3)
    rows = [
        f'{{"task": {task}, "step": {n}, {beside}}}\n'
        for task in range(40)
        for n in range(1, rng.randrange(3, 30))
    ]

    found = _read("".join(rows))

    assert found.series == []
    assert [problem.split(":")[0] for problem in found.problems] == ["data-rows"]


@pytest.mark.parametrize(
    "form", ["epoch={} val_loss=0.5", "step: {} eval_acc: 0.5", '{{"epoch": {}, "val_loss": 0.5}}']
)
@pytest.mark.parametrize("begins", [(1, 1, 1), (1, 20, 35), (1,) * 12])
def test_trainings_that_log_their_evaluations_alone_keep_them_all(form: str, begins: tuple[int, ...]) -> None:
    values = [n for begin in begins for n in range(begin, begin + 49)]
    claims = [
        (0, claim) for one in _read("\n".join(map(form.format, values)) + "\n").series for claim in one.claims
    ]

    marks = build("t", claims, [], ())

    unit = MICRO if "epoch" in form else 1
    assert [mark.step for mark in marks] == [unit * value for value in values]
    assert sum("step-back" in mark.flags for mark in marks) == len(begins) - 1


@pytest.mark.parametrize("looks", [(40,), (40, 20, 10), (10, 20, 40), (30, 30, 30)])
def test_looks_back_at_checkpoints_are_no_training(looks: tuple[int, ...]) -> None:
    values = [*range(1, 50), *looks]
    found = _read("".join(f"epoch={n} val_loss=0.5\n" for n in values)).series

    marks = build("t", [(0, claim) for claim in found[0].claims], [], ())

    assert [mark.step for mark in marks if mark.phase == "train"] == [MICRO * n for n in range(1, 50)]
