"""Bars that are drawn again: by the next epoch, which counts, and by another rank, which does not."""

import random
from collections.abc import Sequence

import pytest

from tests.unit.progress.logs import all_series

SMOOTH = 0.3  # tqdm's own


def clock(spent_s: float) -> str:
    return f"{int(spent_s) // 60:02d}:{int(spent_s) % 60:02d}"


def drawing(steps_s: Sequence[float], words: str = "") -> str:
    """A bar as tqdm draws it, each step in turn."""
    out, spent_s, pace_s = "", 0.0, steps_s[0]
    for n, step_s in enumerate(steps_s, 1):
        spent_s += step_s
        pace_s += SMOOTH * (step_s - pace_s)
        rate = f"{pace_s:5.2f}s/it" if pace_s >= 1 else f"{1 / pace_s:5.2f}it/s"
        share, of = 100 * n // len(steps_s), len(steps_s)
        out += f"\r{words}{share:3d}%|##   | {n}/{of} [{clock(spent_s)}<01:00, {rate}]"
    return out + "\n"


def n_records(text: str) -> int:
    return len(all_series(text)[0].claims)


def paces(rng: random.Random, n: int, step_s: float, jitter: float) -> list[float]:
    """Steps of an epoch whose first waits for the loader and whose middle one saves."""
    steps_s = [step_s * rng.gauss(1, jitter) for _ in range(n)]
    steps_s[0] *= 2
    steps_s[n // 2] += 5.0
    return steps_s


@pytest.mark.parametrize("words", ["", "loss 0.123: "])
@pytest.mark.parametrize("jitter", [0.0, 0.001, 0.01, 0.05, 0.2])
@pytest.mark.parametrize(("n", "step_s"), [(200, 0.7), (100, 1.0), (16, 58.7), (60, 12.5)])
def test_every_epoch_of_a_loop_counts(n: int, step_s: float, jitter: float, words: str) -> None:
    rng = random.Random(7)
    text = "".join(drawing(paces(rng, n, step_s, jitter), words) for _ in range(40))

    assert n_records(text) == 40 * n


@pytest.mark.parametrize("n_ranks", [2, 4, 8])
@pytest.mark.parametrize(
    ("n", "step_s", "jitter"),
    [(200, 0.7, 0.02), (200, 0.7, 0.1), (100, 1.0, 0.1), (32, 58.7, 0.02), (32, 58.7, 0.1), (60, 12.5, 0.02)],
)
def test_ranks_that_draw_one_bar_from_begin_to_end_count_once(
    n: int, step_s: float, jitter: float, n_ranks: int
) -> None:
    rng = random.Random(7)
    steps_s = paces(rng, n, step_s, jitter)
    text = "".join(drawing([steps_s[0] + rng.random() / 1000, *steps_s[1:]]) for _ in range(n_ranks))

    assert n_records(text) == n


def test_ranks_that_draw_all_epochs_one_rank_after_the_other_count_once() -> None:
    rng = random.Random(7)
    epochs = "".join(drawing(paces(rng, 100, 1.0, 0.05)) for _ in range(10))

    assert n_records(epochs * 4) == 1000


def quick(total: int, words: str = "") -> str:
    """A bar that is drawn at each step, one a second."""
    return drawing([1.0] * total, words)


def units(text: str) -> list[int]:
    """Of each track the steps that its points tell, begins of drawings included."""
    return [len(series.claims) for series in all_series(text)]


@pytest.mark.parametrize("n_bars", [63, 70, 300, 1200])
@pytest.mark.parametrize(
    "line", ["step {n} loss 0.5\n", "{{'loss': 0.5, 'epoch': {n}.0}}\n", '{{"step": {n}, "loss": 0.5}}\n']
)
def test_bars_take_no_clocks_place(n_bars: int, line: str) -> None:
    bars = "".join(
        f"100%|###| {n}/{n} [00:05<00:00, 9.00it/s]\n" for n in range(1000, 1000 + 777 * n_bars, 777)
    )

    found = all_series(bars + "".join(line.format(n=n) for n in range(1, 500)))

    assert [(one.source != "tqdm", len(one.claims)) for one in found] == [(True, 499)]


def test_a_bar_that_goes_on_between_hundreds_of_others_keeps_its_place() -> None:
    rng = random.Random(7)
    text = ""
    for n in range(1, 201):
        text += f"{n // 2}%|###| {n}/200 [00:{n % 60:02d}<00:00, 9.00it/s]\n"
        for total in rng.choices(range(1000, 90000), k=5):
            text += f"100%|###| {total}/{total} [00:05<00:00, 9.00it/s]\n"

    assert 200 in units(text)


@pytest.mark.parametrize(
    "totals", [(100, 101, 99, 100, 102), (50, 51) * 20, tuple(range(950, 1050, 9)), range(190, 280)]
)
def test_epochs_whose_loaders_differ_by_a_few_batches_are_one_training(totals: Sequence[int]) -> None:
    assert units("".join(quick(total) for total in totals)) == [sum(totals)]


def test_trainings_of_unlike_length_one_after_the_other_count_each() -> None:
    assert sorted(units("".join(quick(total) for total in (500, 400, 300, 200)))) == [200, 300, 400, 500]


def test_a_bar_inside_another_or_a_test_behind_it_is_no_training_beside_it() -> None:
    inside = "".join(
        f"{n}%|#| {n}/100 [00:{n % 60:02d}<00:00, 9.00it/s]\n" + quick(105) for n in range(1, 101)
    )

    assert units(inside) == [105 * 100]
    assert units(quick(300) + quick(20)) == [300]
    assert units("".join(quick(300) + quick(100) for _ in range(5))) == [1500]
