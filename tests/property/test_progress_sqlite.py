"""Law: our reader of SQLite's format gives the rows that SQLite gives; no bytes make it raise or go on."""

import sqlite3
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_guard.progress.database import DatabaseSource
from slurm_guard.progress.sqlite import MAX_TEXT, BrokenError, Database

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
values = st.one_of(
    st.none(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(-300, 300),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40),
    st.sampled_from(["x" * 3000, "y" * 9000, "z" * (MAX_TEXT + 5)]),
)


def _database(
    rows: list[tuple[object, ...]], page_b: int, deleted: int
) -> tuple[bytes, list[tuple[object, ...]]]:
    """(the file, what SQLite itself reads in it)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        made = sqlite3.connect(path)
        made.execute(f"PRAGMA page_size = {page_b}")
        made.execute("CREATE TABLE \"other\" (a INTEGER PRIMARY KEY, b VARCHAR(30) DEFAULT '(,')")
        made.execute(
            'CREATE TABLE rows ("key" VARCHAR(250) NOT NULL DEFAULT 0, value, [third] FLOAT(3, 2), CHECK (1))'
        )
        made.executemany("INSERT INTO rows VALUES (?, ?, ?)", rows)
        made.execute("DELETE FROM rows WHERE rowid <= ?", (deleted,))
        made.commit()
        said = made.execute("SELECT * FROM rows").fetchall()
        made.close()
        return path.read_bytes(), said


@quick
@given(
    rows=st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9), values, values),
        max_size=60,
    ),
    copies=st.integers(1, 30),
    page_b=st.sampled_from([512, 1024, 4096, 65_536]),
    deleted=st.integers(0, 9),
)
def test_the_rows_are_those_that_sqlite_gives(
    rows: list[tuple[object, ...]], copies: int, page_b: int, deleted: int
) -> None:
    data, said = _database(rows * copies, page_b, deleted)

    database = Database(data)
    table = database.tables()["rows"]
    found = [tuple(row) for _, row in database.rows(table.root)]

    assert table.columns == ("key", "value", "third")
    assert found == [tuple(None if _is_long(value) else value for value in row) for row in said]
    assert database.n_broken == 0


def _is_long(value: object) -> bool:
    return isinstance(value, str) and len(value.encode()) > MAX_TEXT


_SEED = _database([(f"k{n % 3}", n, n / 7) for n in range(400)], 512, 3)[0]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    edits=st.lists(st.tuples(st.integers(0, len(_SEED) - 1), st.binary(min_size=1, max_size=6)), max_size=30),
    cut=st.integers(0, len(_SEED)),
)
def test_no_bytes_make_it_raise_or_read_a_page_twice(edits: list[tuple[int, bytes]], cut: int) -> None:
    data = bytearray(_SEED)
    for at, junk in edits:
        data[at : at + len(junk)] = junk
    whole = bytes(data[: len(data) - cut // 4])

    reader = DatabaseSource().reader()
    reader.feed(whole, 0)
    assert reader.finish().series == []
    try:
        database = Database(whole)
        tables = database.tables()
    except BrokenError:
        return
    for table in tables.values():
        assert sum(1 for _ in database.rows(table.root)) <= len(whole)
