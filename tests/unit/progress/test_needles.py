"""Law: the search in a chunk finds the lines that a search in each line finds."""

import re

from hypothesis import given
from hypothesis import strategies as st

from slurm_guard.progress.lines import clean
from slurm_guard.progress.needles import find_begins, find_lines
from slurm_guard.progress.protocol import MAX_SEGMENT

WORDS = [
    (b"step", 1),
    (b"Epoch ", 2),
    (b"it/s", 2),
    (b"DAV:", 4),
    (b" ", 8),
    (b"aaa", 16),
    (b"Iteration: ", 32),
]
pieces = st.sampled_from(
    [
        b"step",
        b"Epoch 1",
        b"s/it/s",
        b"DAV: 1",
        b"aaaa",
        b" ",
        b"\n",
        b"\n\n",
        b"x" * 4090,
        b"s",
        b"Iteration:",
    ]
)


@given(st.lists(pieces, max_size=40).map(b"".join))
def test_every_line_with_a_word_is_found_and_no_other(text: bytes) -> None:
    body = text + b"\n"

    found, lines = find_lines(body, [(word, bit, None) for word, bit in WORDS])

    naive: dict[int, int] = {}
    begin = 0
    for line in body.split(b"\n")[:-1]:
        bits = 0
        for word, bit in WORDS:
            bits |= bit if word in line[:MAX_SEGMENT] else 0
        if bits:
            naive[begin] = bits
        begin += len(line) + 1
    assert lines == naive
    assert all(found & bits == bits for bits in naive.values())


_TAIL = re.compile(rb"=\d")


@given(st.lists(pieces | st.sampled_from([b"step=", b"=3", b"\x1b[1m"]), max_size=40).map(b"".join))
def test_a_word_with_a_tail_counts_where_it_stands_or_a_colour_hides_it(text: bytes) -> None:
    body = text + b"\n"

    _, lines = find_lines(body, [(b"step", 1, _TAIL)])

    naive, begin = {}, 0
    for line in body.split(b"\n")[:-1]:
        head = line[:MAX_SEGMENT]
        places = [at for at in range(len(head)) if head.startswith(b"step", at)]
        if any(_TAIL.match(line, at + 4) or b"\x1b" in line[at:] for at in places):
            naive[begin] = 1
        begin += len(line) + 1
    assert lines == naive


begins = st.sampled_from([b"0: ", b"[rank3]: ", b"(A pid=7) ", b"\x1b[1m", b"[", b"[26]", b"x", b" ", b"\n"])


@given(st.lists(begins))
def test_lines_that_begin_with_a_patterns_head_once_cleaned_are_found(parts: list[bytes]) -> None:
    body = b"".join(parts) + b"\n"
    lines: dict[int, int] = {}

    find_begins(body, rb"\[\d\d\]", 4, lines)

    begin = 0
    for line in body.split(b"\n")[:-1]:
        if clean(line)[0].startswith("[26]"):
            assert lines.get(begin) == 4
        begin += len(line) + 1
