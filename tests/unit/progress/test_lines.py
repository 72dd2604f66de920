"""Lines out of bytes."""

import pytest

from slurm_guard.progress.lines import Splitter, clean
from slurm_guard.progress.protocol import MAX_SEGMENT
from slurm_guard.progress.registry import TEXT


def _cut(body: bytes, at: int) -> list[tuple[bytes, int]]:
    """Lines as the text reader looks at them, with the offsets of their ends."""
    out, begin = [], 0
    while begin < len(body):
        end = body.index(b"\n", begin)
        if end > begin:
            out.append((body[begin : min(end, begin + MAX_SEGMENT)], at + end + 1))
        begin = end + 1
    return out


def _lines(data: bytes, size: int) -> tuple[list[tuple[bytes, int]], int]:
    splitter = Splitter()
    out: list[tuple[bytes, int]] = []
    for at in range(0, len(data), size):
        out.extend(_cut(*splitter.feed(data[at : at + size], at)))
    last = splitter.finish()
    return [*out, last] if last[0] else out, splitter.n_cut


def test_carriage_returns_and_backspaces_end_a_line_too() -> None:
    lines, _ = _lines(b"one\rtwo\x08\x08three\r\nfour\n", 100)

    assert lines == [(b"one", 4), (b"two", 8), (b"three", 15), (b"four", 21)]


def test_the_size_of_the_pieces_does_not_matter() -> None:
    data = b"a" * 30 + b"\n\nbb\r" + b"c" * 9000 + b"\nlast"

    whole = _lines(data, len(data))

    assert all(_lines(data, size) == whole for size in (1, 2, 7, 100, 4096, 4097, 5000))


def test_a_long_line_is_given_once_and_cut() -> None:
    lines, n_cut = _lines(b"x" * 100_000 + b"\nstep=1\n", 4096)

    assert [(len(line), end) for line, end in lines] == [(MAX_SEGMENT, 100_001), (6, 100_008)]
    assert n_cut == 1


def test_lines_beyond_the_limit_are_counted_wherever_they_stand() -> None:
    for before in (0, 1, 2047, 2048, 4095, 4096, 5000):
        for length, n in ((4096, 0), (4097, 1), (6144, 1), (20_000, 1)):
            data = b"y\n" * (before // 2) + b"x" * length + b"\nstep=1\n" + b"z" * 4097 + b"\n"

            assert _lines(data, 1 << 20)[1] == n + 1, (before, length)


def test_an_endless_line_is_kept_to_the_limit() -> None:
    splitter = Splitter()
    for nth in range(100):
        splitter.feed(b"x" * 10_000, nth * 10_000)

    assert len(splitter.kept) == MAX_SEGMENT + 1


def test_after_left_out_bytes_the_rest_of_the_line_is_dropped() -> None:
    splitter = Splitter()
    splitter.feed(b"step=1\nstep=2", 0)
    splitter.skipped()

    assert splitter.feed(b"99", 1000) == (b"", 1000)
    assert _cut(*splitter.feed(b"99\nstep=3\n", 1002)) == [(b"step=3", 1012)]
    assert splitter.finish() == (b"", 1012)


def test_terminal_colours_and_launcher_prefixes_are_taken_off() -> None:
    assert clean(b"\x1b[31mstep: 20  \x1b[38;2;180;60;0mloss: 8\x1b[39m") == ("step: 20  loss: 8", "")
    assert clean(b"3: step=1") == ("step=1", "3")
    assert clean(b"[rank7]: step=1") == ("step=1", "7")
    assert clean(b"0: [default2]:step=1") == ("step=1", "0")
    assert clean(b"(Trainer pid=123, ip=10.0.0.1) step=1") == ("step=1", "123")
    assert clean(b"[1,3]<stdout>:step=1") == ("step=1", "3")
    assert clean(b"[1,3]<stderr>: step=1") == ("step=1", "3")
    assert clean(b"[1,3] step=1") == ("[1,3] step=1", "")
    assert clean(b"") == ("", "")


@pytest.mark.parametrize("size", [4096, 4097, 9000, 3 << 20])
def test_a_line_without_an_end_that_is_cut_is_told(size: int) -> None:
    reader = TEXT.reader()
    body = b"x" * size
    for at in range(0, size, 1 << 20):
        reader.feed(body[at : at + (1 << 20)], at)

    told = [problem.split(":")[0] for problem in reader.finish().problems]

    assert told == (["long-lines"] if size > 4096 else [])
