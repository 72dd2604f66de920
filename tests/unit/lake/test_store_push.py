"""Sending a lake: complete or an older one at every instant, nothing twice, nothing lost by a mistake."""

import errno
import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.lake.compacted import PREFIX, counting
from slurm_guard.lake.store import push as module
from slurm_guard.lake.store.mark import COPY, NAME, WHOLE, WRITING, Role, read_mark, read_round, write_role
from slurm_guard.lake.store.push import How, push
from tests.buckets import MemoryBucket, silent

DAY = "v1/windows/date=2026-01-02"
BODY = b"PAR1" + bytes(8) + b"PAR1"


def rows(*names: str) -> bytes:
    """A file that has these rows, as far as a store can tell."""
    return b"PAR1 " + " ".join(names).encode() + b" PAR1"


def put(lake: Path, name: str, content: bytes = BODY) -> Path:
    path = lake / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def put_together(lake: Path, stem: str, of: list[str], folder: str = DAY) -> None:
    put(lake, f"{folder}/{PREFIX}{stem}.sources", "".join(f"{one}\n" for one in of).encode())
    put(lake, f"{folder}/{PREFIX}{stem}.parquet", rows(*(one for one in of if not one.startswith(PREFIX))))


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for n in range(4):
        put(tmp_path / "lake", f"{DAY}/a{n}.parquet", rows(f"a{n}"))
    put(tmp_path / "lake", "v1/tickets/date=2026-01-02/t.parquet")
    return tmp_path / "lake"


def files(bucket: MemoryBucket) -> set[str]:
    return set(bucket.objects) - {NAME}


def test_files_go_under_their_own_names_and_the_mark_says_that_all_are_there(lake: Path) -> None:
    bucket = MemoryBucket()

    done = push(lake, bucket)

    assert files(bucket) == {str(path.relative_to(lake)) for path in (lake / "v1").rglob("*.parquet")}
    assert (done.n_sent, done.is_whole) == (5, True)
    mark = read_mark(bucket)
    assert mark is not None
    assert mark.state == WHOLE


def test_only_a_whole_round_is_noted(lake: Path) -> None:
    bucket = MemoryBucket()
    push(lake, bucket, How(longest_s=-1.0))
    push(lake, bucket, How(dry=True))
    before = read_round(lake)

    push(lake, bucket)

    assert before is None
    assert read_round(lake) == pytest.approx(time.time(), abs=60)


def test_a_second_round_sends_nothing(lake: Path) -> None:
    bucket = MemoryBucket()
    push(lake, bucket)
    bucket.log.clear()

    done = push(lake, bucket)

    assert (done.n_sent, done.n_removed, done.n_same) == (0, 0, 5)
    assert [name for verb, name in bucket.log if verb in ("put", "remove")] == [NAME]


def test_what_is_known_may_be_lost(lake: Path) -> None:
    bucket = MemoryBucket()
    push(lake, bucket)
    for path in (lake / "store").glob("v1.*"):
        path.unlink()

    assert push(lake, bucket).n_sent == 0


def test_a_file_that_was_written_anew_goes_again(lake: Path) -> None:
    bucket = MemoryBucket()
    push(lake, bucket)
    forgotten = put(lake, f"{DAY}/a1.parquet", BODY + b"\7PAR1")  # the same size

    push(lake, bucket)

    assert bucket.objects[f"{DAY}/a1.parquet"] == forgotten.read_bytes()


def test_an_object_that_somebody_changed_or_removed_is_sent_again(lake: Path) -> None:
    bucket = MemoryBucket()
    push(lake, bucket)
    good = dict(bucket.objects)
    bucket.objects[f"{DAY}/a1.parquet"] = b"PAR1 other PAR1"
    del bucket.objects[f"{DAY}/a2.parquet"]

    push(lake, bucket)

    assert {n: c for n, c in bucket.objects.items() if n != NAME} == {
        n: c for n, c in good.items() if n != NAME
    }


def test_what_was_put_together_goes_only_once_its_successor_is_there(lake: Path) -> None:
    bucket = MemoryBucket()
    push(lake, bucket)
    put_together(lake, "1", ["a0", "a1", "a2", "a3"])
    bucket.log.clear()

    push(lake, bucket)

    assert files(bucket) - {"v1/tickets/date=2026-01-02/t.parquet"} == {
        f"{DAY}/{PREFIX}1.sources",
        f"{DAY}/{PREFIX}1.parquet",
    }
    changes = [(verb, name) for verb, name in bucket.log if verb in ("put", "remove") and name != NAME]
    assert changes[:2] == [("put", f"{DAY}/{PREFIX}1.sources"), ("put", f"{DAY}/{PREFIX}1.parquet")]
    assert {verb for verb, _ in changes[2:]} == {"remove"}


class Stop(BaseException):
    """As a kill: nothing of ours is run behind it but what `finally` has."""


def _stopped_everywhere(make: "Iterator[MemoryBucket]", lake: Path) -> Iterator[MemoryBucket]:
    """The same round, stopped before its first change, before its second, and so on to the end."""
    for n_before_stop, bucket in enumerate(make):
        left = itertools.count()

        def stop(verb: str, name: str) -> None:
            if verb in ("put", "remove") and next(left) >= n_before_stop:  # noqa: B023
                raise Stop

        bucket.before = stop
        try:
            push(lake, bucket)
        except Stop:
            bucket.before = lambda verb, name: None
            yield bucket
            continue
        return


@pytest.fixture
def _in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 1)


@pytest.mark.usefixtures("_in_order")
def test_a_round_that_is_stopped_anywhere_leaves_every_row_once_and_is_made_good(lake: Path) -> None:
    first = MemoryBucket()
    push(lake, first)
    put_together(lake, "1", ["a0", "a1"])
    put_together(lake, "2", [f"{PREFIX}1", "a0", "a1", "a2"])  # the second takes the first
    put(lake, f"{DAY}/late.parquet", rows("late"))
    whole = MemoryBucket(dict(first.objects))
    push(lake, whole)
    n = 0

    for bucket in _stopped_everywhere((MemoryBucket(dict(first.objects)) for _ in itertools.count()), lake):
        n += 1
        seen = seen_in(bucket, lake.parent / f"seen{n}")
        assert sorted({*seen} - {"late"}) == ["a0", "a1", "a2", "a3"]
        assert len(seen) == len(set(seen))
        done = push(lake, bucket)
        assert done.is_whole
        assert files(bucket) == files(whole)

    assert n >= 8


def seen_in(bucket: MemoryBucket, folder: Path) -> list[str]:
    """The rows that a reader finds in the day, one that is there twice twice."""
    for name, content in bucket.objects.items():
        put(folder, name, content)
    return sorted(row for path in counting(folder / DAY) for row in path.read_text().split()[1:-1])


@pytest.mark.usefixtures("_in_order")
def test_a_day_that_goes_is_at_no_instant_there_twice(lake: Path) -> None:
    first = MemoryBucket()
    push(lake, first)
    # As a round leaves it that was stopped before what was put together went.
    put_together(lake, "1", ["a0", "a1", "a2", "a3"])
    for path in (lake / DAY).glob(f"{PREFIX}*"):
        first.objects[f"{DAY}/{path.name}"] = path.read_bytes()
    for path in (lake / DAY).iterdir():
        path.unlink()

    for n, bucket in enumerate(
        _stopped_everywhere((MemoryBucket(dict(first.objects)) for _ in itertools.count()), lake)
    ):
        seen = seen_in(bucket, lake.parent / f"seen{n}")
        assert len(seen) == len(set(seen))


def test_what_its_successor_could_not_replace_stays(lake: Path) -> None:
    bucket = MemoryBucket()
    push(lake, bucket)
    put_together(lake, "1", ["a0", "a1", "a2", "a3"])

    def refuse(verb: str, name: str) -> None:
        if verb == "put" and name.endswith(f"{PREFIX}1.parquet"):
            raise GuardError("store-refused", "400")

    bucket.before = refuse
    done = push(lake, bucket)

    assert [name for name, _ in done.failed] == [f"{DAY}/{PREFIX}1.parquet"]
    assert not done.is_whole
    assert seen_in(bucket, lake.parent / "seen") == ["a0", "a1", "a2", "a3"]


def test_one_file_that_is_refused_keeps_no_other_back(lake: Path) -> None:
    bucket = MemoryBucket()
    push(lake, bucket)
    put(lake, "v1/ends/date=2026-01-02/bad.parquet", rows("bad"))
    put(lake, "v1/windows/date=2026-01-03/new.parquet", rows("new"))
    (lake / "v1" / "tickets" / "date=2026-01-02" / "t.parquet").unlink()

    def refuse(verb: str, name: str) -> None:
        if verb == "put" and name.endswith("bad.parquet"):
            raise GuardError("store-refused", "400")

    bucket.before = refuse
    done = push(lake, bucket)

    assert (len(done.failed), done.n_sent, done.n_removed, done.n_waiting) == (1, 1, 1, 0)
    assert not done.is_whole


def test_a_store_that_does_not_answer_loses_nothing(lake: Path) -> None:
    bucket = MemoryBucket()
    bucket.before = silent
    before = sorted(lake.rglob("*.parquet"))

    with pytest.raises(GuardError, match="store-unreachable"):
        push(lake, bucket)

    assert sorted(lake.rglob("*.parquet")) == before
    bucket.before = lambda verb, name: None
    assert push(lake, bucket).n_sent == 5


def test_one_that_ends_to_answer_in_the_middle_is_caught_up_with(lake: Path) -> None:
    bucket = MemoryBucket()
    n = itertools.count()
    bucket.before = lambda verb, name: silent(verb, name) if verb == "put" and next(n) >= 3 else None

    with pytest.raises(GuardError, match="store-unreachable"):
        push(lake, bucket)

    mark = read_mark(bucket)
    assert mark is not None
    assert mark.state == WRITING
    bucket.before = lambda verb, name: None
    done = push(lake, bucket)
    assert done.is_whole
    assert 0 < done.n_sent < 5


def test_time_that_is_up_leaves_the_rest_for_the_next_round(lake: Path) -> None:
    bucket = MemoryBucket()

    done = push(lake, bucket, How(longest_s=-1.0))

    assert (done.n_waiting, done.n_sent, done.is_whole) == (5, 0, False)
    assert push(lake, bucket).is_whole


def test_a_dry_round_changes_nothing_anywhere(lake: Path) -> None:
    bucket = MemoryBucket()
    before = sorted(lake.rglob("*"))

    done = push(lake, bucket, How(dry=True))

    assert (done.n_sent, bucket.objects, sorted(lake.rglob("*"))) == (5, {}, before)
    assert done.names[0].startswith("+ v1/tickets/")


def test_an_emptied_lake_does_not_empty_the_store(lake: Path) -> None:
    for n in range(40):
        put(lake, f"{DAY}/b{n}.parquet")
    bucket = MemoryBucket()
    push(lake, bucket)
    before = dict(bucket.objects)
    for path in (lake / DAY).iterdir():
        path.unlink()

    done = push(lake, bucket)

    assert done.withheld == [("v1/windows", 44)]
    assert not done.is_whole
    assert {n: c for n, c in bucket.objects.items() if n != NAME} == {
        n: c for n, c in before.items() if n != NAME
    }
    assert push(lake, bucket, How(may_shrink=True)).n_removed == 44


def test_two_machines_do_not_send_to_one_place(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from slurm_guard.lake.store import mark

    bucket = MemoryBucket()
    push(lake, bucket)
    copied = lake.parent / "copied"  # with its role and all
    shutil.copytree(lake, copied)

    with pytest.raises(GuardError, match="store-taken"):
        push(copied, bucket)
    monkeypatch.setattr(mark, "writer_of", lambda lake: "0" * 16)  # the folder, carried to another machine
    with pytest.raises(GuardError, match="store-taken"):
        push(lake, bucket)


def test_another_lake_is_not_sent_over_the_first(lake: Path, tmp_path: Path) -> None:
    bucket = MemoryBucket()
    push(lake, bucket)
    before = dict(bucket.objects)
    put(tmp_path / "other", f"{DAY}/z.parquet")

    with pytest.raises(GuardError, match="store-other"):
        push(tmp_path / "other", bucket)

    assert bucket.objects == before


def test_a_copy_is_not_sent(lake: Path) -> None:
    write_role(lake, Role(COPY, "0" * 32, "s3://elsewhere"))

    with pytest.raises(GuardError, match="lake-copy"):
        push(lake, MemoryBucket())


@pytest.mark.parametrize("text", [b"", b"[]", b'{"format": 2}', b"\xff", b"x" * 5000])
def test_a_mark_that_makes_no_sense_stops_the_round(lake: Path, text: bytes) -> None:
    bucket = MemoryBucket({NAME: text})

    with pytest.raises(GuardError, match="store-mark"):
        push(lake, bucket)

    assert bucket.objects == {NAME: text}


def test_objects_that_are_none_of_a_lakes_stay(lake: Path) -> None:
    odd = {f"{DAY}/../../x.parquet": b"1", "v1/windows/notes.txt": b"2", "elsewhere/x": b"3"}
    bucket = MemoryBucket(dict(odd))

    done = push(lake, bucket)

    assert done.n_foreign == 2
    assert {name: bucket.objects[name] for name in odd} == odd


def test_links_in_the_lake_are_not_sent(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(BODY)
    (lake / DAY / "link.parquet").symlink_to(tmp_path / "secret")
    (lake / "v1" / "linked").symlink_to(tmp_path)
    bucket = MemoryBucket()

    push(lake, bucket)

    assert not [name for name in bucket.objects if "link" in name]


def test_a_folder_in_the_place_of_a_file_is_told_and_costs_the_store_nothing(lake: Path) -> None:
    bucket = MemoryBucket()
    push(lake, bucket)
    before = files(bucket)
    (lake / DAY / "a0.parquet").unlink()
    (lake / DAY / "a0.parquet").mkdir()

    done = push(lake, bucket)

    assert [name for name, _ in done.failed] == [f"{DAY}/a0.parquet"]
    assert (done.is_whole, files(bucket)) == (False, before)


def test_a_lake_of_a_later_format_is_not_mixed_with(lake: Path) -> None:
    bucket = MemoryBucket({"v99/windows/date=2026-01-02/a.parquet": BODY})

    with pytest.raises(GuardError, match="lake-newer"):
        push(lake, bucket)


def _refusing(listing: Callable[..., Any], closed: Path) -> Callable[..., Any]:
    def refused(path: Any = ".") -> Any:
        if not isinstance(path, int) and Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listing(path)

    return refused


def test_a_day_that_may_not_be_listed_is_no_day_that_was_pruned(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = MemoryBucket()
    push(lake, bucket)
    before = files(bucket)
    for name in ("listdir", "scandir"):  # pathlib's, by release
        monkeypatch.setattr(os, name, _refusing(getattr(os, name), lake / DAY))

    with pytest.raises(GuardError, match="Permission denied") as caught:
        push(lake, bucket)

    assert caught.value.slug == "lake-unreadable"
    assert files(bucket) == before
