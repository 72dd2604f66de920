"""From checked records to rows of the lake's tables: the one place that knows both shapes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from slurm_guard.lake.schema import PARTITION, TABLES
from slurm_guard.lake.shapes import BadRecord

Fields = dict[str, Any]


@dataclass(slots=True)
class Rows:
    """Columns of one spool file's rows, by table. `cluster` and `node` are the file's own, in every row."""

    cluster: str
    node: str
    columns: dict[str, dict[str, list[Any]]] = field(default_factory=dict)

    def add(self, table: str, fields: Fields) -> None:
        """One row; a column that `fields` lacks is null, a field that is no column is left out."""
        if table not in self.columns:
            self.columns[table] = {name: [] for name in TABLES[table]}
        for name, values in self.columns[table].items():
            values.append(fields.get(name))
        self.columns[table]["cluster"][-1] = self.cluster
        self.columns[table]["node"][-1] = self.node

    def frames(self) -> list[tuple[str, str, pl.DataFrame]]:
        """(table, UTC day, frame), sorted by table and day."""
        found = []
        for table, columns in sorted(self.columns.items()):
            frame = pl.DataFrame(columns, schema=TABLES[table])
            day = pl.from_epoch(pl.col(PARTITION[table]).cast(pl.Int64), time_unit="s").dt.date()
            for key, part in frame.group_by(day.alias("day"), maintain_order=True):
                found.append((table, str(key[0]), part))
        return sorted(found, key=lambda one: one[:2])


def to_json(value: Any) -> str | None:
    """What is kept as text: the same value gives the same bytes. Null stays null."""
    if value is None:
        return None
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def add_ticket(rows: Rows, fields: Fields) -> None:
    """One row of `tickets`."""
    rows.add("tickets", {**fields, "net": to_json(fields["net"]), "why": to_json(fields["why"])})


def add_end(rows: Rows, fields: Fields) -> None:
    """One row of `ends`."""
    texts = {name: to_json(fields[name]) for name in ("net", "alive", "why")}
    rows.add("ends", {**fields, **texts})


def add_seal(rows: Rows, fields: Fields) -> None:
    """One row of `seals`."""
    n = len(fields["segments"])
    texts = {name: to_json(fields[name]) for name in ("segments", "lost")}
    rows.add("seals", {**fields, **texts, "n_segments": n})


def add_segment(rows: Rows, head: Fields, tail: Fields) -> None:
    """One row of `segments`."""
    rows.add("segments", {**head, **tail})


def _add_window(rows: Rows, fields: Fields, head: Fields) -> None:
    rhythm = fields["rhythm"] or {}
    periods = rhythm.get("periods")
    if periods is not None and any(len(pair) != 2 for pair in periods):
        raise BadRecord("record-shape", "window.rhythm.periods must be pairs of period and strength")
    flat = {
        **fields,
        **{name: rhythm.get(name) for name in ("fs_hz", "power_q_mw", "busy_q_pct", "crossings")},
        "period_s": None if periods is None else [pair[0] for pair in periods],
        "period_strength": None if periods is None else [pair[1] for pair in periods],
        "why": to_json(fields["why"]),
        "more": to_json(fields["more"]),
        "n_held": None if fields["held"] is None else len(fields["held"]),
    }
    rows.add("windows", flat)
    shared = {name: fields[name] for name in ("gpu", "start_at", "end_at")}
    for share in fields["procs"]:
        rows.add("shares", {**share, **shared, "window_run": fields["run"]})
    for held in fields["held"] or []:
        rows.add("held", {**held, **shared, "window_run": fields["run"]})


def _plain_row(table: str) -> Callable[[Rows, Fields, Fields], None]:
    return lambda rows, fields, head: rows.add(table, fields)


def _add_file(rows: Rows, fields: Fields, head: Fields) -> None:
    rows.add("files", {**fields, "why": to_json(fields["why"])})


def _add_brief(rows: Rows, fields: Fields, head: Fields) -> None:
    columns = {"peer": "peer", "n": "peer_n", "n_failed": "peer_failed"}
    columns |= {"out_b": "peer_out_b", "in_b": "peer_in_b"}
    lists = {column: [place[name] for place in fields["places"]] for name, column in columns.items()}
    rows.add("briefs", {**fields, **lists})


def _add_event(rows: Rows, fields: Fields, head: Fields) -> None:
    rows.add("events", {**fields, "detail": to_json(fields["detail"])})


def _add_gpu(rows: Rows, fields: Fields, head: Fields) -> None:
    rows.add("gpus", {**fields, "why": to_json(fields["why"])})


def _of_read(table: str) -> Callable[[Rows, Fields, Fields], None]:
    def add(rows: Rows, fields: Fields, head: Fields) -> None:
        whose = {"run": head["run"], "read": head["read"], "read_at": head["at"], "reader": head["reader"]}
        rows.add(table, {**fields, **whose})

    return add


# What may stand between a segment's head and tail, and between a reading's.
IN_SEGMENT: dict[str, Callable[[Rows, Fields, Fields], None]] = {
    "window": _add_window,
    "process": _plain_row("processes"),
    "file": _add_file,
    "flow": _plain_row("flows"),
    "brief": _add_brief,
    "relay": _plain_row("relays"),
    "event": _add_event,
    "gpu": _add_gpu,
    "accounted": _plain_row("accounted"),
    "lost": _plain_row("lost"),
}
IN_READ: dict[str, Callable[[Rows, Fields, Fields], None]] = {
    "log": _of_read("logs"),
    "point": _of_read("points"),
}


def end_read(rows: Rows, tail: Fields) -> None:
    """What only the reading's last line knows, into its rows of `logs`."""
    logs = rows.columns.get("logs")
    if logs is not None:
        logs["truncated"] = [tail["truncated"]] * len(logs["truncated"])
