"""Tables of TOML into dataclasses: each fault is named with the nearest that is right, none hides another."""

import difflib
import typing
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import date
from typing import Any

from slurm_guard.configmaintenance import EXAMPLES as MAINTENANCE_EXAMPLES
from slurm_guard.configvalues import EXAMPLES, FITS, NOUNS
from slurm_guard.errors import EXIT_USAGE, GuardError


@dataclass(slots=True)
class Reading:
    """One file's. `defaults`: of every valid key; `left_out` takes keys that this release does not know,
    null: they are faults. `wrong`: keys with a fault, of which nothing more is said."""

    path: str
    defaults: dict[str, Any]
    left_out: list[str] | None = None
    faults: list[GuardError] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)

    def blame(self, slug: str, key: str, sentence: str, hint: str) -> None:
        """A fault of that key."""
        self.wrong.add(key)
        self.faults.append(GuardError(slug, f"{self.path}: {sentence}", hint, EXIT_USAGE))

    def is_fine(self, *keys: str) -> bool:
        """Whether none of these, or of the tables above or below them, has a fault."""
        return not any(
            bad == key or bad.startswith(f"{key}.") or key.startswith(f"{bad}.")
            for key in keys
            for bad in self.wrong
        )

    def judge(self, key: str, wrong: str, hint: str = "", where: str = "") -> None:
        """A wrong value; "": it is right. `where`: what the key is called here."""
        if wrong:
            hint = hint or f"for example: {self.example(key)}"
            self.blame("config-value", key, f"{where or key} {wrong}", hint)

    def example(self, key: str) -> str:
        """A line that would be right."""
        if key in EXAMPLES or key.startswith("maintenance."):
            return EXAMPLES.get(key) or MAINTENANCE_EXAMPLES[key.partition(".")[2]]
        default = self.defaults.get(key)
        text = str(default).lower() if isinstance(default, bool) else repr(default).replace("'", '"')
        return f"{key.rsplit('.', 1)[-1]} = {text}"


def build(shape: type, data: dict[str, Any], prefix: str, reading: Reading) -> Any:
    """A dataclass from a table; a key with a fault has its default."""
    known = [part.name for part in fields(shape)]
    hints = typing.get_type_hints(shape)
    values: dict[str, Any] = {}
    for name, value in data.items():
        key = prefix + name
        if name not in known and reading.left_out is not None:
            reading.left_out.append(key)
        elif name not in known:
            _blame_key(key, [prefix + each for each in known], reading)
        elif is_dataclass(kind := hints[name]):
            if isinstance(value, dict):
                values[name] = build(typing.cast(type, kind), value, f"{key}.", reading)
            else:
                reading.blame("config-type", key, f"{key} must be a table", f"write [{key}]")
        elif (inner := table_of(kind)) is not None:
            values[name] = _build_list(inner, value, key, reading)
        elif FITS[kind](value):
            values[name] = float(value) if kind is float else value
        else:
            said = f"{key} must be {NOUNS[kind]}, not {value!r}"
            reading.blame("config-type", key, said, f"for example: {reading.example(key)}")
    return shape(**values)


def table_of(kind: Any) -> type | None:
    """Of a list of tables what one of them is; null: it is none."""
    inner = typing.get_args(kind)[:1]
    return typing.cast(type, inner[0]) if inner and is_dataclass(inner[0]) else None


def _build_list(shape: type, value: Any, key: str, reading: Reading) -> list[Any]:
    """One of `shape` for each [[key]]. A date or time of TOML's own is as good as its text."""
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        reading.blame("config-type", key, f"{key} must be a list of tables", f"write [[{key}]]")
        return []
    parts = [{k: v.isoformat() if isinstance(v, date) else v for k, v in one.items()} for one in value]
    return [build(shape, one, f"{key}.", reading) for one in parts]


def _blame_key(key: str, valid: list[str], reading: Reading) -> None:
    every = [*reading.defaults]
    near = difflib.get_close_matches(key, [*valid, *every] if "." in key else valid, n=1, cutoff=0.4)
    if not near:  # perhaps the right key under the wrong table
        last = key.rsplit(".", 1)[-1]
        near = [each for each in every if each.rsplit(".", 1)[-1] == last][:1]
    hint = f"did you mean {near[0]}?" if near else "valid here: " + ", ".join(valid)
    reading.blame("config-key", key, f"unknown key {key}", hint)


def walk(shape: type, prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted key, default) of every key."""
    found: list[tuple[str, Any]] = []
    for part in fields(shape):
        kind = typing.get_type_hints(shape)[part.name]
        kind = table_of(kind) or kind
        if is_dataclass(kind):
            found += walk(typing.cast(type, kind), f"{prefix}{part.name}.")
        else:
            default = (
                part.default if part.default is not MISSING else typing.cast(Any, part.default_factory)()
            )
            found.append((prefix + part.name, default))
    return found
