"""What is put into a site's file comes out again, byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_guard.install.blocks import BEGIN, END, DamagedBlock, Edit, put_in, take_out

LINES = st.lists(
    st.sampled_from([b"A=1", b"", b"B=2 \\", b"  # c", b"\xff\x00", b"x\r", b"#was# y"]), max_size=8
)
ENDS = st.sampled_from([b"\n", b"\r\n"])


@given(LINES, ENDS, st.booleans(), ENDS, st.data())
def test_out_is_in_backwards(
    lines: list[bytes], end: bytes, closed: bool, newline: bytes, data: st.DataObject
) -> None:
    """take_out(put_in(text)) == text, for any text, line ends, and edits that do not overlap."""
    text = end.join(lines) + (end if closed and lines else b"")
    n = text.count(b"\n") + (not text.endswith(b"\n") and text != b"")
    places = data.draw(st.sets(st.integers(1, max(n, 1)), max_size=3)) if n else set()
    edits = [Edit(place, data.draw(st.integers(0, 1)), ("Prolog=/x",)) for place in places]
    edits += [Edit(0, 0, (f"K={i}",)) for i in range(data.draw(st.integers(0, 2)))]

    changed = put_in(text, edits, newline)

    assert take_out(changed) == text
    assert (changed == text) == (not edits)


def test_lines_that_others_add_around_a_block_stay() -> None:
    changed = put_in(b"A=1\nB=2\n", [Edit(2, 1, ("B=3",)), Edit(0, 0, ("C=4",))], b"\n")

    edited = b"# new\n" + changed.replace(b"A=1", b"A=9") + b"D=5\n"

    assert take_out(edited) == b"# new\nA=9\nB=2\nD=5\n"


@pytest.mark.parametrize("text", [BEGIN + b"\nA=1\n", END + b"\n", BEGIN + b"\n" + BEGIN + b"\n" + END])
def test_damaged_marks_are_said(text: bytes) -> None:
    with pytest.raises(DamagedBlock):
        take_out(text)
