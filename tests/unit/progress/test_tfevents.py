"""Event files: framing, both value encodings, and files that lie about their lengths."""

import struct

import pytest

from slurm_guard.progress.protocol import Found
from slurm_guard.progress.tfevents import TfeventsSource
from tests.unit.progress.event_files import event, record, scalar, tensor, version


def read(data: bytes, size: int = 1 << 20) -> Found:
    reader = TfeventsSource().reader()
    at = 0
    while at < len(data):
        piece = data[at : at + size]
        at = max(at + len(piece), reader.feed(piece, at))
    return reader.finish()


def steps(found: Found) -> list[int | None]:
    return [claim.step for claim in found.series[0].claims] if found.series else []


def test_the_tag_with_most_points_is_the_clock() -> None:
    data = version() + b"".join(event(1.7e9 + n, n, scalar("train/loss", 2.0 / (n + 1))) for n in range(5))
    data += event(1.7e9 + 9, 4, scalar("eval/loss", 1.0))

    found = read(data)

    assert steps(found) == [0, 1, 2, 3, 4]
    assert [claim.loss for claim in found.series[0].claims][:2] == [2.0, 1.0]
    assert [claim.phase for claim in found.phases] == ["eval"]


@pytest.mark.parametrize("tag", ["val_loss_step", "val/loss", "Loss/test"])
def test_an_evaluations_own_counter_is_no_clock_beside_a_training(tag: str) -> None:
    """Lightning's `log(..., on_step=True)` in a validation: more points, at batches of its own."""
    body = b"".join(
        event(1.7e9 + n, n, scalar("train_loss", 1.0), scalar("epoch", n // 500))
        + b"".join(
            event(1.7e9 + n, 4 * n + k, scalar(tag, 1.0), scalar("epoch", n // 500)) for k in range(40)
        )
        for n in range(0, 2000, 50)
    )

    (series,) = read(version() + body).series
    assert [claim.step for claim in series.claims] == [*range(0, 2000, 50)]
    assert {claim.phase for claim in series.claims} == {"train"}


def test_both_encodings_and_any_piece_size_give_the_same() -> None:
    simple = version() + b"".join(event(1.7e9 + n, n, scalar("loss", 1.5)) for n in range(40))
    tensors = version() + b"".join(event(1.7e9 + n, n, tensor("loss", 1.5)) for n in range(40))

    assert steps(read(simple, 7)) == steps(read(simple)) == steps(read(tensors, 100)) == list(range(40))
    assert read(tensors).series[0].claims[3].loss == 1.5


def test_offsets_are_the_records_ends() -> None:
    first = version() + event(1.7e9, 0, scalar("loss", 1.0))
    data = first + event(1.7e9 + 1, 1, scalar("loss", 1.0))

    assert [claim.offset for claim in read(data, 11).series[0].claims] == [len(first), len(data)]


def test_a_torn_tail_is_said_and_costs_only_itself() -> None:
    data = version() + event(1.7e9, 0, scalar("loss", 1.0)) + event(1.7e9 + 1, 1, scalar("loss", 1.0))[:-9]

    found = read(data)

    assert steps(found) == [0]
    assert found.problems[0].startswith("torn-tail")


def test_a_large_record_is_skipped_by_seek() -> None:
    graph = record(b"\x09" + struct.pack("<d", 1.7e9) + b"\x22" + b"\xff\xff\x07" + b"g" * 131_071)
    data = version() + graph + event(1.7e9, 3, scalar("loss", 1.0))

    found = read(data, 4096)

    assert steps(found) == [3]
    assert found.read_b < len(data) - 100_000


def test_a_length_bomb_ends_the_file_with_a_problem() -> None:
    data = version() + event(1.7e9, 1, scalar("loss", 1.0)) + struct.pack("<QI", 1 << 62, 0) + b"x" * 100

    found = read(data)

    assert steps(found) == [1]
    assert found.problems == ["length-bomb: 1"]


@pytest.mark.parametrize("step", [-1, 1 << 60])
def test_impossible_steps_are_left_out(step: int) -> None:
    found = read(version() + event(1.7e9, step, scalar("loss", 1.0)) + event(1.7e9, 2, scalar("loss", 1.0)))

    assert steps(found) == [2]


def test_an_impossible_time_or_loss_is_null() -> None:
    found = read(version() + event(float("nan"), 1, scalar("loss", float("inf"))))

    assert (found.series[0].claims[0].at, found.series[0].claims[0].loss) == (None, None)


def test_ten_thousand_tags_are_not_followed() -> None:
    found = read(version() + b"".join(event(1.7e9, 1, scalar(f"tag{n}", 1.0)) for n in range(10_000)))

    assert found.problems == ["many-tags: 9872"]


def test_a_file_is_known_by_its_first_record_not_by_its_name() -> None:
    source = TfeventsSource()

    assert source.claims(version(), "/w/renamed.bin") == 1.0
    assert source.claims(b"step=1 loss=2 and more text than a name", "/w/events.out.tfevents.1.h") == 0.0
