"""A spool as another release would have written it: records changed, digests and chains made right again."""

import hashlib
import json
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slurm_guard import wire

Body = dict[str, Any]
Change = Callable[[str, Any, Body], Body]  # (kind, shape, fields) -> fields; also of records inside records
NEWS = {"next_release": {"a": [1, None], "b": "\u00e9"}}
KINDS = ("gpu-link", "hint")  # of a later release


def rewrite(spool: Path, change: Change, *, more: bool = False) -> None:
    """Change every record in place. `more`: between them stand records of kinds that are not known."""
    for node in sorted(path for path in spool.iterdir() if path.is_dir()):
        for folder in ("tickets", "ends"):
            for path in sorted((node / folder).glob("*.json")):
                path.write_text(_line(changed(json.loads(path.read_text("utf-8")), change)), "utf-8")
        for path in sorted((node / "progress").glob("*.jsonl")):
            _rewrite_lines(path, change, {}, more=more)
        digests: dict[str, str] = {}
        for path in sorted((node / "sealed").glob("*.jsonl")):
            _rewrite_lines(path, change, digests, more=more)
        for path in sorted((node / "seals").glob("*.json")):
            seal = json.loads(path.read_text("utf-8"))
            seal["segments"] = [[seq, n, digests.get(sha, sha)] for seq, n, sha in seal["segments"]]
            path.write_text(_line(changed(seal, change)), "utf-8")


def _rewrite_lines(path: Path, change: Change, digests: dict[str, str], *, more: bool) -> None:
    head, *body, tail = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    if head.get("prev_sha256") is not None:
        head["prev_sha256"] = digests[head["prev_sha256"]]
    lines = [_line(changed(head, change))]
    for n, record in enumerate(body):
        lines += [_line({"k": KINDS[n % 2], **NEWS})] if more and n % 3 == 0 else []
        lines.append(_line(changed(record, change)))
    text = "".join(lines)
    was, tail["sha256"] = tail["sha256"], hashlib.sha256(text.encode()).hexdigest()
    tail["n"] = len(lines) - 1
    digests[was] = tail["sha256"]
    path.write_text(text + _line(changed(tail, change)), "utf-8")


def _line(body: Body) -> str:
    return json.dumps(body, separators=(",", ":")) + "\n"


def changed(body: Body, change: Change) -> Body:
    """One record, and those inside it."""
    kind = body["k"]
    fields = {name: value for name, value in body.items() if name != "k"}
    return {"k": kind, **_inside(kind, wire.KINDS[kind], fields, change)}


def _inside(kind: str, shape: Any, fields: Body, change: Change) -> Body:
    hints = typing.get_type_hints(shape)
    deep = {name: _value(kind, hints.get(name), value, change) for name, value in fields.items()}
    return change(kind, shape, deep)


def _value(kind: str, hint: Any, value: Any, change: Change) -> Any:
    args = [part for part in typing.get_args(hint) if part is not type(None)]
    origin = typing.get_origin(hint)
    if value is None:
        return None
    if origin in (typing.Union, types.UnionType):
        return _value(kind, args[0], value, change)
    if origin is list and isinstance(value, list):
        return [_value(kind, args[0], part, change) for part in value]
    if hasattr(hint, "_fields") and isinstance(value, dict):
        return _inside(kind, hint, value, change)
    return value


def later(_kind: str, _shape: Any, fields: Body) -> Body:
    """With a field that this release does not know, before and after its own."""
    return {"a_next_release": 1, **fields, **NEWS}


def earlier(_kind: str, shape: Any, fields: Body) -> Body:
    """Without what came to the format after its first day: whatever has a default, but for the number."""
    return {name: value for name, value in fields.items() if name not in came_later(shape)}


def came_later(shape: Any) -> set[str]:
    """Fields with a default."""
    return set(shape._field_defaults) - {"format"}
