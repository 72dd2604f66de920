"""CSV logs of each writer, what their rows must not be mistaken for, and tables that are no logs."""

import os
import tempfile
from pathlib import Path

import pytest

from slurm_guard.progress.csvlog import CsvSource
from slurm_guard.progress.mark import Mark
from slurm_guard.progress.protocol import Claim, Found
from slurm_guard.progress.registry import choose
from slurm_guard.progress.unit import Input, Told, read_unit

FIXTURES = Path(__file__).parents[2] / "fixtures" / "progress"


def found_in(text: str) -> Found:
    """What the CSV reader alone finds."""
    reader = CsvSource().reader()
    reader.feed(text.encode(), 0)
    return reader.finish()


def claims_in(text: str) -> list[Claim]:
    found = found_in(text)
    return found.series[0].claims if found.series else []


def read(data: bytes) -> tuple[Told, list[Mark]]:
    """The whole way."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        told, marks = read_unit(
            [Input(0, file.fileno(), "/w/log.csv", "fd", os.fstat(file.fileno()).st_size, 1 << 26)]
        )
    return told[0], marks


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("lightning_metrics.csv", [9, 19, 24, 29, 39, 49]),
        ("keras_log.csv", [0, 1_000_000, 2_000_000, 3_000_000]),
        ("sb3_progress.csv", [2048, 4096, 6144]),
        ("rllib_progress.csv", [1, 2, 3]),
        ("generic.tsv", [100, 200, 300]),
        ("semicolon.csv", [1, 2, 3]),
    ],
)
def test_each_writers_log_gives_the_steps_that_stand_in_it(name: str, steps: list[int]) -> None:
    told, marks = read((FIXTURES / name).read_bytes())

    assert (told.source, [mark.step for mark in marks if mark.phase == "train"], told.problems) == (
        "csv",
        steps,
        [],
    )


def test_keras_rows_are_millionths_of_epochs_and_say_so() -> None:
    told, marks = read((FIXTURES / "keras_log.csv").read_bytes())

    assert told.track.startswith("csv/epoch:")
    assert {mark.flags for mark in marks} == {("epoch",)}
    assert [mark.loss for mark in marks] == [1.6512, 1.3041, 1.147, 1.0432]


def test_a_row_of_validation_metrics_alone_is_an_evaluation() -> None:
    claims = claims_in((FIXTURES / "lightning_metrics.csv").read_text())

    assert [claim.phase for claim in claims] == [*["train"] * 3, "eval", "train", "train", "eval", "eval"]
    assert [claim.loss for claim in claims[:3]] == [None, 2.3041, 2.1107]


def test_rllib_carries_samples_times_and_the_time_of_an_iteration() -> None:
    last = claims_in((FIXTURES / "rllib_progress.csv").read_text())[-1]

    assert (last.step, last.samples, last.at, last.naive) == (3, 12_000, 1_785_568_793.0, False)
    assert last.took_s == 8.0021119


def test_a_times_column_of_stamps_is_read() -> None:
    assert claims_in((FIXTURES / "generic.tsv").read_text())[0].at == 1_785_568_777.0


@pytest.mark.parametrize(
    "heading",
    [
        "id,step,action,result",  # a process, not a training
        ",worker,gpu,time,batch_time_norm",
        "timestamp,power_w,temperature",
        "epoch,channel,microvolt",  # a recording
        "batch,loss",  # batches of goods lose weight
        "x,y,z",
        "step",
        "step,step,loss",
        "1,2,3",
        "step,loss,3.5",
        '#"Step","loss"',
        "step loss lr",
        '{"step": 1, "loss": 2}, x',
        "loss,accuracy",
        "user,iterations_wanted,loss",
        "num_tokens,ppl",  # of one sample each, sorted or not
        "id,tokens,f1",
        "samples,acc",
    ],
)
def test_the_heading_of_data_claims_no_file(heading: str) -> None:
    rows = "".join(f"{n},{n},{n},{n}\n" for n in range(9))

    assert CsvSource().claims(f"{heading}\n{rows}".encode(), "/w/metrics.csv") == 0.0


@pytest.mark.parametrize(
    "heading", ["tokens_seen,ppl", "consumed_samples,acc", "tokens,loss", "timestamp,tokens,acc"]
)
def test_a_count_of_tokens_or_samples_that_says_what_it_is_heads_a_log(heading: str) -> None:
    rows = "".join(f"{n},{n},{n},{n}\n" for n in range(9))

    assert CsvSource().claims(f"{heading}\n{rows}".encode(), "/w/metrics.csv") == 0.7


def test_a_text_that_begins_with_such_words_stays_a_text() -> None:
    text = b"step,loss\n" + b"loading the data\nmore of it\nstep=1 loss=2\nstep=2 loss=1\n" * 3

    source = choose(text, "/w/slurm-1.out", "stdout")

    assert source is not None
    assert source.name == "text"


def test_a_counter_that_falls_again_and_again_is_data() -> None:
    text = "episode,step,reward\n" + "".join(f"{e},{s},0.5\n" for e in range(40) for s in range(5))

    found = found_in(text)

    assert found.series == []
    assert found.problems == ["data-rows: the counter falls 39 times in 200 rows"]


def test_a_counter_that_begins_again_with_each_epoch_is_added_up() -> None:
    rows = "".join(f"{e},{s},0.5\n" for e in range(40) for s in range(10, 60, 10))
    told, marks = read(("epoch,iter,loss\n" + rows).encode())

    assert (told.source, told.problems, len(marks)) == ("csv", [], 200)
    assert (marks[0].step, marks[-1].step, {mark.segment for mark in marks}) == (10, 2000, {0})


def test_a_counter_that_stands_still_leaves_the_clock_to_the_epochs() -> None:
    told, marks = read(b"step,epoch,loss\n" + b"".join(b"0,%d,0.5\n" % n for n in range(1, 9)))

    assert told.track.startswith("csv/epoch:")
    assert [(mark.step, mark.flags) for mark in marks] == [(1_000_000 * n, ("epoch",)) for n in range(1, 9)]


def test_names_that_differ_in_their_case_alone_are_two() -> None:
    assert [claim.loss for claim in claims_in("Loss,loss,step\n1,2,3\n")] == [1.0]


def test_a_resumed_log_that_steps_back_is_one_log_with_two_segments() -> None:
    rows = [*range(0, 1000, 10), *range(800, 1500, 10)]
    told, marks = read(("step,loss\n" + "".join(f"{n},1.5\n" for n in rows)).encode())

    assert (told.source, len(marks)) == ("csv", 170)
    assert [(m.segment, m.step) for m in marks if "step-back" in m.flags] == [(1, 800)]


@pytest.mark.parametrize(
    "cell",
    [
        "nan",
        "inf",
        "1e400",
        "-3",
        "1.5",
        "0x10",
        "1,000",
        "1.000",
        "9" * 30,
        "٣",
        "\0",
        "1_000",
        "true",
        "1e99",
    ],
)
def test_a_counter_that_is_no_whole_number_is_a_problem_and_no_point(cell: str) -> None:
    rows = "".join(f"{n};0.5\n" for n in range(1, 5))

    found = found_in(f"step;loss\n{rows}{cell};0.5\n5;0.5\n")

    assert [claim.step for claim in found.series[0].claims] == [1, 2, 3, 4, 5]
    assert found.problems == ["bad-counter: rows whose counter is no whole number: 1"]


@pytest.mark.parametrize(
    ("cell", "step"), [("12.0", 12), ("12.000000", 12), ("1.2e+01", 12), (" 12 ", 12), ("1e1", None)]
)
def test_a_whole_number_that_was_printed_as_a_real_one_counts(cell: str, step: int | None) -> None:
    claims = claims_in(f"step,loss\n1,2.5\n2,2.5\n3,2.5\n4,2.5\n{cell},2.5\n")

    assert (claims[-1].step if len(claims) == 5 else None) == step


def test_decimal_commas_under_a_comma_are_named_and_not_believed() -> None:
    told, marks = read(b"step,loss\n" + b"".join(b"%d,0,5\n" % n for n in range(9)))

    assert marks == []
    assert "unfit-rows: 9 of 9 do not fit the heading, none is believed" in told.problems


def test_decimal_commas_under_semicolons_cost_the_loss_alone() -> None:
    claims = claims_in((FIXTURES / "semicolon.csv").read_text())

    assert [(claim.step, claim.loss) for claim in claims] == [(1, None), (2, None), (3, None)]


def test_a_quoted_line_end_stays_inside_its_row() -> None:
    text = 'step,loss,note\n1,0.5,"a\n7,0.1,b"\n2,0.4,"c, ""d"""\n3,0.3,\n'

    assert [claim.step for claim in claims_in(text)] == [1, 2, 3]


def test_a_quote_that_never_closes_costs_its_lines_and_no_more() -> None:
    text = "step,loss,note\n" + "".join(f"{n},0.5,x\n" for n in range(300)) + '300,0.5,"x\n'
    text += "".join(f"{n},0.5,x\n" for n in range(301, 600))

    found = found_in(text)
    steps = [claim.step for claim in found.series[0].claims]

    assert found.problems == ["open-quote: quotes that are not closed, whose rows are left out: 1"]
    assert (steps[-1], len(steps)) == (599, 600 - 64)


def test_a_heading_that_comes_again_or_grows_is_followed() -> None:
    text = "step,loss\n1,0.5\nstep,loss\n2,0.4\nval_loss,step,loss\n,3,0.3\n"

    found = found_in(text)

    assert [(claim.step, claim.loss) for claim in found.series[0].claims] == [(1, 0.5), (2, 0.4), (3, 0.3)]
    assert found.problems == []


@pytest.mark.parametrize(
    ("tail", "steps"),
    [("3,0.3", [1, 2, 3]), ("3", [1, 2]), ("3,", [1, 2, 3])],
)
def test_the_last_line_of_a_live_file_gives_no_torn_number(tail: str, steps: list[int]) -> None:
    claims = claims_in(f"step,loss\n1,0.5\n2,0.4\n{tail}")

    assert [claim.step for claim in claims] == steps
    assert all(claim.loss is None for claim in claims[2:])
    assert [c.step for c in claims_in("loss,step\n0.5,10\n0.4,20\n0.3,3")] == [10, 20]


def test_a_line_of_ten_megabytes_is_named_and_the_next_row_read() -> None:
    reader = CsvSource().reader()
    data = b"step,loss\n1,0.5\n" + b"9" * 10_000_000 + b",1\n2,0.4\n"
    for at in range(0, len(data), 1 << 20):
        reader.feed(data[at : at + (1 << 20)], at)
    found = reader.finish()

    assert [claim.step for claim in found.series[0].claims] == [1, 2]
    assert found.problems == ["long-lines: lines that are too long to be read: 1"]


def test_rows_after_a_gap_in_the_reading_are_read_from_the_next_line_on() -> None:
    reader = CsvSource().reader()
    reader.feed(b"step,loss\n1,0.5\n2,0.", 0)
    reader.skipped(1000)
    reader.feed(b"41,0.5\n50,0.1\n", 1000)

    assert [claim.step for claim in reader.finish().series[0].claims] == [1, 50]
