"""A disk that refuses one call or all, is full or turns read-only."""

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard import wire
from slurm_guard.sampler.events import Journal
from slurm_guard.sampler.streams import Streams
from slurm_guard.sampler.writer import Instant, prepare
from tests.faults.disk import refusing
from tests.faults.segments import (
    NAME,
    RUN,
    assert_the_seal_holds,
    count_open_fds,
    event_of,
    events_in,
    origin_of,
)
from tests.unit.sampler.fakes import Node


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_any_one_call_loses_at_most_that_record_and_says_so(
    tmp_path: Path, code: int
) -> None:
    n_calls, fds = 1000, count_open_fds()
    nth = 0
    while nth < n_calls:
        nth += 1
        spool = tmp_path / str(nth)
        prepare(str(spool))
        streams = Streams(origin_of(spool), Journal("/nonexistent/log"))
        with refusing(str(spool), lambda n, _, nth=nth: code if n == nth else None) as disk:  # type: ignore[misc]
            kept = [streams.write(RUN, event_of(n), Instant(1000.0 + n, 10.0 * n)) for n in range(3)]
            streams.rotate(0.5, Instant(1030.0, 30.0))
            kept.append(streams.write(RUN, event_of(3), Instant(1040.0, 40.0)))
            done = streams.finish(RUN, "epilog", Instant(1050.0, 50.0))
            n_calls = disk.n
        if not done:
            assert streams.waiting() == [RUN]
            streams.rotate(3600.0, Instant(1060.0, 60.0))
        assert streams.waiting() == []
        assert events_in(spool) == [n for n in range(4) if kept[n]]
        assert kept.count(False) <= 1
        lines = [line for path in (spool / "sealed").iterdir() for line in path.read_bytes().splitlines()]
        told = [json.loads(line) for line in lines]
        n_told = sum(r["detail"]["n"] for r in told if r.get("name") == "records-dropped")
        assert n_told == kept.count(False)
        assert_the_seal_holds(spool)
    assert n_calls > 15
    assert count_open_fds() == fds


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_everything_at_a_runs_end_gets_segment_and_seal_later(
    tmp_path: Path, code: int
) -> None:
    prepare(str(tmp_path))
    fds = count_open_fds()
    streams = Streams(origin_of(tmp_path), Journal("/nonexistent/log"))
    for n in range(3):
        streams.write(RUN, event_of(n), Instant(1000.0 + n, float(n)))

    with refusing(str(tmp_path), lambda n, name: None if name == "close" else code):
        done = [streams.finish(RUN, "epilog", Instant(1010.0, 10.0))]
        for s in range(11, 40):
            streams.rotate(3600.0, Instant(1000.0 + s, float(s)))
    assert (done, streams.waiting()) == ([False], [RUN])
    assert not list((tmp_path / "seals").iterdir())

    streams.rotate(3600.0, Instant(1050.0, 50.0))

    assert streams.waiting() == []
    assert events_in(tmp_path) == [0, 1, 2]
    assert_the_seal_holds(tmp_path)
    assert not list((tmp_path / "open").iterdir())
    assert count_open_fds() == fds


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a tmpfs")
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as filler:
        try:
            while filler.write(b"x" * 4096):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@pytest.mark.root
def test_a_really_full_disk_at_a_runs_end_loses_neither_the_last_segment_nor_the_seal(
    small_disk: Path,
) -> None:
    spool = small_disk / "spool"
    prepare(str(spool))
    streams = Streams(origin_of(spool), Journal("/nonexistent/log"))
    for n in range(3):
        assert streams.write(RUN, event_of(n), Instant(1000.0 + n, float(n)))
    _fill(small_disk / "filler")
    n = 3  # the segment's own last page takes some more
    while streams.write(RUN, event_of(n), Instant(1003.0, 3.0)):
        n += 1
    while streams.write(RUN, wire.Event(1003.0, RUN, "filler", {}), Instant(1003.0, 3.0)):
        pass

    assert not streams.finish(RUN, "epilog", Instant(1010.0, 10.0))
    (small_disk / "filler").unlink()
    streams.rotate(3600.0, Instant(1020.0, 20.0))

    assert streams.waiting() == []
    assert events_in(spool) == list(range(n))
    assert_the_seal_holds(spool)


@pytest.mark.root
def test_a_disk_that_turns_read_only_is_waited_for(small_disk: Path) -> None:
    spool = small_disk / "spool"
    prepare(str(spool))
    streams = Streams(origin_of(spool), Journal("/nonexistent/log"))
    streams.write(RUN, event_of(0), Instant(1000.0, 0.0))
    stream = streams.of(RUN)
    assert stream.close("rotate", Instant(1001.0, 1.0))  # nothing may be open for writing while it turns

    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    kept = streams.write(RUN, event_of(1), Instant(1010.0, 10.0))
    ended = streams.finish(RUN, "epilog", Instant(1020.0, 20.0))
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    streams.rotate(3600.0, Instant(1030.0, 30.0))

    assert (kept, ended, streams.waiting()) == (False, False, [])
    assert events_in(spool) == [0]
    assert_the_seal_holds(spool)
    assert "records-dropped" in (spool / "sealed" / NAME.replace("000000", "000001")).read_text()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_run_that_ends_on_a_full_disk_is_sealed_with_all_its_windows_once_there_is_space(
    tmp_path: Path, restarted: bool
) -> None:
    node = Node(tmp_path, n_gpus=1)
    run = node.ticket(1, 1000, [0])
    node.turn(65)
    node.mark_end(run, 1)

    with refusing(node.folders.spool, lambda n, name: errno.ENOSPC if name in ("write", "open") else None):
        node.turn(60)
        seals = list((Path(node.folders.spool) / "seals").iterdir())
    if restarted:
        node.loop.streams._streams.clear()  # as after kill -9: nobody closes anything
        node.sampler()
    node.turn(60)

    assert seals == []
    seal = node.seal(run)
    windows = node.records("window", run)
    assert (seal["n_windows"], len(windows) > 0) == (len(windows), True)
    assert [part[0] for part in seal["segments"]] == list(range(len(seal["segments"])))
    assert node.loop.streams.waiting() == []
    assert seal["ended_by"] == "epilog"
