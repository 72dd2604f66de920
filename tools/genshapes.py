"""What each number of each format means, field by field: tests/fixtures/formats/NAME-NUMBER.txt.

A file of a number that stands in a release is never edited. `python -m tools.genshapes` adds fields that an
older reader may leave out and a newer one may miss, and says of everything else that it needs a new number.
"""

import dataclasses
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from slurm_guard import document, history, model, siteword, wire
from slurm_guard.install import journal
from slurm_guard.lake import history as store
from slurm_guard.lake import schema
from slurm_guard.memory import nights, words
from tools.genformats import ROOT

FOLDER = ROOT / "tests" / "fixtures" / "formats"
_OPTIONAL = ", may be missing"
_WORDS = {"exempt": siteword.Exemption, "disposition": siteword.Disposition, "withdraw": words.Withdrawal}


def shapes() -> dict[str, list[str]]:
    """Of each format its fields, a line each, by `NAME-NUMBER`."""
    return {
        f"spool-{wire.FORMAT}": _of_records(wire.KINDS),
        f"lake-{schema.FORMAT}": sorted(_of_lake()),
        f"document-{document.FORMAT}": sorted(_of_shape("", model.Audit)),
        f"night-{nights.FORMAT}": sorted(_of_shape("", siteword.PastNight)),
        f"words-{words.FORMAT}": _of_records(_WORDS),
        f"history-{history.FORMAT}": sorted(_of_history()),
        f"journal-{journal.FORMAT}": sorted(_of_shape("", journal.Journal)),
    }


def _of_records(kinds: dict[str, type]) -> list[str]:
    return sorted(line for kind, shape in kinds.items() for line in _of_shape(kind, shape))


def _of_lake() -> Iterator[str]:
    for table, columns in schema.TABLES.items():
        yield f"{table} by the day of {schema.PARTITION[table]}"
        for name, kind in columns.items():
            yield f"{table}.{name}: {dtype(kind)}{_OPTIONAL}"


def _of_history() -> Iterator[str]:
    for table in store.SHAPES:
        for name, kind in store.schema(table).items():
            yield f"{table}.{name}: {dtype(kind)}{_OPTIONAL}"


def dtype(kind: Any) -> str:
    """A column's type, as the committed files have it."""
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _of_shape(place: str, shape: Any) -> Iterator[str]:
    """A record's fields by their place in it, those of records inside it too."""
    hints = typing.get_type_hints(shape)
    for name, has_default in _fields(shape):
        where = f"{place}.{name}" if place else name
        # What the node half leaves out is null, where null is allowed (lake/shapes.py).
        may_miss = has_default or (hasattr(shape, "_fields") and type(None) in typing.get_args(hints[name]))
        yield f"{where}: {_words(hints[name])}{_OPTIONAL if may_miss else ''}"
        yield from _inside(where, hints[name])


def _fields(shape: Any) -> Iterator[tuple[str, bool]]:
    """Name, and whether it has a default."""
    missing = dataclasses.MISSING
    if dataclasses.is_dataclass(shape):
        for part in dataclasses.fields(shape):
            yield part.name, part.default is not missing or part.default_factory is not missing
    else:
        yield from ((name, name in shape._field_defaults) for name in shape._fields)


def _inside(where: str, kind: Any) -> Iterator[str]:
    args = [part for part in typing.get_args(kind) if part is not type(None) and part is not Ellipsis]
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        yield from _inside(where, args[0])
    elif origin in (list, tuple):
        yield from _inside(f"{where}[]", args[0])
    elif origin is dict:
        yield from _inside(f"{where}{{}}", args[1])
    elif dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
        yield from _of_shape(where, kind)


def _words(kind: Any) -> str:
    """A type as it is in the file: records are objects, whatever their classes are called."""
    args, origin = typing.get_args(kind), typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return " | ".join("null" if part is type(None) else _words(part) for part in args)
    if origin in (list, tuple):
        return f"list of {_words(args[0])}"
    if origin is dict:
        return f"object of {_words(args[1])}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(str(part.value) for part in kind)
    is_record = dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
    return "object" if is_record else str(getattr(kind, "__name__", kind))


def wrong(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """What needs a new number: fields that went or are another now, and new ones that must be there."""
    before, after = set(old), set(new)
    places = {_place(line).rpartition(".")[0] for line in before}
    found = [f"is gone, or is another now: {line}" for line in sorted(before - after)]
    for line in sorted(after - before):
        parent = _place(line).rpartition(".")[0]
        if parent in places and _OPTIONAL not in line and ": " in line:
            found.append(f"is new, and has no default: {line}")
    return found


def _place(line: str) -> str:
    return line.partition(":")[0]


def read(name: str) -> list[str]:
    """A committed file's lines; none where it is not there."""
    path = FOLDER / f"{name}.txt"
    return path.read_text("utf-8").splitlines() if path.exists() else []


def main() -> int:
    """Write what may be written; 1 where a number has to go up first."""
    bad = {name: found for name, lines in shapes().items() if (found := wrong(read(name), lines))}
    for name, found in bad.items():
        print(f"{name}:", *(f"  {line}" for line in found), sep="\n")
    for name, lines in shapes().items():
        if name not in bad and lines != read(name):
            FOLDER.mkdir(parents=True, exist_ok=True)
            Path(FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n", "utf-8")
    if bad:
        print("raise the format's number, and write a step from the old one (docs/formats.md)")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
