"""Killed at any byte: what was written before is kept whole, and the chain goes on."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard import wire
from slurm_guard.sampler.chain import read_chain
from slurm_guard.sampler.events import Journal
from slurm_guard.sampler.recover import recover
from slurm_guard.sampler.streams import Streams
from slurm_guard.sampler.writer import Instant, Origin, Stream, prepare
from tests.faults.disk import killed_at, refusing
from tests.unit.sampler.fakes import Node

RUN = "c/7/n1/abcdef01/1000"
NAME = "c_7_n1_abcdef01_1000.000000.jsonl"


def _origin(spool: Path) -> Origin:
    return Origin(str(spool), "n1", "c", "abcdef01", 60.0, 1.0)


def _body(spool: Path) -> bytes:
    prepare(str(spool))
    stream = Stream(_origin(spool), RUN)
    for n in range(3):
        stream.write(wire.Event(float(n), RUN, "test", {"n": n}), Instant(1.0, 1.0))
    raw = (spool / "open" / NAME).read_bytes()
    stream.close("rotate", Instant(2.0, 2.0))
    whole = (spool / "sealed" / NAME).read_bytes()
    assert whole.startswith(raw)
    return whole


def _check(path: Path) -> tuple[int, str]:
    raw = path.read_bytes()
    records = [json.loads(line) for line in raw.splitlines()]
    tail = records[-1]
    assert records[0]["k"] == "head"
    assert tail["k"] == "tail"
    assert tail["n"] == len(records) - 2
    assert tail["sha256"] == hashlib.sha256(raw[: raw.rindex(b"\n", 0, -1) + 1]).hexdigest()
    return tail["n"], tail["reason"]


def test_a_segment_cut_at_any_byte_is_recovered_up_to_the_last_whole_record(tmp_path: Path) -> None:
    whole = _body(tmp_path / "model")
    spool = tmp_path / "spool"
    prepare(str(spool))
    sealed = spool / "sealed" / NAME

    for cut in range(len(whole) + 1):
        (spool / "open" / NAME).write_bytes(whole[:cut])

        found = recover(str(spool), 9.0)

        lines = whole[:cut].count(b"\n")
        assert not list((spool / "open").iterdir())
        if lines == 0:
            assert (found, sealed.exists()) == ([], False)
            continue
        n, reason = _check(sealed)
        assert n == min(lines - 1, 3)
        assert reason == ("rotate" if lines == 5 else "recovered")
        assert found[0].cut_b == (0 if lines == 5 else cut - len(b"".join(whole.splitlines(True)[:lines])))
        sealed.unlink()


def test_zeros_at_the_end_after_a_power_cut_are_cut(tmp_path: Path) -> None:
    whole = _body(tmp_path / "model")
    prepare(str(tmp_path))
    (tmp_path / "open" / NAME).write_bytes(whole[: whole.index(b"\n") + 1] + b"\0" * 4096)

    recover(str(tmp_path), 9.0)

    assert _check(tmp_path / "sealed" / NAME) == (0, "recovered")


def test_recovering_twice_changes_nothing(tmp_path: Path) -> None:
    whole = _body(tmp_path / "model")
    prepare(str(tmp_path))
    (tmp_path / "open" / NAME).write_bytes(whole[:-5])
    recover(str(tmp_path), 9.0)
    before = (tmp_path / "sealed" / NAME).read_bytes()

    assert recover(str(tmp_path), 10.0) == []

    assert (tmp_path / "sealed" / NAME).read_bytes() == before


_WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from slurm_guard import wire
from slurm_guard.sampler.writer import Instant, Origin, Stream, prepare
spool = sys.argv[1]
prepare(spool)
stream = Stream(Origin(spool, "n1", "c", "abcdef01", 60.0, 1.0), "c/7/n1/abcdef01/1000")
n = 0
while True:
    stream.write(wire.Event(float(n), None, "test", {"n": n}), Instant(float(n), float(n)))
    n += 1
    if n % 500 == 0:
        stream.close("rotate", Instant(float(n), float(n)))
"""


def test_a_writer_killed_while_writing_leaves_a_chain_without_a_hole(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-I", "-c", _WRITER, str(tmp_path), root])
        time.sleep(0.25)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()

        recover(str(tmp_path), 5.0)

    chain = read_chain(str(tmp_path), "c_7_n1_abcdef01_1000").closed
    heads = [
        json.loads(
            (tmp_path / "sealed" / f"c_7_n1_abcdef01_1000.{part.seq:06d}.jsonl").read_bytes().splitlines()[0]
        )
        for part in chain
    ]
    assert [part.seq for part in chain] == list(range(len(chain)))
    assert [head["prev_sha256"] for head in heads] == [None, *(part.sha256 for part in chain[:-1])]
    assert len(chain) > 3


def _event(n: int) -> wire.Event:
    return wire.Event(1000.0 + n, RUN, "test", {"n": n})


def _life(spool: Path) -> None:
    """Two segments and a seal, as a sampler writes them."""
    streams = Streams(_origin(spool), Journal("/nonexistent/log"))
    for n in range(3):
        streams.write(RUN, _event(n), Instant(1000.0 + n, float(n)))
    streams.rotate(0.5, Instant(1010.0, 10.0))
    streams.write(RUN, _event(3), Instant(1011.0, 11.0))
    assert streams.finish(RUN, "epilog", Instant(1012.0, 12.0))


def _events(spool: Path) -> list[int]:
    """Numbers of the events in sealed segments, each of which must be whole."""
    found = []
    for path in sorted((spool / "sealed").iterdir()):
        _check(path)
        records = [json.loads(line) for line in path.read_bytes().splitlines()]
        found += [r["detail"]["n"] for r in records if r["k"] == "event" and r["name"] == "test"]
    return found


def _assert_the_seal_holds(spool: Path) -> None:
    seal = json.loads((spool / "seals" / NAME.replace(".000000.jsonl", ".json")).read_bytes())
    there = []
    for path in sorted((spool / "sealed").glob("c_7_*")):
        tail = json.loads(path.read_bytes().splitlines()[-1])
        there.append([int(path.name[-12:-6]), tail["n"], tail["sha256"]])
    assert seal["segments"] == there
    assert [part[0] for part in there] == list(range(len(there)))


def _open_fds() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_sampler_killed_before_any_call_is_taken_up_and_nothing_whole_is_lost(tmp_path: Path) -> None:
    nth = 1
    while True:
        spool = tmp_path / str(nth)
        prepare(str(spool))
        killed = killed_at(nth, str(spool), lambda spool=spool: _life(spool))  # type: ignore[misc]
        recover(str(spool), 1100.0)
        before = _events(spool)
        assert before == list(range(len(before)))
        assert not list((spool / "open").iterdir())
        if not killed:
            break

        after = Streams(_origin(spool), Journal("/nonexistent/log"))
        if not after.is_sealed(RUN):
            after.write(RUN, _event(len(before)), Instant(1101.0, 1.0))
            assert after.finish(RUN, "epilog", Instant(1102.0, 2.0))
            assert _events(spool) == list(range(len(before) + 1))
        _assert_the_seal_holds(spool)
        nth += 1
    assert nth > 15, "the writer's calls are not seen any more"


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_any_one_call_loses_at_most_that_record_and_says_so(
    tmp_path: Path, code: int
) -> None:
    n_calls, fds = 1000, _open_fds()
    nth = 0
    while nth < n_calls:
        nth += 1
        spool = tmp_path / str(nth)
        prepare(str(spool))
        streams = Streams(_origin(spool), Journal("/nonexistent/log"))
        with refusing(str(spool), lambda n, _, nth=nth: code if n == nth else None) as disk:  # type: ignore[misc]
            kept = [streams.write(RUN, _event(n), Instant(1000.0 + n, 10.0 * n)) for n in range(3)]
            streams.rotate(0.5, Instant(1030.0, 30.0))
            kept.append(streams.write(RUN, _event(3), Instant(1040.0, 40.0)))
            done = streams.finish(RUN, "epilog", Instant(1050.0, 50.0))
            n_calls = disk.n
        if not done:
            assert streams.waiting() == [RUN]
            streams.rotate(3600.0, Instant(1060.0, 60.0))
        assert streams.waiting() == []
        assert _events(spool) == [n for n in range(4) if kept[n]]
        assert kept.count(False) <= 1
        lines = [line for path in (spool / "sealed").iterdir() for line in path.read_bytes().splitlines()]
        told = [json.loads(line) for line in lines]
        n_told = sum(r["detail"]["n"] for r in told if r.get("name") == "records-dropped")
        assert n_told == kept.count(False)
        _assert_the_seal_holds(spool)
    assert n_calls > 15
    assert _open_fds() == fds


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_everything_at_a_runs_end_gets_segment_and_seal_later(
    tmp_path: Path, code: int
) -> None:
    prepare(str(tmp_path))
    fds = _open_fds()
    streams = Streams(_origin(tmp_path), Journal("/nonexistent/log"))
    for n in range(3):
        streams.write(RUN, _event(n), Instant(1000.0 + n, float(n)))

    with refusing(str(tmp_path), lambda n, name: None if name == "close" else code):
        done = [streams.finish(RUN, "epilog", Instant(1010.0, 10.0))]
        for s in range(11, 40):
            streams.rotate(3600.0, Instant(1000.0 + s, float(s)))
    assert (done, streams.waiting()) == ([False], [RUN])
    assert not list((tmp_path / "seals").iterdir())

    streams.rotate(3600.0, Instant(1050.0, 50.0))

    assert streams.waiting() == []
    assert _events(tmp_path) == [0, 1, 2]
    _assert_the_seal_holds(tmp_path)
    assert not list((tmp_path / "open").iterdir())
    assert _open_fds() == fds


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
    streams = Streams(_origin(spool), Journal("/nonexistent/log"))
    for n in range(3):
        assert streams.write(RUN, _event(n), Instant(1000.0 + n, float(n)))
    _fill(small_disk / "filler")
    n = 3  # the segment's own last page takes some more
    while streams.write(RUN, _event(n), Instant(1003.0, 3.0)):
        n += 1
    while streams.write(RUN, wire.Event(1003.0, RUN, "filler", {}), Instant(1003.0, 3.0)):
        pass

    assert not streams.finish(RUN, "epilog", Instant(1010.0, 10.0))
    (small_disk / "filler").unlink()
    streams.rotate(3600.0, Instant(1020.0, 20.0))

    assert streams.waiting() == []
    assert _events(spool) == list(range(n))
    _assert_the_seal_holds(spool)


@pytest.mark.root
def test_a_disk_that_turns_read_only_is_waited_for(small_disk: Path) -> None:
    spool = small_disk / "spool"
    prepare(str(spool))
    streams = Streams(_origin(spool), Journal("/nonexistent/log"))
    streams.write(RUN, _event(0), Instant(1000.0, 0.0))
    stream = streams.of(RUN)
    assert stream.close("rotate", Instant(1001.0, 1.0))  # nothing may be open for writing while it turns

    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    kept = streams.write(RUN, _event(1), Instant(1010.0, 10.0))
    ended = streams.finish(RUN, "epilog", Instant(1020.0, 20.0))
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    streams.rotate(3600.0, Instant(1030.0, 30.0))

    assert (kept, ended, streams.waiting()) == (False, False, [])
    assert _events(spool) == [0]
    _assert_the_seal_holds(spool)
    assert "records-dropped" in (spool / "sealed" / NAME.replace("000000", "000001")).read_text()


def test_bytes_after_a_tail_are_cut_and_said(tmp_path: Path) -> None:
    whole = _body(tmp_path / "model")
    prepare(str(tmp_path))
    (tmp_path / "open" / NAME).write_bytes(whole + b'{"k":"event"}\n' + b"\0" * 100)

    (found,) = recover(str(tmp_path), 9.0)

    assert (tmp_path / "sealed" / NAME).read_bytes() == whole
    assert found.cut_b == 114


def test_what_is_no_segment_is_moved_aside_once_and_the_others_are_closed(tmp_path: Path) -> None:
    whole = _body(tmp_path / "model")
    prepare(str(tmp_path))
    opened = tmp_path / "open"
    (opened / "a.jsonl").mkdir()
    os.mkfifo(opened / "b.jsonl")
    (opened / "c.jsonl").symlink_to("/etc/passwd")
    (opened / NAME).write_bytes(whole[:-5])

    found = recover(str(tmp_path), 9.0)

    assert sorted(path.name for path in (tmp_path / "bad").iterdir()) == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert [one.name for one in found if one.bad is None] == [NAME]
    assert not list(opened.iterdir())
    assert recover(str(tmp_path), 10.0) == []


def test_a_line_nested_beyond_reason_ends_the_whole_part_and_nothing_else(tmp_path: Path) -> None:
    whole = _body(tmp_path / "model")
    prepare(str(tmp_path))
    head = whole[: whole.index(b"\n") + 1]
    (tmp_path / "open" / NAME).write_bytes(head + b'{"k":' + b"[" * 100_000 + b"\n")

    recover(str(tmp_path), 9.0)

    assert _check(tmp_path / "sealed" / NAME) == (0, "recovered")


def test_folders_that_are_not_there_do_not_stop_a_start(tmp_path: Path) -> None:
    assert recover(str(tmp_path / "none"), 9.0) == []
    stream = Stream(_origin(tmp_path / "none"), RUN)
    assert not stream.write(_event(0), Instant(1.0, 1.0))
    prepare(str(tmp_path / "none"))

    assert stream.write(_event(1), Instant(10.0, 10.0))

    assert stream.close("rotate", Instant(11.0, 11.0))


@pytest.mark.parametrize("kept_s", [0, 1, 2, 3])
def test_a_sequence_goes_on_when_its_segments_were_removed(tmp_path: Path, kept_s: int) -> None:
    prepare(str(tmp_path))
    first = Stream(_origin(tmp_path), RUN)
    for n in range(3):
        first.write(_event(n), Instant(1000.0 + n, float(n)))
        first.close("rotate", Instant(1000.5 + n, n + 0.5))
    digests = [part.sha256 for part in first.closed]
    for path in sorted((tmp_path / "sealed").iterdir())[: 3 - kept_s]:
        path.unlink()

    second = Stream(_origin(tmp_path), RUN)
    second.write(_event(3), Instant(1010.0, 10.0))
    second.close("run-ended", Instant(1011.0, 11.0))

    assert (tmp_path / "sealed" / NAME.replace("000000", "000003")).exists()
    assert second.seal("epilog", Instant(1012.0, 12.0))
    seal = json.loads(next((tmp_path / "seals").iterdir()).read_bytes())
    assert [part[2] for part in seal["segments"]][:3] == digests
    assert not list((tmp_path / "chain").iterdir()), "a sealed run needs no chain"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format":2}', '{"format":1,"closed":[[0]],"lost":[]}'])
def test_a_damaged_chain_is_read_from_the_segments_again(tmp_path: Path, damage: str) -> None:
    prepare(str(tmp_path))
    first = Stream(_origin(tmp_path), RUN)
    first.write(_event(0), Instant(1000.0, 0.0))
    first.close("rotate", Instant(1000.5, 0.5))
    (tmp_path / "chain" / f"{wire.stem(RUN)}.json").write_text(damage)

    assert Stream(_origin(tmp_path), RUN).closed == first.closed


def test_what_is_said_of_a_sealed_run_stands_in_the_nodes_own_stream(tmp_path: Path) -> None:
    prepare(str(tmp_path))
    _life(tmp_path)
    before = sorted(path.name for path in (tmp_path / "sealed").iterdir())
    streams = Streams(_origin(tmp_path), Journal("/nonexistent/log"))

    streams.write(RUN, _event(9), Instant(1100.0, 100.0))
    streams.close("sampler-stopped", Instant(1101.0, 101.0))

    after = sorted(path.name for path in (tmp_path / "sealed").iterdir())
    assert [name for name in after if name not in before] == ["node_abcdef01.000000.jsonl"]
    _assert_the_seal_holds(tmp_path)


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
