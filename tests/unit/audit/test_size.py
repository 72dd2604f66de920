"""Whose word on the size of a model counts, and where it says nothing."""

import polars as pl

from slurm_guard.audit.size import Size, size_of, sizes_of
from slurm_guard.lake.schema import TABLES

B = 10**9
SAID, HEADER = "said", "header"


def test_of_a_total_whose_experts_are_not_told_a_small_part_is_at_work() -> None:
    assert Size(671 * B, None, SAID).least < 37 * B
    assert Size(1000 * B, None, SAID).least < 32 * B
    assert Size(671 * B, 17 * B, HEADER).least == 17 * B


def test_headers_of_the_runs_checkpoints_speak_before_the_logs_words() -> None:
    """Folders with checkpoints have a row of their own, and their names give way to any log."""
    named = [("kv:/a", Size(7 * B, None, SAID)), ("checkpoint:/out", Size(8 * B, 8 * B, HEADER))]

    assert size_of(named, ["kv:/a"]) == Size(8 * B, 8 * B, HEADER)
    assert size_of(named, []) is None


def test_headers_that_contradict_the_log_say_nothing() -> None:
    named = [("kv:/a", Size(7 * B, None, SAID)), ("checkpoint:/out", Size(70 * B, 70 * B, HEADER))]

    assert size_of(named, ["kv:/a"]) is None
    assert size_of([named[1]], ["kv:/a"]) == Size(70 * B, 70 * B, HEADER)


def test_checkpoints_of_two_models_say_nothing() -> None:
    named = [(f"checkpoint:/{k}", Size(k * B, k * B, HEADER)) for k in (1, 8)]

    assert size_of([*named, ("kv:/a", Size(8 * B, None, SAID))], ["kv:/a"]) is None


def test_the_sizes_of_several_models_say_nothing() -> None:
    named = [("kv:/a", Size(7 * B, None, SAID)), ("kv:/b", Size(70 * B, None, SAID))]

    assert size_of(named, ["kv:/a", "kv:/b"]) is None
    assert size_of(named, ["kv:/a (train)"]) == Size(7 * B, None, SAID)


def test_sizes_that_differ_by_embeddings_are_one_model() -> None:
    named = [("kv:/a", Size(1177 * 10**6, None, SAID)), ("kv:/b", Size(1074 * 10**6, None, SAID))]

    assert size_of(named, ["kv:/a", "kv:/b"]) == Size(1074 * 10**6, None, SAID)


def test_a_log_that_is_not_used_says_nothing() -> None:
    assert size_of([("kv:/ab", Size(7 * B, None, SAID))], ["kv:/a"]) is None


def test_what_cannot_be_a_size_is_left_out() -> None:
    rows = [
        {"run": "r", "source": "kv", "path": "/a", "params": params, "dense": dense, "params_from": told}
        for params, dense, told in (
            (0, None, SAID),
            (-5, None, SAID),
            (2**62, None, SAID),
            (7 * B, 8 * B, HEADER),
            (7 * B, None, None),
        )
    ]
    logs = pl.DataFrame(rows, schema=TABLES["logs"])
    keys = pl.DataFrame({"run": ["r"], "i": [3]})

    assert sizes_of(logs, keys) == {3: (("kv:/a", Size(7 * B, None, HEADER)),)}
