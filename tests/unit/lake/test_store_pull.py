"""Fetching a lake: what the store held at one instant, no name that leads elsewhere, nothing over a lake."""

import itertools
import stat
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.lake.compacted import PREFIX, counting
from slurm_guard.lake.reach import days_of
from slurm_guard.lake.schema import TABLES
from slurm_guard.lake.store import mark
from slurm_guard.lake.store.mark import (
    COPY,
    NAME,
    SOURCE,
    WHOLE,
    WRITING,
    new_mark,
    read_mark,
    read_role,
    write_mark,
)
from slurm_guard.lake.store.names import Named, parse_name
from slurm_guard.lake.store.pull import Terms, every, of_window, pull, take_over
from slurm_guard.lake.store.push import push
from tests.buckets import MemoryBucket, silent
from tests.unit.lake.test_store_push import BODY, DAY, put, put_together

ALL = Terms(every, wait_s=0.0)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for n in range(4):
        put(tmp_path / "lake", f"{DAY}/a{n}.parquet", BODY + bytes([n]) + b"PAR1")
    put(tmp_path / "lake", "v1/tickets/date=2026-01-02/t.parquet")
    return tmp_path / "lake"


@pytest.fixture
def bucket(lake: Path) -> MemoryBucket:
    bucket = MemoryBucket()
    push(lake, bucket)
    return bucket


def same(lake: Path, copy: Path) -> bool:
    """Whether the same files count in both."""
    return _counted(lake) == _counted(copy)


def _counted(lake: Path) -> dict[str, bytes]:
    days = sorted(lake.glob("v1/*/date=*"))
    return {str(p.relative_to(lake)): p.read_bytes() for day in days for p in counting(day)}


def test_a_copy_is_the_lake_closed_to_everybody_else(
    lake: Path, bucket: MemoryBucket, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"

    done = pull(copy, bucket, ALL)

    assert same(lake, copy)
    assert (done.n_fetched, done.is_whole) == (5, True)
    assert {stat.S_IMODE(p.stat().st_mode) & 0o027 for p in [copy, *copy.rglob("*")]} == {0}
    role = read_role(copy)
    assert role is not None
    assert role.kind == COPY


def test_what_is_there_is_not_fetched_again(bucket: MemoryBucket, tmp_path: Path) -> None:
    pull(tmp_path / "copy", bucket, ALL)
    bucket.log.clear()

    done = pull(tmp_path / "copy", bucket, ALL)

    assert (done.n_fetched, done.n_same) == (0, 5)
    assert {name for verb, name in bucket.log if verb == "get"} == {NAME}


def test_what_was_changed_or_removed_here_comes_again(
    lake: Path, bucket: MemoryBucket, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    pull(copy, bucket, ALL)
    put(copy, f"{DAY}/a1.parquet", b"PAR1" + bytes(9) + b"PAR1")
    (copy / DAY / "a2.parquet").unlink()

    pull(copy, bucket, ALL)

    assert same(lake, copy)


def test_what_was_put_together_there_counts_here(lake: Path, bucket: MemoryBucket, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    pull(copy, bucket, ALL)
    put_together(lake, "1", ["a0", "a1", "a2"])
    push(lake, bucket)

    done = pull(copy, bucket, ALL)

    assert same(lake, copy)
    assert done.n_dropped == 0  # an audit that lists them may still be reading
    assert (copy / DAY / "a0.parquet").exists()


def test_what_was_pruned_there_goes_here_with_what_it_had_replaced(
    lake: Path, bucket: MemoryBucket, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    pull(copy, bucket, ALL)
    put_together(lake, "1", ["a0", "a1", "a2"])
    push(lake, bucket)
    pull(copy, bucket, ALL)
    for path in (lake / DAY).iterdir():
        path.unlink()
    push(lake, bucket)

    pull(copy, bucket, ALL)

    assert not (copy / DAY).exists()


def test_a_file_that_was_written_anew_there_goes_here_even_where_it_is_not_wanted(
    lake: Path, bucket: MemoryBucket, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    pull(copy, bucket, ALL)
    put(lake, f"{DAY}/a1.parquet", BODY + b"\7PAR1")  # as forget does
    push(lake, bucket)

    done = pull(copy, bucket, Terms(lambda named: False, wait_s=0.0))

    assert (done.n_dropped, done.n_fetched) == (1, 0)
    assert not (copy / DAY / "a1.parquet").exists()


def test_only_what_is_wanted_comes(bucket: MemoryBucket, tmp_path: Path) -> None:
    done = pull(tmp_path / "copy", bucket, Terms(lambda named: named.table == "tickets", wait_s=0.0))

    assert done.n_fetched == 1
    assert [p.name for p in (tmp_path / "copy").rglob("*.parquet")] == ["t.parquet"]


def test_an_audit_wants_the_days_that_it_reads() -> None:
    at = datetime(2026, 1, 2, tzinfo=timezone.utc).timestamp()
    wanted = of_window(at, at + 86_400)

    def days(table: str) -> list[int]:
        return [d for d in range(1, 32) if wanted(Named(1, table, date(2026, 1, d), "a", is_list=False))]

    assert days("windows") == [1, 2, 3]  # one that began before midnight reaches into it
    assert days("flows") == list(range(1, 32))
    assert wanted(Named(1, "tickets", date(2020, 1, 1), "a", is_list=False))
    assert not wanted(Named(1, "later", date(2026, 1, 2), "a", is_list=False))
    assert all(days_of(table, at, at + 86_400)[0] <= date(2026, 1, 2) for table in TABLES)


HOSTILE = [
    "v1/windows/date=2026-01-02/../../../../etc/x.parquet",
    "v1/windows/date=2026-01-02/.hidden.parquet",
    "v1/windows/date=2026-01-02/a b.parquet",
    "v1/windows/date=2026-01-02/a\n.parquet",
    "v1/windows/date=2026-01-02/a.parquet\n",
    "v1/windows/date=2026-01-02/a.parquet/b.parquet",
    "v1/windows/date=2026-01-02//etc/x.parquet",
    "v1/windows/date=2026-13-99/a.parquet",
    "v1/windows/date=２０２６-01-02/a.parquet",
    "v1/windows/date=2026-01-02/a.parquet.sources.sh",
    f"v1/windows/date=2026-01-02/{'a' * 300}.parquet",
    "v1/windows/date=2026-01-02/\x00.parquet",
    "v1//etc/date=2026-01-02/a.parquet",
    "v1/../store/date=2026-01-02/role.json",
    "/etc/passwd",
    "../outside.parquet",
    "v0/windows/date=2026-01-02/a.parquet",
    "v01/windows/date=2026-01-02/a.parquet",
    "store/role.json",
]


def test_a_name_that_no_file_of_a_lake_has_is_never_a_path(bucket: MemoryBucket, tmp_path: Path) -> None:
    copy = tmp_path / "deep" / "er" / "copy"
    for name in HOSTILE:
        assert parse_name(name) is None
        bucket.objects[name] = BODY

    done = pull(copy, bucket, ALL)

    assert done.n_fetched == 5
    assert done.n_foreign >= 10
    assert len(done.left) == 5
    kept = {p.name for p in tmp_path.rglob("*") if p.is_file() and "lake" not in p.parts}
    assert kept - {"role.json", "last.json", ".lock", "v1.windows.json", "v1.tickets.json"} == {
        *(f"a{n}.parquet" for n in range(4)),
        "t.parquet",
    }


@pytest.mark.parametrize("content", [b"", b"PAR1", b"#!/bin/sh\nrm -rf /\n", b"PAR1" + bytes(100)])
def test_a_file_that_is_no_parquet_is_not_taken(bucket: MemoryBucket, tmp_path: Path, content: bytes) -> None:
    bucket.objects[f"{DAY}/a1.parquet"] = content

    with pytest.raises(GuardError, match="store-damaged") as caught:
        pull(tmp_path / "copy", bucket, ALL)

    assert "a1.parquet" in caught.value.sentence
    assert not (tmp_path / "copy" / DAY / "a1.parquet").exists()
    assert (tmp_path / "copy" / DAY / "a2.parquet").exists()  # the others are kept for the next call
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_list_that_names_paths_is_not_taken(bucket: MemoryBucket, tmp_path: Path) -> None:
    bucket.objects[f"{DAY}/{PREFIX}1.sources"] = b"../../x\n"

    with pytest.raises(GuardError, match="store-damaged"):
        pull(tmp_path / "copy", bucket, ALL)


def test_a_lake_that_was_collected_here_is_not_fetched_over(
    lake: Path, bucket: MemoryBucket, tmp_path: Path
) -> None:
    put(tmp_path / "never", f"{DAY}/own.parquet")

    for folder in (lake, tmp_path / "never"):
        before = sorted(p for p in folder.rglob("*.parquet"))
        with pytest.raises(GuardError, match="lake-source"):
            pull(folder, bucket, ALL)
        assert sorted(p for p in folder.rglob("*.parquet")) == before


def test_a_copy_of_one_lake_does_not_become_one_of_another(bucket: MemoryBucket, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    pull(copy, bucket, ALL)
    other = MemoryBucket()
    put(tmp_path / "other", f"{DAY}/z.parquet")
    push(tmp_path / "other", other)

    with pytest.raises(GuardError, match="store-other"):
        pull(copy, other, ALL)

    assert len(list(copy.rglob("*.parquet"))) == 5


def test_a_store_that_was_emptied_or_misspelt_empties_no_copy(bucket: MemoryBucket, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    pull(copy, bucket, ALL)

    with pytest.raises(GuardError, match="store-empty"):
        pull(copy, MemoryBucket(), ALL)

    assert len(list(copy.rglob("*.parquet"))) == 5


def test_a_store_that_does_not_answer_changes_nothing(bucket: MemoryBucket, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    pull(copy, bucket, ALL)
    bucket.before = silent

    with pytest.raises(GuardError, match="store-unreachable"):
        pull(copy, bucket, ALL)

    assert len(list(copy.rglob("*.parquet"))) == 5


def test_a_round_that_goes_on_is_waited_for_and_one_that_never_ended_is_said(
    lake: Path, bucket: MemoryBucket, tmp_path: Path
) -> None:
    role = read_role(lake)
    assert role is not None
    write_mark(bucket, new_mark(lake, role, WRITING))

    done = pull(tmp_path / "copy", bucket, Terms(every, wait_s=0.3))

    assert not done.is_whole
    assert same(lake, tmp_path / "copy")


def test_whatever_is_sent_meanwhile_what_comes_is_one_state_of_the_store(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compaction, with its deletes, at each single request of the reader."""
    monkeypatch.setattr(mark, "writer_of", lambda lake: "0" * 16)  # a lake's copies play the lake
    first = MemoryBucket()
    push(lake, first)
    base = dict(first.objects)
    for at in itertools.count():
        again = MemoryBucket(dict(base))
        there = tmp_path / f"lake{at}"
        _copy(lake, there)
        n = itertools.count()

        def happen(verb: str, name: str) -> None:
            if next(n) == at:  # noqa: B023
                put_together(there, "1", ["a0", "a1", "a2", "a3"])  # noqa: B023
                put(there, f"{DAY}/new.parquet")  # noqa: B023
                other = MemoryBucket(again.objects)  # noqa: B023
                push(there, other)  # noqa: B023

        again.before = happen
        pull(tmp_path / f"copy{at}", again, ALL)
        copied = _counted(tmp_path / f"copy{at}")
        assert copied in (_counted(lake), _counted(there))
        if next(n) <= at:
            assert at > 10
            return


def _copy(lake: Path, to: Path) -> None:
    for path in lake.rglob("*"):
        if path.is_file():
            put(to, str(path.relative_to(lake)), path.read_bytes())


def test_a_store_that_is_another_one_each_time_is_given_up(bucket: MemoryBucket, tmp_path: Path) -> None:
    n = itertools.count()

    def change(verb: str, name: str) -> None:
        if name.endswith("a1.parquet"):
            bucket.objects[f"{DAY}/a1.parquet"] = BODY + f"{next(n)}PAR1".encode()

    bucket.before = change

    with pytest.raises(GuardError, match="store-changing"):
        pull(tmp_path / "copy", bucket, ALL)


def test_a_full_disk_is_said_before_it_is_full(bucket: MemoryBucket, tmp_path: Path) -> None:
    with pytest.raises(GuardError, match="lake-full"):
        pull(tmp_path / "copy", bucket, Terms(every, least_free_b=1 << 60, wait_s=0.0))


def test_a_dry_call_changes_nothing(bucket: MemoryBucket, tmp_path: Path) -> None:
    done = pull(tmp_path / "copy", bucket, Terms(every, dry=True, wait_s=0.0))

    assert done.n_fetched == 5
    assert not (tmp_path / "copy").exists()


def test_a_new_head_node_takes_over_all_that_the_old_one_had(
    lake: Path, bucket: MemoryBucket, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    put(new, f"{DAY}/mine.parquet")  # collected before anybody thought of it

    done = take_over(new, bucket, ALL)

    assert done is not None
    role = read_role(new)
    assert role is not None
    assert role.kind == SOURCE
    push(new, bucket)
    assert {p.name for p in (new / DAY).iterdir()} == {*(f"a{n}.parquet" for n in range(4)), "mine.parquet"}
    assert f"{DAY}/mine.parquet" in bucket.objects


def test_taking_over_from_nobody_is_nothing(tmp_path: Path) -> None:
    assert take_over(tmp_path / "new", MemoryBucket(), ALL) is None


def test_a_role_that_cannot_be_read_is_neither(lake: Path, bucket: MemoryBucket, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    pull(copy, bucket, ALL)
    (copy / "store" / "role.json").write_bytes(b"{}")

    with pytest.raises(GuardError, match="store-role"):
        pull(copy, bucket, ALL)
    with pytest.raises(GuardError, match="store-role"):
        push(copy, bucket)


def test_the_mark_of_a_whole_round_is_told(bucket: MemoryBucket) -> None:
    told = read_mark(bucket)

    assert told is not None
    assert told.state == WHOLE
