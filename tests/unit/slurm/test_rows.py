"""sacct's text to rows."""

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.slurm.rows import FIELDS, US, format_rows, parse_rows

ROW = dict.fromkeys(FIELDS, "x") | {"JobIDRaw": "7", "Comment": "c"}


def test_rows_come_back_as_they_were_written() -> None:
    rows = [ROW, ROW | {"JobIDRaw": "8", "Comment": ""}]

    assert parse_rows(format_rows(rows)) == (rows, [])


@pytest.mark.parametrize("column", ["Comment", "JobName", "WorkDir", "Extra"])
@pytest.mark.parametrize("text", ["a\nb", "\n", "a|b", "a\n\n\nb", "9\n", "\x1c\x85\u2028", "\r"])
def test_line_ends_inside_free_text_stay_inside_their_row(column: str, text: str) -> None:
    rows = [ROW | {column: text}, ROW | {"JobIDRaw": "8"}]

    assert parse_rows(format_rows(rows)) == (rows, [])


def test_a_row_forged_in_a_name_stays_a_name_when_the_delimiter_is_not_known() -> None:
    forged = US.join("9" if name == "JobIDRaw" else "y" for name in FIELDS)
    rows = [ROW | {"JobName": f"n\n{forged}\n", "Comment": f"c\n{forged}"}]
    delimiter = f"{US}123456789{US}"

    assert parse_rows(format_rows(rows, delimiter=delimiter)) == (rows, [])


def test_a_row_with_too_few_fields_is_a_problem_and_the_next_one_is_read() -> None:
    lines = format_rows([ROW, ROW | {"JobIDRaw": "8"}]).split("\n")
    lines[1] = US.join(lines[1].split(US)[:5])

    rows, problems = parse_rows("\n".join(lines))

    assert [row["JobIDRaw"] for row in rows] == ["8"]
    assert problems == [f"line 2: 5 fields where {len(FIELDS)} are named"]


def test_a_row_with_too_many_fields_is_a_problem() -> None:
    text = format_rows([ROW | {"JobName": f"a{US}b"}, ROW | {"JobIDRaw": "8"}])

    rows, problems = parse_rows(text)

    assert ([row["JobIDRaw"] for row in rows], len(problems)) == (["8"], 1)


def test_lines_ended_by_a_delimiter_as_sacct_does_with_small_p_are_read() -> None:
    text = format_rows([ROW, ROW]).replace("\n", US + "\n")

    assert parse_rows(text) == ([ROW, ROW], [])


def test_another_delimiter_is_found_in_the_header() -> None:
    assert parse_rows(format_rows([ROW], delimiter="|")) == ([ROW], [])


@pytest.mark.parametrize("text", ["", "1|2|3\n", "JobIDRaw\n7\n", "\x00" * 10_000, "a" * 100_000])
def test_text_without_a_header_is_refused_with_the_command_that_makes_one(text: str) -> None:
    with pytest.raises(GuardError, match="sacct-text") as caught:
        parse_rows(text)
    assert "sacct -a -D -X -P" in caught.value.hint


def test_a_job_id_that_is_no_number_is_named_as_that() -> None:
    rows, problems = parse_rows(format_rows([ROW | {"JobIDRaw": "7x"}, ROW]))

    assert [row["JobIDRaw"] for row in rows] == ["7"]
    assert problems == ["line 2: JobIDRaw is '7x', which is no number"]
