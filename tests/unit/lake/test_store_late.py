"""Rows that come into a copy late: told once, of the right runs and times, and none that were there."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.lake import compact
from slurm_guard.lake.arrived import Spans
from slurm_guard.lake.imports import keep_hour
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.others import rows_of
from slurm_guard.lake.store.late import Late, read_gone
from slurm_guard.lake.store.pull import Terms, every, pull
from slurm_guard.lake.store.push import push
from slurm_guard.readings import Hour
from tests.buckets import MemoryBucket, silent
from tests.spools import AT
from tests.unit.lake import test_others as readings
from tests.unit.lake.test_compact import put_segment, run_of

EVER = (date.min, date.max)
START_AT = AT - 8 * 3600  # of segment 0; each has ten windows of a minute, and was closed at AT


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryBucket:
    """What a lake with two segments sent, which was copied since."""
    monkeypatch.setattr(compact, "LEAST_FILES", 2)
    bucket = MemoryBucket()
    for node in ("n1", "n2"):
        put_segment(tmp_path / "spool", node, 0)
    send(tmp_path, bucket)
    pulled(tmp_path, bucket)
    return bucket


def send(folder: Path, bucket: MemoryBucket, meanwhile: Callable[[Path], object] | None = None) -> None:
    collect([folder / "spool"], folder / "lake")
    if meanwhile is not None:
        meanwhile(folder / "lake")
    push(folder / "lake", bucket)


def pulled(folder: Path, bucket: MemoryBucket, **terms: object) -> Spans:
    """What came late, as the copy is brought up to the store."""
    late = Late(lambda day: True)
    given = replace(Terms(every, wait_s=0.0, late=late), **terms)  # type: ignore[arg-type]
    pull(folder / "copy", bucket, given)
    return given.late.spans if given.late is not None else {}


def put_together(lake: Path) -> None:
    """And what was replaced goes, as hours later."""
    compact.compact(lake, EVER)
    compact.compact(lake, EVER, now_at=1e12)


def of_segment(spans: Spans, node: str, seq: int) -> bool:
    """Whether these are the spans of one segment of a run, and of nothing else."""
    return spans == {(node, run_of(node)): (START_AT + 600 * seq, AT)}


def test_a_first_round_brings_nothing_late(bucket: MemoryBucket, tmp_path: Path) -> None:
    late = Late(lambda day: True)

    pull(tmp_path / "other", bucket, Terms(every, wait_s=0.0, late=late))

    assert late.spans == {}


def test_what_comes_late_is_told_once(bucket: MemoryBucket, tmp_path: Path) -> None:
    put_segment(tmp_path / "spool", "n2", 1)
    send(tmp_path, bucket)

    first, second = pulled(tmp_path, bucket), pulled(tmp_path, bucket)

    assert of_segment(first, "n2", 1)
    assert second == {}


def test_of_days_of_no_audited_night_nothing_is_told(bucket: MemoryBucket, tmp_path: Path) -> None:
    put_segment(tmp_path / "spool", "n2", 1)
    send(tmp_path, bucket)

    assert pulled(tmp_path, bucket, late=Late(lambda day: day.year < 2000)) == {}


def test_what_was_put_together_there_is_nothing_new_here(bucket: MemoryBucket, tmp_path: Path) -> None:
    send(tmp_path, bucket, put_together)

    assert pulled(tmp_path, bucket) == {}
    assert list((tmp_path / "copy").rglob("c-*.parquet"))


def test_of_late_rows_that_were_put_together_with_old_ones_the_late_ones_alone_are_told(
    bucket: MemoryBucket, tmp_path: Path
) -> None:
    put_segment(tmp_path / "spool", "n2", 1)
    send(tmp_path, bucket, put_together)
    first = pulled(tmp_path, bucket)
    put_segment(tmp_path / "spool", "n2", 2)
    send(tmp_path, bucket, put_together)

    second = pulled(tmp_path, bucket)

    assert of_segment(first, "n2", 1)
    assert of_segment(second, "n2", 2)


def test_what_left_the_copy_and_comes_again_in_another_form_is_nothing_new(
    bucket: MemoryBucket, tmp_path: Path
) -> None:
    put_segment(tmp_path / "spool", "n2", 1)
    send(tmp_path, bucket, put_together)
    pulled(tmp_path, bucket)
    for seq in (1, 2):
        put_segment(tmp_path / "spool", "n1", seq)
    send(tmp_path, bucket)
    pulled(tmp_path, bucket)
    send(tmp_path, bucket, put_together)

    dropped = pulled(tmp_path, bucket, wanted=lambda named: False)
    left = list((tmp_path / "copy" / "v1" / "windows").rglob("*.parquet"))

    assert (dropped, left) == ({}, [])
    assert pulled(tmp_path, bucket) == {}
    assert list((tmp_path / "copy" / "v1" / "windows").rglob("c-*.parquet"))


def test_what_was_taken_away_here_by_hand_is_nothing_new(bucket: MemoryBucket, tmp_path: Path) -> None:
    for path in (tmp_path / "copy" / "v1").rglob("*.parquet"):
        path.unlink()

    assert pulled(tmp_path, bucket) == {}
    assert list((tmp_path / "copy" / "v1").rglob("*.parquet"))


def test_what_came_before_a_store_fell_silent_is_told(bucket: MemoryBucket, tmp_path: Path) -> None:
    for seq in (1, 2):
        put_segment(tmp_path / "spool", "n2", seq)
    send(tmp_path, bucket)
    late = Late(lambda day: True)
    came: list[str] = []

    def silent_at(verb: str, name: str) -> None:
        """From the second file of the first table on."""
        if verb == "get" and "/date=" in name:
            came.append(name)
            if len(came) > 1:
                silent(verb, name)

    bucket.before = silent_at
    with pytest.raises(GuardError, match="store-unreachable"):
        pull(tmp_path / "copy", bucket, Terms(every, wait_s=0.0, late=late))

    assert set(late.spans) == {("n2", run_of("n2"))}


def test_an_hour_that_was_imported_anew_there_is_late_here(bucket: MemoryBucket, tmp_path: Path) -> None:
    def bring(hour: Hour) -> None:
        tables = rows_of(hour, "c", [readings.run()]).tables
        send(tmp_path, bucket, lambda lake: keep_hour(lake, "c", readings.AT, tables))

    bring(readings.steady(left_out=(600.0, 1200.0)))
    first = pulled(tmp_path, bucket)
    bring(readings.steady())
    second, third = pulled(tmp_path, bucket), pulled(tmp_path, bucket)

    assert {node for node, _ in first} == {node for node, _ in second} == {"n1"}
    assert third == {}


def test_a_file_that_cannot_be_read_tells_nothing_and_stops_nothing(
    bucket: MemoryBucket, tmp_path: Path
) -> None:
    put_segment(tmp_path / "spool", "n2", 1)
    day = next((tmp_path / "lake" / "v1" / "windows").iterdir())
    send(tmp_path, bucket, lambda lake: (day / "bad.parquet").write_bytes(b"PAR1" + bytes(9) + b"PAR1"))

    assert of_segment(pulled(tmp_path, bucket), "n2", 1)


def test_what_left_is_remembered_as_long_as_the_store_has_its_day(
    bucket: MemoryBucket, tmp_path: Path
) -> None:
    day = date.fromisoformat(next((tmp_path / "lake" / "v1" / "windows").iterdir()).name[5:])
    send(tmp_path, bucket, put_together)
    pulled(tmp_path, bucket, wanted=lambda named: False)
    n_before = len(read_gone(tmp_path / "copy", "v1/windows", day))
    for name in [name for name in bucket.objects if "/windows/" in name]:
        del bucket.objects[name]

    pulled(tmp_path, bucket)

    assert n_before == 2
    assert read_gone(tmp_path / "copy", "v1/windows", day) == frozenset()
