"""Laws of the CSV reader: it agrees with csv.reader, and hostile cells never become points."""

import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_guard.progress.csvlog import CsvSource
from slurm_guard.progress.protocol import Found

quick = settings(max_examples=150, deadline=None)
FREE = st.text(st.characters(codec="utf-8", exclude_characters="\r\0\ufeff"), max_size=12)
HOSTILE = st.sampled_from(
    [
        "nan",
        "1e400",
        "-1",
        '"',
        '"\n',
        "\0",
        ",",
        ",,,,",
        "9" * 400,
        "1,5",
        "ﬁ",
        "\x1b[31m",
        "step,loss",
        "'",
        " ",
    ]
)


def read(data: bytes, size: int) -> Found:
    reader = CsvSource().reader()
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size], at)
    return reader.finish()


@quick
@given(
    steps=st.lists(st.integers(0, 1 << 50), max_size=40).map(sorted),
    notes=st.lists(FREE, min_size=40, max_size=40),
    separator=st.sampled_from(",;\t"),
    size=st.integers(1, 400),
)
def test_quoted_cells_of_any_text_never_move_a_counter(
    steps: list[int], notes: list[str], separator: str, size: int
) -> None:
    """Law: the steps are those that csv.reader finds in the column."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerow(["note", "step", "train_loss"])
    writer.writerows([note, step, 0.5] for note, step in zip(notes, steps, strict=False))

    found = read(out.getvalue().encode(), size)

    rows = list(csv.reader(io.StringIO(out.getvalue()), delimiter=separator))[1:]
    said = [claim.step for series in found.series for claim in series.claims]
    assert said == [int(row[1]) for row in rows]


@quick
@given(
    rows=st.lists(st.one_of(st.integers(0, 99).map(lambda n: f"{n},0.5"), HOSTILE), max_size=60),
    size=st.integers(1, 100),
)
def test_every_point_is_a_cell_of_the_column(rows: list[str], size: int) -> None:
    """Law: what is read was written below `step`; the rest is counted, and no bytes raise."""
    written = {row.split(",")[0].strip('" \n') for row in rows}

    found = read(("step,loss\n" + "\n".join(rows) + "\n").encode(), size)

    assert {str(claim.step) for series in found.series for claim in series.claims} <= written
    assert all(":" in problem for problem in found.problems)
