"""Law: the search in a chunk finds the lines that a search in each line finds."""

from hypothesis import given
from hypothesis import strategies as st

from slurm_guard.progress.needles import find_lines
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

    found, lines = find_lines(body, WORDS)

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
