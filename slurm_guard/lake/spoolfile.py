"""One file of the spool, judged alone: its size, its lines, its digest, and whether its name fits it."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from slurm_guard import wire
from slurm_guard.lake import records
from slurm_guard.lake.places import SpoolFile, open_regular
from slurm_guard.lake.records import Fields, Rows
from slurm_guard.lake.shapes import BadRecord, check_record

_KIND = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_RUN = re.compile(r"([^/]+)/([0-9]+)/([^/]+)/([0-9a-f]{8})/([0-9]+)")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A good file: the digest of all its bytes and its rows.

    `left_out`: records of kinds that a later release added, by kind; the digest and the count hold them.
    """

    digest: str  # hex sha256
    rows: Rows
    left_out: dict[str, int] = field(default_factory=dict)


def parse_file(file: SpoolFile) -> Parsed:
    """The rows of a whole and right file. Raises BadRecord with the reason, OSError if it cannot be read."""
    with open_regular(file.path) as stream:
        lines = _Lines(stream)
        try:
            rows = _PARSERS[file.kind](file, lines)
        except RecursionError:
            raise BadRecord("json", f"line {lines.n} is nested too deeply") from None
        return Parsed(lines.whole.hexdigest(), rows, lines.left_out)


class _Lines:
    """The records of a file, one by one, and the digest of what came before the present line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
        self.n = 0
        self.left_out: dict[str, int] = {}
        self.whole = hashlib.sha256()
        self.before = self.whole.copy()

    def __iter__(self) -> Iterator[tuple[str, Fields]]:
        return self

    def __next__(self) -> tuple[str, Fields]:
        line = self._stream.readline(wire.MAX_LINE + 1)
        if not line:
            raise StopIteration
        self.n += 1
        if len(line) > wire.MAX_LINE:
            raise BadRecord("line-too-long", f"line {self.n} is longer than {wire.MAX_LINE} bytes")
        if not line.endswith(b"\n"):
            raise BadRecord("torn", f"line {self.n} has no end")
        self.before = self.whole.copy()
        self.whole.update(line)
        return self._record(line)

    def _record(self, line: bytes) -> tuple[str, Fields]:
        try:
            body: Any = self._decode(line.decode("utf-8"))
        except ValueError as error:
            raise BadRecord("json", f"line {self.n}: {str(error)[:200]}") from None
        kind = body.pop("k", None) if type(body) is dict else None
        if type(kind) is not str or not _KIND.fullmatch(kind):
            raise BadRecord("record-kind", f"line {self.n} is of no kind")
        number = body.get("format")
        if type(number) is int and number > wire.FORMAT:  # before its shape: that may be another one by then
            raise BadRecord("format-newer", f"format {number}; this release reads {wire.FORMAT}")
        return kind, check_record(kind, body) if kind in wire.KINDS else {}

    def first(self, kind: str) -> Fields:
        """The next record, which must be of this kind."""
        found, fields = next(self, ("", {}))
        if found != kind:
            raise BadRecord("record-order", f"line {self.n} must be a record of kind {kind}")
        return fields


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _parse_single(kind: str, add: Callable[[Rows, Fields], None]) -> Callable[[SpoolFile, _Lines], Rows]:
    def parse(file: SpoolFile, lines: _Lines) -> Rows:
        fields = lines.first(kind)
        if next(lines, None) is not None:
            raise BadRecord("record-order", "more than one record")
        _check_place(file, fields)
        if kind != "end" and file.stem != wire.stem(fields["run"]):
            raise BadRecord("name", "the file's name is not that of its run")
        if kind == "end" and file.stem.partition("_")[0] != str(fields["job_id"]):
            raise BadRecord("name", "the file's name is not that of its job")
        rows = Rows(fields["cluster"], fields["node"])
        add(rows, fields)
        return rows

    return parse


def _parse_segment(file: SpoolFile, lines: _Lines) -> Rows:
    head = lines.first("head")
    _check_place(file, head)
    stream = wire.stem(head["run"]) if head["run"] is not None else _node_stream(head["boot_id"])
    _check_name(file, f"{stream}.{head['seq']:06d}")
    rows = Rows(head["cluster"], head["node"])
    tail = _parse_body(lines, head, rows, records.IN_SEGMENT, "tail")
    records.add_segment(rows, head, tail)
    return rows


def _parse_reading(file: SpoolFile, lines: _Lines) -> Rows:
    head = lines.first("read")
    _check_place(file, head)
    _check_name(file, f"{wire.stem(head['run'])}.{head['read']:06d}")
    rows = Rows(head["cluster"], head["node"])
    records.end_read(rows, _parse_body(lines, head, rows, records.IN_READ, "readtail"))
    return rows


def _parse_body(
    lines: _Lines,
    head: Fields,
    rows: Rows,
    known: dict[str, Callable[[Rows, Fields, Fields], None]],
    last: str,
) -> Fields:
    """Every record up to the tail, whose count and digest must be right; nothing may follow it."""
    for kind, fields in lines:
        if kind == last:
            n = lines.n - 2  # all but head and tail
            if fields["sha256"] != lines.before.hexdigest():
                raise BadRecord("digest", "the tail's digest is not that of the lines before it")
            if fields["n"] != n:
                raise BadRecord("count", f"{n} records where the tail counts {fields['n']}")
            if next(lines, None) is not None:
                raise BadRecord("record-order", "lines after the tail")
            return fields
        if kind not in wire.KINDS:
            lines.left_out[kind] = lines.left_out.get(kind, 0) + 1
            continue
        if kind not in known:
            raise BadRecord("record-kind", f"line {lines.n}: a {kind} does not belong here")
        for part in (fields, *fields.get("procs", ())):
            _check_run(part.get("run"), head["node"])
        known[kind](rows, fields, head)
    raise BadRecord("torn", "the file has no last record")


def _check_place(file: SpoolFile, fields: Fields) -> None:
    if fields["node"] != file.node:
        raise BadRecord("name", "the record's node is not the folder's")
    _check_run(fields["run"], fields["node"], fields["cluster"])


def _check_run(run: str | None, node: str, cluster: str | None = None) -> None:
    """A run key must speak of the node that wrote it; a run of another node would be somebody else's word."""
    if run is None:
        return
    match = _RUN.fullmatch(run)
    if match is None:
        raise BadRecord("run-key", "not a run key")
    if match[3] != node or (cluster is not None and match[1] != cluster):
        raise BadRecord("run-key", "the run key names another node or cluster")


def _check_name(file: SpoolFile, stem: str) -> None:
    if file.stem != stem:
        raise BadRecord("name", "the file's name is not that of its stream")


def _node_stream(boot_id: str) -> str:
    return f"node_{boot_id.replace('-', '')[:8]}"


_PARSERS: dict[str, Callable[[SpoolFile, _Lines], Rows]] = {
    "tickets": _parse_single("ticket", records.add_ticket),
    "ends": _parse_single("end", records.add_end),
    "seals": _parse_single("seal", records.add_seal),
    "sealed": _parse_segment,
    "progress": _parse_reading,
}
