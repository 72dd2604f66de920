"""Hypothesis strategies for wire.py's records, built from their annotations."""

import re
import types
import typing
from typing import Any

from hypothesis import strategies as st

from slurm_guard import wire
from tests.spools import AT, BOOT, CLUSTER, NODE, RUN

OTHER = wire.run_key(CLUSTER, 43, NODE, BOOT, AT + 60)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
INSTANT = st.floats(AT - 3600, AT + 3600).map(lambda at: round(at, 3))
COUNT = st.integers(0, 2**53)
_FIXED = {"node": st.just(NODE), "cluster": st.just(CLUSTER), "boot_id": st.just(BOOT), "format": st.just(1)}


def records(shape: Any, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any record of `shape` that a node could have written."""
    hints = typing.get_type_hints(shape)
    parts = {name: given.get(name, _field(name, hints[name])) for name in shape._fields}
    return st.builds(shape, **parts)


def _field(name: str, hint: Any) -> st.SearchStrategy[Any]:
    if name in _FIXED:
        return _FIXED[name]
    if name == "run":
        return st.sampled_from([None, RUN, OTHER] if type(None) in typing.get_args(hint) else [RUN])
    if name == "periods":
        pair = st.tuples(st.floats(0, 1e4), st.floats(0, 1)).map(list)
        return st.none() | st.lists(pair, max_size=3)
    return _value(name, hint)


def _value(name: str, hint: Any) -> st.SearchStrategy[Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return st.none() | _value(name, args[0])
    if origin is list:
        return st.lists(_value("", args[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(TEXT, _value("", args[1]), max_size=2)
    if hasattr(hint, "_fields"):
        return records(hint)
    if hint is float:
        return INSTANT if re.fullmatch("at|.*_at", name) else st.floats(0, 1e12)
    return {str: TEXT, int: COUNT, bool: st.booleans(), object: st.none() | COUNT | TEXT}[hint]
