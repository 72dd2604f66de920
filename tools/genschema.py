"""JSON Schemas (2020-12) of what `slurm-guard report` and `doctor` write with `--format json`.

A field of a later release may stand in a document of the same format, so that unknown ones are allowed; one
that has a default may be missing.
"""

import dataclasses
import json
import sys
import types
import typing
from enum import Enum
from pathlib import Path
from typing import Any

from slurm_guard import costmodel, model, sitemodel, summodel
from slurm_guard.doctor import show
from slurm_guard.doctor.finding import Level, Role
from slurm_guard.document import FORMAT, KIND
from slurm_guard.report import nights_data
from tools.genformats import ROOT, class_fields

FOLDER = ROOT / "docs" / "schema"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN = {int: "integer", float: "number", str: "string", bool: "boolean"}


def audit_schema() -> dict[str, Any]:
    """Of the audit document."""
    defs: dict[str, Any] = {}
    whole = _record(model.Audit, defs)
    head = {"kind": {"const": KIND}, "format": {"const": FORMAT}}
    return {
        "$schema": _DRAFT,
        "$id": f"urn:slurm-guard:audit:{FORMAT}",
        "title": "slurm-guard audit document",
        "description": "One window of a cluster: docs/formats.md. Null is not observed, 0 an observed zero.",
        **whole,
        "properties": {**head, **whole["properties"]},
        "required": [*head, *whole["required"]],
        "$defs": dict(sorted(defs.items())),
    }


def nights_schema() -> dict[str, Any]:
    """Of several nights (`report --since`)."""
    audit = audit_schema()
    defs = audit.pop("$defs")
    for key in ("$schema", "$id"):
        audit.pop(key)
    text, count = {"type": "string"}, {"type": "integer"}
    night = _object({"night": text, "audit": {"$ref": "#/$defs/Document"}})
    failed = _object({"night": text, "why": text})
    properties = {
        "kind": {"const": nights_data.KIND},
        "format": {"const": nights_data.FORMAT},
        "nights": {"type": "array", "items": night},
        "since": text,
        "narrowed": {**text, "description": "what was asked for; empty: every run"},
        "n_runs": count,
        "ledger_gpu_ms": {"type": "object", "additionalProperties": count},
        "missing": {"type": "array", "items": text, "description": "days without a document"},
        "failed": {"type": "array", "items": failed, "description": "documents that cannot be read"},
    }
    return {
        "$schema": _DRAFT,
        "$id": f"urn:slurm-guard:nights:{nights_data.FORMAT}",
        "title": "slurm-guard nights",
        **_object(properties),
        "$defs": {"Document": audit, **defs},
    }


def doctor_schema() -> dict[str, Any]:
    """Of `slurm-guard doctor`."""
    text, level = {"type": "string"}, {"enum": [level.value for level in Level]}
    finding = _object(
        {
            "check": {**text, "description": "its id: docs/doctor.md"},
            "where": {**text, "description": "a machine or a node"},
            "level": level,
            "sentence": text,
            "remedy": {
                **text,
                "description": "a command, or the exact line to write; empty where all is well",
            },
        }
    )
    counts = {level.value: {"type": "integer"} for level in Level}
    properties = {
        "kind": {"const": show.KIND},
        "format": {"const": show.FORMAT},
        "at": {"type": "number", "description": "epoch seconds"},
        "host": text,
        "release": text,
        "roles": {"type": "array", "items": {"enum": [role.value for role in Role]}},
        "counts": _object(counts),
        "findings": {"type": "array", "items": finding},
    }
    return {
        "$schema": _DRAFT,
        "$id": f"urn:slurm-guard:doctor:{show.FORMAT}",
        "title": "slurm-guard doctor",
        **_object(properties),
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


SCHEMAS = {
    f"audit-{FORMAT}.schema.json": audit_schema,
    f"nights-{nights_data.FORMAT}.schema.json": nights_schema,
    f"doctor-{show.FORMAT}.schema.json": doctor_schema,
}


def render(name: str) -> str:
    """One file's text."""
    return json.dumps(SCHEMAS[name](), indent=1, ensure_ascii=True) + "\n"


def _record(kind: type, defs: dict[str, Any]) -> dict[str, Any]:
    """An object; records inside it are named in `defs`."""
    hints = typing.get_type_hints(kind)
    said = {name: words for name, _, words in class_fields(_home(kind), kind.__name__)}
    properties = {}
    for part in dataclasses.fields(kind):
        shape = _shape(hints[part.name], defs)
        words = said.get(part.name, "")
        properties[part.name] = {**shape, "description": words} if words else shape
    missing = dataclasses.MISSING
    required = [
        part.name
        for part in dataclasses.fields(kind)
        if part.default is missing and part.default_factory is missing
    ]
    return {"type": "object", "properties": properties, "required": required}


def _home(kind: type) -> Path:
    homes = {m.__name__: m.__file__ for m in (model, sitemodel, costmodel, summodel)}
    return Path(typing.cast(str, homes[kind.__module__]))


def _shape(kind: Any, defs: dict[str, Any]) -> dict[str, Any]:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (_shape(part, defs) for part in args if part is not type(None))
        if set(inner) == {"type"}:
            return {"type": [inner["type"], "null"]}
        return {"anyOf": [inner, {"type": "null"}]}
    if origin in (list, tuple):
        return {"type": "array", "items": _shape(args[0], defs)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _shape(args[1], defs) or True}
    if dataclasses.is_dataclass(kind):
        name = typing.cast(type, kind).__name__
        if name not in defs:
            defs[name] = {}
            defs[name] = _record(typing.cast(type, kind), defs)
        return {"$ref": f"#/$defs/{name}"}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [part.value for part in kind]}
    return {"type": _PLAIN[kind]} if kind in _PLAIN else {}


def main(arguments: list[str]) -> int:
    """Write every schema; with --check only compare (exit 1 when one is stale)."""
    FOLDER.mkdir(exist_ok=True)
    stale = [name for name in SCHEMAS if not is_true(name)]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/schema/{name} is stale: run python -m tools.genschema")
        return 1 if stale else 0
    for name in stale:
        (FOLDER / name).write_text(render(name), encoding="utf-8")
    return 0


def is_true(name: str) -> bool:
    """Whether the file is what the code says."""
    path = FOLDER / name
    return path.exists() and path.read_text(encoding="utf-8") == render(name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
