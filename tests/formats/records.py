"""Records of the node half with every field told: what a type allows, the same each time."""

import types
import typing
from typing import Any

from slurm_guard import wire
from tests import spools

CLUSTER, NODE, BOOT = "other", "n1", "0f9d2c1e-aaaa-bbbb-cccc-123456789abc"
_AT = {"at": 1_760_472_600.0, "start_at": 1_760_472_600.0, "end_at": 1_760_472_660.0}


class Teller:
    """Makes records of one run of a cluster that nobody audits."""

    def __init__(self) -> None:
        self.run = wire.run_key(CLUSTER, 42, NODE, BOOT, _AT["at"])
        self._known: dict[str, Any] = {
            "run": self.run,
            "cluster": CLUSTER,
            "node": NODE,
            "boot_id": BOOT,
            "job_id": 42,
            "format": wire.FORMAT,
            "seq": 0,
            "read": 1,
            "file": 0,
            "phase": "train",
            "segments": [[0, 9, "0" * 64]],
            "lost": [[1, 2, None]],
            "periods": [[12.5, 0.75]],
            **_AT,
        }

    def record(self, shape: Any, **given: Any) -> Any:
        """One of `shape`; a field that may be null is not."""
        hints = typing.get_type_hints(shape)
        known = {**self._known, **given}
        values = {
            name: known[name] if name in known else self._value(name, hints[name]) for name in shape._fields
        }
        return shape(**values)

    def _value(self, name: str, kind: Any) -> Any:
        args, origin = typing.get_args(kind), typing.get_origin(kind)
        if origin in (typing.Union, types.UnionType):
            return self._value(name, args[0])
        if origin is list:
            return [self._value(name, args[0])]
        if origin is dict:
            return {"x": self._value(name, args[1])}
        if hasattr(kind, "_fields"):
            return self.record(kind)
        if kind is float:
            return _AT["at"] if name.endswith("_at") else 1.5
        return {str: "x", int: 7, bool: True}.get(kind, "x")


def put_all(spool: Any) -> None:
    """A node's folder with a file of each kind, and in them a record of each."""
    teller = Teller()
    stem = wire.stem(teller.run)
    spools.put(spool, "tickets", f"{stem}.json", wire.encode(teller.record(wire.Ticket)), NODE)
    spools.put(spool, "ends", "42_1760472700000.json", wire.encode(teller.record(wire.EndMark)), NODE)
    spools.put(spool, "seals", f"{stem}.json", wire.encode(teller.record(wire.Seal)), NODE)
    first = teller.record(wire.SegmentHead, prev_sha256=None)
    kinds = ("window", "process", "file", "flow", "brief", "relay", "event", "gpu", "accounted", "lost")
    body = [teller.record(wire.KINDS[kind]) for kind in kinds]
    name = f"{stem}.{first.seq:06d}.jsonl"
    spools.put(spool, "sealed", name, closed(teller, [first, *body], wire.SegmentTail), NODE)
    read = teller.record(wire.ReadHead)
    rows = [teller.record(wire.LogFile), teller.record(wire.Point)]
    name = f"{stem}.{read.read:06d}.jsonl"
    spools.put(spool, "progress", name, closed(teller, [read, *rows], wire.ReadTail), NODE)


def closed(teller: Teller, records: list[Any], tail: Any) -> str:
    """The text of a file with its last line."""
    text = "".join(map(wire.encode, records))
    return text + wire.encode(teller.record(tail, n=len(records) - 1, sha256=spools.digest(text)))
