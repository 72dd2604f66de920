"""The progress benchmark reads what it made: every record of every stream, in rows of one shape."""

import argparse
from pathlib import Path

import pytest

from bench import progress
from bench._events_peer import digest
from bench._logs import FILES, RECORDS, make_file, make_stream
from slurm_guard.progress.registry import TEXT, choose

# Lines of a stream's records that are headings or name an epoch alone, and claims of other clocks.
_HEADINGS = {"lammps": 1}


@pytest.mark.parametrize("name", RECORDS)
def test_every_record_of_a_stream_is_read(name: str) -> None:
    data, n = make_stream(name, 7, 120_000)
    reader = TEXT.reader()
    reader.feed(data, 0)

    found = reader.finish()

    said = sum(len(one.claims) for one in found.series)
    marks = len([phase for phase in found.phases if phase.step is not None])
    assert said + marks == n - _HEADINGS.get(name, 0)
    assert found.problems == []


@pytest.mark.parametrize("name", FILES)
def test_every_record_of_a_made_file_is_read(name: str) -> None:
    path, data = make_file(name, 50_000)
    source = choose(data[:65_536], f"/w/{path}", "fd")
    assert source is not None
    reader = source.reader()
    reader.feed(data, 0)

    found = reader.finish()

    assert source.name == name
    assert found.problems == []
    assert len(found.series[0].claims) >= data.count(b"\n") // (9 if name == "hfstate" else 1) - 1


def test_rows_have_the_same_keys_whether_or_not_the_peers_are_there(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    progress.add_options(parser)
    options = parser.parse_args(
        ["--scalars", "50", "--times", "1", "--data", str(tmp_path), "--peers", "/none"]
    )

    rows = progress.event_rows(tmp_path, options)

    assert [row["what"].rpartition(" ")[2] for row in rows] == [
        "reader", "tracks", "EventFileLoader", "EventAccumulator", "tbparse",
    ]  # fmt: skip
    assert len({tuple(row) for row in rows}) == 1
    assert [row["n"] for row in rows] == [50, 20, None, None, None]
    assert rows[0]["rss_mib"] > 5


def test_points_are_the_same_in_any_order_and_differ_by_one_value() -> None:
    points = [("loss", n, 1.7e9 + n, 0.5) for n in range(9)]

    assert digest(points) == digest(reversed(points))
    assert digest(points)[0] == 9
    assert digest(points) != digest([*points[:-1], ("loss", 8, 1.7e9 + 8, 0.25)])
