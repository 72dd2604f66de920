"""The guard's own file: which records are one training's."""

import json

import pytest

from slurm_guard.progress.guard import GuardSource
from slurm_guard.progress.protocol import Series

NAMES = [
    ("lr=0.1", "lr=0.01"),
    ("seed/1", "seed/2"),
    ("a" * 39 + "1", "a" * 39 + "2"),
    ("bert base, uncased", "bert base; uncased"),
    ("ß" * 12 + "1", "ß" * 12 + "2"),
    ("x" * 200 + "1", "x" * 200 + "2"),
    ("lr=0.1", "lr_0.1"),
    ("plain", "Plain"),
    ("\ud800", "\ud801"),
]


def _series(text: str) -> list[Series]:
    reader = GuardSource().reader()
    reader.feed(text.encode(), 0)
    return reader.finish().series


@pytest.mark.parametrize("names", NAMES)
def test_trainings_of_unlike_names_are_two_whatever_the_names_are(names: tuple[str, str]) -> None:
    rows = [json.dumps({"step": n, "run": name}) + "\n" for n in range(1, 201) for name in names]

    found = _series("".join(rows))

    assert [[claim.step for claim in one.claims] for one in found] == [list(range(1, 201))] * 2
    assert all(len(one.key) <= 32 and one.key.isascii() and one.key.isprintable() for one in found)


@pytest.mark.parametrize("names", [names for names in NAMES if not set(" ,;ß\ud800") & set(names[0])])
def test_pairs_tell_them_apart_as_well(names: tuple[str, str]) -> None:
    rows = [f"step={n} run={name}\n" for n in range(1, 201) for name in names]

    assert [len(one.claims) for one in _series("".join(rows))] == [200, 200]


@pytest.mark.parametrize("run", ["null", '""'])
def test_a_name_that_is_not_there_is_none(run: str) -> None:
    assert [one.key for one in _series(f'{{"step": 1, "run": {run}}}\n{{"step": 2}}\n')] == ["step"]
