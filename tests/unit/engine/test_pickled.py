"""Pickles of the parts' results: what comes back is what was given, of whatever kind."""

import pickle
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import pytest

from slurm_guard.engine.pickled import from_bytes, to_bytes


class _Colour(str, Enum):
    RED = "red"


class _Pair(NamedTuple):
    a: int
    b: float


@dataclass(frozen=True, slots=True)
class _Base:
    name: str
    size: float = 1.0


@dataclass(frozen=True, slots=True)
class _Longer(_Base):
    more: tuple[_Base, ...] = ()


@dataclass(frozen=True, slots=True)
class _One:
    value: object


@dataclass(slots=True)
class _Open:
    rows: list[int]
    seen: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Loose:
    a: int
    b: int


class _Bag:
    """Instances have a __dict__."""


@dataclass
class _Under(_Bag):
    __slots__ = ("a", "b")
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class _Computed:
    a: int
    double: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "double", 2 * self.a)


@dataclass(frozen=True, slots=True)
class _Own:
    a: int
    b: int

    def __reduce__(self) -> Any:
        return _Own, (self.a, -1)


@dataclass(slots=True)
class _Stated:
    a: int
    b: int

    def __getstate__(self) -> Any:
        return [self.a]

    def __setstate__(self, state: Any) -> None:
        self.a, self.b = state[0], -1


_RED = _Base("x", float("-0.0"))


@pytest.mark.parametrize(
    "value",
    [
        _Base("ä", float("inf")),
        _Longer("y", 2.0, (_RED, _RED)),
        _One(_Pair(1, 2.0)),
        _Open([1, 2], {"z"}),
        _Loose(1, 2),
        _Computed(4),
        {(_Colour.RED, None): [_Base("in a dict"), _Pair(3, 0.1)]},
        [frozenset({_Base("a"), _Base("b")}), b"bytes", 1 << 70],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_comes_back_is_what_was_given(value: object) -> None:
    assert from_bytes(to_bytes(value)) == value
    assert type(from_bytes(to_bytes(value))) is type(value)


def test_one_object_that_two_refer_to_stays_one() -> None:
    back = from_bytes(to_bytes(_Longer("y", 2.0, (_RED, _RED))))

    assert back.more[0] is back.more[1]


def test_nothing_is_computed_again() -> None:
    changed = _Computed(4)
    object.__setattr__(changed, "double", 5)

    assert from_bytes(to_bytes(changed)).double == 5


@pytest.mark.parametrize("value", [_Own(1, 2), _Stated(1, 2)], ids=lambda value: type(value).__name__)
def test_a_class_that_has_a_way_of_its_own_keeps_it(value: Any) -> None:
    assert from_bytes(to_bytes(value)).b == pickle.loads(pickle.dumps(value)).b == -1


def test_what_is_not_a_field_is_kept() -> None:
    value = _Under(1, 2)
    value.__dict__["later"] = 3

    assert from_bytes(to_bytes(value)).__dict__ == {"later": 3}


def test_a_field_that_was_never_set_is_said() -> None:
    with pytest.raises(AttributeError):
        to_bytes(object.__new__(_Base))
