"""Digests: the same value the same, another value another."""

import subprocess
import sys
from dataclasses import dataclass
from enum import Enum

import polars as pl
import pytest

from slurm_guard.engine.digest import code_digest, digest_of


@dataclass(frozen=True)
class Pair:
    a: object
    b: object


class Word(Enum):
    A = "a"
    B = "b"


OTHERS: tuple[object, ...] = (
    None,
    False,
    0,
    0.0,
    -0.0,
    "",
    b"",
    "0",
    (),
    ((),),
    {},
    frozenset[str](),
    ("a", "b"),
    ("ab",),
    ("a", ("b",)),
    {"a": "b"},
    {"b": "a"},
    frozenset(["a", "b"]),
    Pair("a", "b"),
    Pair("b", "a"),
    Word.A,
    Word.B,
    "Word.A ",
    pl.DataFrame({"a": [1]}),
    pl.DataFrame({"a": [1.0]}),
    pl.DataFrame({"b": [1]}),
    pl.DataFrame({"a": [None]}, schema={"a": pl.Int64}),
)


def test_other_values_have_other_digests() -> None:
    assert len({digest_of(value) for value in OTHERS}) == len(OTHERS)


def test_order_of_sets_and_tables_of_keys_makes_no_difference() -> None:
    words = [f"w{k}" for k in range(50)]

    assert digest_of(frozenset(words)) == digest_of(frozenset(reversed(words)))
    assert digest_of(dict.fromkeys(words, 1)) == digest_of(dict.fromkeys(reversed(words), 1))
    assert digest_of(words) != digest_of(words[::-1])


def test_another_process_says_the_same() -> None:
    code = "from slurm_guard.engine.digest import *; print(digest_of({'x', 'y', 'z'}), code_digest())"
    done = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]  # fmt: skip

    assert done[0] == done[1] == [digest_of({"x", "y", "z"}), code_digest()]


def test_what_has_no_digest_is_refused() -> None:
    with pytest.raises(TypeError, match="generator"):
        digest_of(k for k in range(2))
