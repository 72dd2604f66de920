"""Weights & Biases files: rows across blocks, broken blocks, torn ends, and which step is the clock."""

import pytest

from slurm_guard.progress.protocol import Found
from slurm_guard.progress.registry import choose
from slurm_guard.progress.wandb import WandbReader
from tests.unit.progress.wandb_files import BLOCK, HEADER, exited, log, row

AT = 1_795_473_879.5


def read(data: bytes, size: int = 1 << 20) -> Found:
    """All of a file's bytes, in pieces."""
    reader = WandbReader()
    for at in range(0, len(data), size):
        assert reader.feed(data[at : at + size], at) == at + len(data[at : at + size])
    return reader.finish()


def steps(found: Found) -> list[int | None]:
    return [claim.step for one in found.series for claim in one.claims]


def rows(n: int, pad: int = 0) -> list[bytes]:
    """Rows of about `pad` bytes each."""
    return [
        row(_step=i, _timestamp=AT + i, train__loss=2.5, tokens=i * 4096, note="x" * pad) for i in range(n)
    ]


def test_a_row_gives_step_time_tokens_and_loss() -> None:
    series = read(log(*rows(3), exited())).series[0]

    assert (series.source, series.key) == ("wandb", "_step")
    assert [(c.step, c.at, c.tokens, c.loss) for c in series.claims][2] == (2, AT + 2, 8192, 2.5)


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_rows_that_cross_blocks_are_whole_and_pieces_do_not_matter(size: int) -> None:
    data = log(*rows(40, pad=9_000))

    assert len(data) > 10 * BLOCK
    assert steps(read(data, size)) == list(range(40))


def test_the_offset_is_the_records_end() -> None:
    one, two = log(*rows(1)), log(*rows(2))

    assert [c.offset for c in read(two).series[0].claims] == [len(one), len(two)]


def test_a_torn_end_is_told_and_costs_the_last_row_only() -> None:
    data = log(*rows(20, pad=5_000))
    found = read(data[:-100])

    assert steps(found) == list(range(19))
    assert found.problems[0].startswith("torn-tail")


def test_a_flipped_bit_costs_its_block_and_no_more() -> None:
    data = bytearray(log(*rows(2_000, pad=100)))
    data[3 * BLOCK + 5_000] ^= 0x10
    found = read(bytes(data))

    assert found.problems == ["broken-blocks: 1"]
    assert 1_600 < len(steps(found)) < 2_000
    assert steps(found) == sorted(steps(found), key=lambda step: step or 0)
    assert steps(found)[-1] == 1_999


def test_a_length_beyond_the_block_is_a_broken_block() -> None:
    data = HEADER + b"\1\1\1\1\xff\xff\1" + b"x" * 100

    assert read(data).problems == ["broken-blocks: 1"]


def test_a_record_that_never_ends_costs_no_memory() -> None:
    found = read(log(*rows(1), row(_step=1, note="x" * (3 << 20)), *rows(3)[2:]))

    assert steps(found) == [0, 2]
    assert found.problems == ["skipped-large-records: 1"]


def test_reading_goes_on_at_the_next_block_after_bytes_were_left_out() -> None:
    data = log(*rows(2_000, pad=100))
    reader = WandbReader()
    reader.feed(data[:10_000], 0)
    reader.skipped(100_001)
    reader.feed(data[100_001:], 100_001)
    found = steps(reader.finish())

    assert found[0] == 0
    assert found[-1] == 1_999
    assert found == sorted(found, key=lambda step: step or 0)


@pytest.mark.parametrize("name", ["train__global_step", "trainer__global_step", "global_step"])
def test_a_training_step_in_most_rows_is_the_clock(name: str) -> None:
    trained = [row(None, False, **{"_step": i, "loss": 1.0, name: 500 * i}) for i in range(5)]
    data = log(*trained, row(_step=5, eval__loss=1.0))
    series = read(data).series[0]

    assert (series.key, [c.step for c in series.claims]) == ("global_step", [0, 500, 1000, 1500, 2000])


def test_a_training_step_in_few_rows_is_not() -> None:
    data = log(*(row(_step=i, loss=1.0) for i in range(5)), row(_step=5, global_step=77))

    assert steps(read(data)) == [0, 1, 2, 3, 4, 5]


def test_a_training_step_that_stands_still_is_not() -> None:
    """`define_metric(step_metric=…)` fills in a step that is never logged."""
    data = log(*(row(_step=10 * i, loss=1.0, train__step=0) for i in range(5)))

    assert steps(read(data)) == [0, 10, 20, 30, 40]


def test_keys_in_parts_and_the_records_own_step_are_read() -> None:
    series = read(log(row(7, True, train__loss=1.5, _timestamp=AT))).series[0]

    assert (series.claims[0].step, series.claims[0].loss, series.claims[0].at) == (7, 1.5, AT)


def test_a_row_of_an_evaluation_is_one() -> None:
    assert read(log(row(_step=3, eval__loss=1.0))).series[0].claims[0].phase == "eval"


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", -1, 1e400, [1, 2], {"a": 1}, None, True, 2.5, "9" * 60, 1 << 53]
)
def test_a_step_that_is_none_gives_no_point(value: object) -> None:
    assert steps(read(log(row(_step=value)))) == []


def test_the_end_of_the_run_is_a_mark() -> None:
    assert [(c.phase, c.advances) for c in read(log(*rows(1), exited())).phases] == [("end", False)]


@pytest.mark.parametrize(
    ("head", "path", "name"),
    [
        (HEADER + b"x", "/w/wandb/run-x/run-x.wandb", "wandb"),
        (HEADER, "/w/elsewhere", "wandb"),
        (b"", "/w/run-x.wandb", "wandb"),
        (b":W&C\xe1\xbe\0step=1\n", "/w/run-x.wandb", None),
        (b'{"_step": 369, "_timestamp": 1.5e9}', "/w/files/wandb-summary.json", None),
        (b'{"host": "n1"}', "/w/files/wandb-metadata.json", "wandbmeta"),
    ],
)
def test_a_file_is_known_by_its_header(head: bytes, path: str, name: str | None) -> None:
    source = choose(head, path, "walk")

    assert (source.name if source else None) == name


def test_deepspeeds_names_say_that_the_step_counts_samples() -> None:
    rows_ = [row(_step=n * 32, _timestamp=AT + n, Train__Samples__train_loss=2.0) for n in range(4)]

    (series,) = read(log(*rows_)).series

    assert series.key == "samples"
    assert [(claim.step, claim.samples) for claim in series.claims] == [(None, n * 32) for n in range(4)]
