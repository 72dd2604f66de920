"""Law: nothing in a well-framed W&B record, a trainer state or a metric's file raises or misleads."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_guard.progress.protocol import Found
from slurm_guard.progress.registry import SOURCES
from slurm_guard.progress.values import AT_MAX, AT_MIN, STEP_LIMIT
from tests.unit.progress.event_files import field, varint
from tests.unit.progress.wandb_files import exited, log, row, written_in

quick = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
numbers = st.one_of(st.integers(-(1 << 70), 1 << 70), st.floats(), st.sampled_from([0, 1, 5, 1e400, -1]))
values = st.recursive(
    st.one_of(numbers, st.text(max_size=12), st.none(), st.booleans()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from(
    ["_step", "_timestamp", "train/global_step", "epoch", "tokens", "loss", "eval/loss", "step", "x", ""]
)


def read(name: str, data: bytes, size: int) -> Found:
    """All of it in pieces of `size`; every claim in range."""
    reader = next(source for source in SOURCES if source.name == name).reader()
    for at in range(0, len(data), size):
        assert reader.feed(data[at : at + size], at) == at + len(data[at : at + size])
    found = reader.finish()
    for claim in (*found.phases, *(claim for one in found.series for claim in one.claims)):
        for count in (claim.step, claim.samples, claim.tokens, claim.total):
            assert count is None or 0 <= count < STEP_LIMIT
        assert claim.at is None or AT_MIN <= claim.at < AT_MAX
        assert claim.loss is None or math.isfinite(claim.loss)
        assert 0 < claim.offset <= len(data)
    return found


@pytest.mark.slow
@pytest.mark.patient
@quick
@given(st.lists(st.dictionaries(names, values, max_size=5), max_size=8), st.integers(1, 5000))
def test_no_row_of_any_values_misleads_the_wandb_reader(rows: list[dict[str, object]], size: int) -> None:
    read("wandb", log(*(row(**values) for values in rows), exited()), size)


@quick
@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 500))
def test_no_bytes_in_a_framed_record_make_the_wandb_reader_raise(records: list[bytes], size: int) -> None:
    data = log(
        *records, *(field(2, record) for record in records), *(field(26, record) for record in records)
    )

    read("wandb", data, size)


@quick
@given(st.integers(0, 4000), st.integers(0, 7), st.integers(1, 5000))
def test_a_flipped_bit_never_gives_a_row_that_was_not_written(byte: int, bit: int, size: int) -> None:
    data = bytearray(log(written_in("7"), *(row(_step=n, loss=1.5) for n in range(60))))
    data[byte % len(data)] ^= 1 << bit
    found = read("wandb", bytes(data), size)

    assert all(claim.step in range(60) for one in found.series for claim in one.claims)


@quick
@given(
    st.lists(st.dictionaries(st.sampled_from(["step", "loss", "eval_loss", "epoch"]), values), max_size=6),
    values, st.integers(0, 600), st.integers(1, 300),
)  # fmt: skip
def test_no_history_of_any_values_misleads_the_state_reader(
    history: list[dict[str, object]], said: object, cut: int, size: int
) -> None:
    body = {"global_step": said, "log_history": history, "max_steps": said}
    data = json.dumps(body, indent=2, sort_keys=True).encode()

    read("hfstate", data, size)
    read("hfstate", data[:cut], size)


@quick
@given(st.lists(st.tuples(numbers, numbers, numbers), max_size=20), st.integers(1, 300))
def test_no_numbers_mislead_the_mlflow_reader(lines: list[tuple[object, ...]], size: int) -> None:
    read("mlflow", b"".join(" ".join(map(str, line)).encode() + b"\n" for line in lines), size)


@quick
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3), st.integers(0, 1 << 66)), max_size=20))
def test_no_message_of_any_fields_makes_the_wandb_reader_raise(parts: list[tuple[int, int, int]]) -> None:
    message = b"".join(varint(number << 3 | kind) + varint(value) for number, kind, value in parts)

    read("wandb", log(message, field(2, message), field(2, field(1, message))), 4096)
