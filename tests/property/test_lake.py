"""Laws of the lake: what the node wrote is what the audit reads, in whatever order and how often it comes."""

import json
import random
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_guard import wire
from slurm_guard.lake.frames import read_frames
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.records import to_json
from slurm_guard.lake.schema import TABLES
from tests.property.wire_strategies import records
from tests.spools import AT, RUN, put, reading, segment, single, tree

WIDE = (AT - 86_400, AT + 86_400)
LAWS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SHARES = st.lists(records(wire.ProcShare), max_size=2)
IN_SEGMENT = st.lists(
    st.one_of(
        records(wire.Window, start_at=st.just(AT), end_at=st.floats(AT, AT + 60), procs=SHARES),
        *(records(shape) for shape in (wire.ProcessSeen, wire.FileSeen, wire.FlowSeen, wire.Event)),
    ),
    max_size=6,
)
IN_READING = st.lists(records(wire.LogFile) | records(wire.Point), max_size=6)


def read_back(spool: Path) -> dict[str, pl.DataFrame]:
    """The frames of a lake made from a spool; nothing may be refused on the way."""
    lake = spool.parent / f"lake-of-{spool.name}"
    report = collect([spool], lake)
    frames, skips = read_frames(lake, "", *WIDE)
    assert (report.refused, skips) == ((), ())
    return frames


def rows_of(frame: pl.DataFrame) -> list[str]:
    return sorted(repr(row) for row in frame.rows(named=True))


def wanted(table: str, fields: list[dict[str, Any]]) -> list[str]:
    """The rows that a naive reading of the records gives, distinct, as text."""
    names = list(TABLES[table])
    return sorted({repr({name: row.get(name) for name in names}) for row in fields})


def whole(record: Any, **more: Any) -> dict[str, Any]:
    """A record's fields as the lake keeps them: what has no column of its own is JSON text."""
    plain = json.loads(wire.encode(record))
    texts = {k: to_json(plain[k]) for k in ("net", "why", "alive", "detail", "more") if k in plain}
    return {**plain, "cluster": "alpha", "node": "n1", **texts, **more}


@LAWS
@given(IN_SEGMENT)
def test_a_segment_comes_back_as_it_was_written(written: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as tmp:
        spool = Path(tmp) / "spool"
        name, text = segment(written)
        put(spool, "sealed", name, text)

        frames = read_back(spool)

        tables = {
            wire.ProcessSeen: "processes",
            wire.FileSeen: "files",
            wire.FlowSeen: "flows",
            wire.Event: "events",
        }
        for shape, table in tables.items():
            plain = [whole(r) for r in written if type(r) is shape]
            meets = [r for r in plain if not ("last_seen_at" in r and r["run"] is None and _apart(r))]
            assert rows_of(frames[table]) == wanted(table, meets)
        windows = [r for r in written if type(r) is wire.Window]
        assert rows_of(frames["windows"]) == wanted("windows", [_flat(w) for w in windows])
        shares = [whole(w, **s._asdict(), window_run=w.run) for w in windows for s in w.procs]
        assert rows_of(frames["shares"]) == wanted("shares", shares)
        held = [whole(w, **h._asdict(), window_run=w.run) for w in windows for h in w.held or []]
        assert rows_of(frames["held"]) == wanted("held", held)


def _apart(row: dict[str, Any]) -> bool:
    """Whether a row's span lies outside the window; here none does."""
    return bool(row["first_seen_at"] >= WIDE[1] or row["last_seen_at"] < WIDE[0])


def _flat(window: wire.Window) -> dict[str, Any]:
    row = whole(window)
    rhythm = row["rhythm"] or {}
    pairs = rhythm.get("periods")
    return {
        **row,
        **{name: rhythm.get(name) for name in ("fs_hz", "power_q_mw", "busy_q_pct", "crossings")},
        "n_held": None if window.held is None else len(window.held),
        "period_s": None if pairs is None else [float(p[0]) for p in pairs],
        "period_strength": None if pairs is None else [float(p[1]) for p in pairs],
    }


@LAWS
@given(
    records(wire.Ticket, run=st.just(RUN)),
    records(wire.EndMark),
    records(wire.Seal, segments=st.just([]), lost=st.none() | st.just([])),
)
def test_marks_come_back_as_they_were_written(
    ticket: wire.Ticket, end: wire.EndMark, seal: wire.Seal
) -> None:
    with tempfile.TemporaryDirectory() as tmp:
        spool = Path(tmp) / "spool"
        put(spool, "tickets", f"{wire.stem(RUN)}.json", single(ticket))
        put(spool, "ends", f"{end.job_id}_1.json", single(end))
        put(spool, "seals", f"{wire.stem(RUN)}.json", single(seal))

        frames = read_back(spool)

        assert rows_of(frames["tickets"]) == wanted("tickets", [whole(ticket)])
        assert rows_of(frames["ends"]) == wanted("ends", [whole(end)])
        seals = [whole(seal, segments="[]", n_segments=0, lost=to_json(seal.lost))]
        assert rows_of(frames["seals"]) == wanted("seals", seals)


@LAWS
@given(IN_READING, st.integers(1, 5), st.booleans())
def test_a_reading_comes_back_as_it_was_written(written: list[Any], read: int, truncated: bool) -> None:
    with tempfile.TemporaryDirectory() as tmp:
        spool = Path(tmp) / "spool"
        put(spool, "tickets", f"{wire.stem(RUN)}.json", _ticket())
        name, text = reading(written, read=read, truncated=truncated)
        put(spool, "progress", name, text)

        frames = read_back(spool)

        more = {"run": RUN, "read": read, "read_at": AT, "reader": "x", "truncated": truncated}
        logs = [whole(r, **more) for r in written if type(r) is wire.LogFile]
        points = [whole(r, **more) for r in written if type(r) is wire.Point]
        assert rows_of(frames["logs"]) == wanted("logs", logs)
        assert rows_of(frames["points"]) == (wanted("points", points) if logs else [])


def _ticket() -> str:
    from tests.spools import make

    return single(make(wire.Ticket))


@pytest.mark.slow
@pytest.mark.patient
@LAWS
@given(st.lists(IN_SEGMENT, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_order_and_copies_of_files_do_not_matter(streams: list[list[Any]], chance: random.Random) -> None:
    with tempfile.TemporaryDirectory() as tmp:
        files = [segment(written, seq=seq) for seq, written in enumerate(streams)]
        together, apart = Path(tmp) / "together", [Path(tmp) / "one", Path(tmp) / "two"]
        for name, text in files:
            put(together, "sealed", name, text)
        for name, text in chance.sample([*files, *files], 2 * len(files)):
            spool = chance.choice(apart)
            put(spool, "sealed", name, text)
        for name, text in files:  # each one at least once
            put(apart[0], "sealed", name, text)

        one_lake, other_lake = Path(tmp) / "a", Path(tmp) / "b"
        collect([together], one_lake)
        chance.shuffle(apart)
        collect(apart, other_lake)

        assert _tables(one_lake) == _tables(other_lake)
        left, right = (read_frames(lake, "", *WIDE)[0] for lake in (one_lake, other_lake))
        assert all(left[table].equals(right[table]) for table in TABLES)


def _tables(lake: Path) -> dict[str, bytes]:
    return {name: raw for name, raw in tree(lake).items() if name.endswith(".parquet")}


@LAWS
@given(IN_SEGMENT, IN_READING)
def test_collecting_twice_changes_no_byte(in_segment: list[Any], in_reading: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as tmp:
        spool, lake = Path(tmp) / "spool", Path(tmp) / "lake"
        put(spool, "sealed", *segment(in_segment))
        put(spool, "progress", *reading(in_reading))
        put(spool, "tickets", "broken.json", "{")

        collect([spool], lake)
        before = tree(lake)
        report = collect([spool], lake)

        assert tree(lake) == before
        assert (report.n_new, report.n_known, len(report.refused)) == (0, 2, 1)
