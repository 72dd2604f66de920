"""What the records of some frameworks' JSON lines count, and of how much."""

import json
from typing import Any

import pytest

from slurm_guard.progress.jsonl import claim_of
from tests.unit.progress.logs import all_series, steps


@pytest.mark.parametrize(
    ("body", "key", "step", "total"),
    [
        # LLaMA-Factory's trainer_log.jsonl
        (
            {"current_steps": 20, "total_steps": 500, "epoch": 0.2, "total_tokens": 81_920},
            "current_steps",
            20,
            500,
        ),
        # ms-swift's logging.jsonl
        ({"loss": 0.2, "epoch": 0.1, "global_step/max_steps": "10/600"}, "step", 10, 600),
        ({"loss": 0.2, "epoch": 0.5, "global_step/max_steps": "x"}, "epoch", 500_000, None),
        # a total of epochs, or of steps, is none of millionths or of tokens
        ({"epoch": 3, "total": 40, "loss": 0.1}, "epoch", 3_000_000, None),
        ({"tokens": 4096, "total_steps": 500}, "tokens", None, None),
        ({"tokens": 4096, "total": 8192}, "tokens", None, 8192),
        ({"step": 5, "max_steps": 8}, "step", 5, 8),
    ],
)
def test_a_records_counter_and_its_total(
    body: dict[str, Any], key: str, step: int | None, total: int | None
) -> None:
    claim = claim_of(json.loads(json.dumps(body)), 1)

    assert claim is not None
    assert (claim.key, claim.step, claim.total) == (key, step, total)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("name", ["loss", "val_loss", "lr"])
def test_a_value_that_is_no_number_costs_neither_its_record_nor_the_others_fields(
    word: str, name: str
) -> None:
    """What json.dumps writes of float("nan"): every record keeps its step and its time, and is one series."""
    rows = [
        f'{{"{name}": {word if n % 10 else 0.5}, "step": {n}, "timestamp": {1_795_475_142 + n}}}\n'
        for n in range(1, 301)
    ]

    found = all_series("".join(rows))

    assert [one.source for one in found] == ["jsonl"]
    assert [(claim.step, claim.at) for claim in found[0].claims] == [
        (n, 1_795_475_142 + n) for n in range(1, 301)
    ]
    assert {claim.loss for claim in found[0].claims} <= {None, 0.5}


def dllogger(*said: list[int] | str) -> str:
    """A record a second."""
    rows = (
        {"timestamp": f"{1795000000.5 + n}", "type": "LOG", "step": step, "data": {"loss": 2.5}}
        for n, step in enumerate(said)
    )
    return "".join(f"DLLL {json.dumps(row)}\n" for row in rows)


def test_dlloggers_iterations_from_0_count_on_over_the_epochs() -> None:
    assert steps(dllogger(*([epoch, n] for epoch in range(3) for n in range(100)))) == list(range(1, 301))


def test_what_dllogger_sums_up_at_an_epochs_end_is_no_restart() -> None:
    rows = [row for epoch in range(1, 4) for row in ([epoch, 10], [epoch, 20], [epoch, 30], [epoch])]

    assert steps(dllogger("PARAMETER", *rows, [])) == list(range(10, 91, 10))


def test_dlloggers_other_counters_stay_as_they_are() -> None:
    assert steps(dllogger(*([0, n] for n in range(100)))) == list(range(100))
    assert steps(dllogger(*([n // 50, n] for n in range(100)))) == list(range(100))
    assert steps(dllogger(*([n] for n in range(100)))) == list(range(100))
