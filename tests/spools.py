"""Builders of spool files for tests: right by construction, with the names that wire.py asks for."""

import hashlib
import typing
from pathlib import Path
from typing import Any

from slurm_guard import wire

NODE, CLUSTER, BOOT = "n1", "alpha", "0f9d2c1e-aaaa-bbbb-cccc-123456789abc"
AT = 1_780_000_000.0
RUN = wire.run_key(CLUSTER, 42, NODE, BOOT, AT)


def make(shape: type, **given: Any) -> Any:
    """A record of `shape`: given fields, null where allowed, else a plain value of the type."""
    return shape(**{name: given.get(name, _plain(shape, name)) for name in shape._fields})  # type: ignore[attr-defined]


def _plain(shape: Any, name: str) -> Any:
    known = {"run": RUN, "node": NODE, "cluster": CLUSTER, "boot_id": BOOT, "job_id": 42, "format": 1}
    hint = typing.get_type_hints(shape)[name]
    if name in known:
        return known[name]
    if type(None) in typing.get_args(hint):
        return None
    origin = typing.get_origin(hint) or hint
    if origin is float:
        return AT if name == "at" or name.endswith("_at") else 1.0
    return {str: "x", int: 1, bool: False, list: [], dict: {}}[origin]


def single(record: Any) -> str:
    """The text of a ticket's, end mark's or seal's file."""
    return wire.encode(record)


def segment(records: list[Any], run: str | None = RUN, seq: int = 0, **head: Any) -> tuple[str, str]:
    """(file name, text) of a sealed segment."""
    first = make(wire.SegmentHead, run=run, seq=seq, **head)
    body = "".join(map(wire.encode, [first, *records]))
    tail = make(wire.SegmentTail, n=len(records), sha256=digest(body), reason="rotate")
    stream = wire.stem(run) if run is not None else f"node_{first.boot_id.replace('-', '')[:8]}"
    return f"{stream}.{seq:06d}.jsonl", body + wire.encode(tail)


def reading(records: list[Any], run: str = RUN, read: int = 1, **tail: Any) -> tuple[str, str]:
    """(file name, text) of one reading of a run's logs."""
    body = "".join(map(wire.encode, [make(wire.ReadHead, run=run, read=read), *records]))
    last = make(wire.ReadTail, n=len(records), sha256=digest(body), **tail)
    return f"{wire.stem(run)}.{read:06d}.jsonl", body + wire.encode(last)


def digest(text: str) -> str:
    """Hex sha256 of a text's bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def put(spool: Path, kind: str, name: str, text: str | bytes, node: str = NODE) -> Path:
    """Write a file into a spool."""
    path = spool / node / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
