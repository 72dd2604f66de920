"""Which of two sources speaks that tell one counter, each in its own lines."""

import json

import pytest

from tests.unit.progress.logs import all_series, steps

LINES = {
    "text": "step {n} loss 0.5\n",
    "record": '{{"step": {n}, "loss": 0.5}}\n',
    "prefixed": 'saved {{"step": {n}, "path": "ck"}}\n',
    "dict": "{{'loss': 0.3, 'step': {n}, 'epoch': {n}.0}}\n",
    "megatron": "  iteration {n}/ 99999 | elapsed time per iteration (ms): 12.0 |\n",
}


@pytest.mark.parametrize("rare", LINES)
@pytest.mark.parametrize("often", LINES)
@pytest.mark.parametrize(("every", "since"), [(1000, 0), (100, 0), (1000, 3500), (50, 5000)])
def test_a_source_that_tells_a_part_leaves_the_rest_to_another(
    often: str, rare: str, every: int, since: int
) -> None:
    text = ""
    for n in range(10, 5901, 10):
        text += LINES[often].format(n=n)
        if n % every == 0 and n > since:
            text += LINES[rare].format(n=n)

    assert (steps(text)[0], steps(text)[-1], len(steps(text))) == (10, 5900, 590)
    assert len(all_series(text)) == 1


def test_a_counter_of_something_else_does_not_speak_for_the_better_known_one() -> None:
    """Micro-steps, eight to an iteration."""
    text = ""
    for n in range(1, 101):
        text += "".join(f"step {8 * n + k} loss 0.5\n" for k in range(8))
        text += LINES["megatron"].format(n=n)

    assert steps(text) == list(range(1, 101))


def test_a_source_with_a_time_at_each_record_keeps_its_place_where_it_tells_as_much() -> None:
    text = "".join(
        f"step {n} loss 0.5\n" + (json.dumps({"step": n, "loss": 0.5}) + "\n" if n % 20 == 0 else "")
        for n in range(10, 5901, 10)
    )

    assert all_series(text)[0].source == "jsonl"
