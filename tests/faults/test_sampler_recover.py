"""What a dead sampler left is closed at its last whole line, and what is no segment moved aside."""

import os
from pathlib import Path

from slurm_guard.sampler.recover import recover
from slurm_guard.sampler.writer import Instant, Stream, prepare
from tests.faults.segments import NAME, RUN, body_of, check_segment, event_of, origin_of


def test_a_segment_cut_at_any_byte_is_recovered_up_to_the_last_whole_record(tmp_path: Path) -> None:
    whole = body_of(tmp_path / "model")
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
        n, reason = check_segment(sealed)
        assert n == min(lines - 1, 3)
        assert reason == ("rotate" if lines == 5 else "recovered")
        assert found[0].cut_b == (0 if lines == 5 else cut - len(b"".join(whole.splitlines(True)[:lines])))
        sealed.unlink()


def test_zeros_at_the_end_after_a_power_cut_are_cut(tmp_path: Path) -> None:
    whole = body_of(tmp_path / "model")
    prepare(str(tmp_path))
    (tmp_path / "open" / NAME).write_bytes(whole[: whole.index(b"\n") + 1] + b"\0" * 4096)

    recover(str(tmp_path), 9.0)

    assert check_segment(tmp_path / "sealed" / NAME) == (0, "recovered")


def test_recovering_twice_changes_nothing(tmp_path: Path) -> None:
    whole = body_of(tmp_path / "model")
    prepare(str(tmp_path))
    (tmp_path / "open" / NAME).write_bytes(whole[:-5])
    recover(str(tmp_path), 9.0)
    before = (tmp_path / "sealed" / NAME).read_bytes()

    assert recover(str(tmp_path), 10.0) == []

    assert (tmp_path / "sealed" / NAME).read_bytes() == before


def test_bytes_after_a_tail_are_cut_and_said(tmp_path: Path) -> None:
    whole = body_of(tmp_path / "model")
    prepare(str(tmp_path))
    (tmp_path / "open" / NAME).write_bytes(whole + b'{"k":"event"}\n' + b"\0" * 100)

    (found,) = recover(str(tmp_path), 9.0)

    assert (tmp_path / "sealed" / NAME).read_bytes() == whole
    assert found.cut_b == 114


def test_what_is_no_segment_is_moved_aside_once_and_the_others_are_closed(tmp_path: Path) -> None:
    whole = body_of(tmp_path / "model")
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
    whole = body_of(tmp_path / "model")
    prepare(str(tmp_path))
    head = whole[: whole.index(b"\n") + 1]
    (tmp_path / "open" / NAME).write_bytes(head + b'{"k":' + b"[" * 100_000 + b"\n")

    recover(str(tmp_path), 9.0)

    assert check_segment(tmp_path / "sealed" / NAME) == (0, "recovered")


def test_folders_that_are_not_there_do_not_stop_a_start(tmp_path: Path) -> None:
    assert recover(str(tmp_path / "none"), 9.0) == []
    stream = Stream(origin_of(tmp_path / "none"), RUN)
    assert not stream.write(event_of(0), Instant(1.0, 1.0))
    prepare(str(tmp_path / "none"))

    assert stream.write(event_of(1), Instant(10.0, 10.0))

    assert stream.close("rotate", Instant(11.0, 11.0))
