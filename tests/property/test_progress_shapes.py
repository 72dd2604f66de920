"""Law: what was remembered of earlier records changes nothing in what a later one says."""

import random
import re
import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_guard.progress import keys
from slurm_guard.progress.keyvalue import KeyValueLines
from slurm_guard.progress.protocol import MAX_SEGMENT
from slurm_guard.progress.tfevents import TfeventsReader
from tests.unit.progress.event_files import event, field, record, scalar, tensor, varint, version

WORDS = (
    "step", "Epoch", "global_step", "iter", "batch", "loss", "train/loss", "lr", "tokens", "ts", "val_loss",
    "validate", "Train:", "step_time", "eta", "samples", "it/s", "100%|##|", "2026-08-01 10:11:12", "é",
)  # fmt: skip
GLUE = ("=", ": ", " ", " = ", "[", "/", ", ", " | ", "(", "]", ":", "'", '"', "#", "%", "e-", ".")
numbers = st.one_of(
    st.integers(0, 10**18).map(str),
    st.integers(0, 999).map(str),
    st.sampled_from(["1,234", "0.5", "1e-05", "-3"]),
)
lines = st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(GLUE), numbers), max_size=24).map("".join)
quick = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def other_digits(text: str, rng: random.Random) -> str:
    """The same line with other digits, as a later record of the log has them."""
    return re.sub(r"[0-9]", lambda _: str(rng.randrange(10)), text)


@quick
@given(line=lines, seed=st.integers())
def test_a_key_value_line_says_the_same_after_one_of_its_shape(line: str, seed: int) -> None:
    rng = random.Random(seed)
    used = KeyValueLines()

    for _ in range(4):
        text = other_digits(line, rng)[:MAX_SEGMENT]
        assert used.read(text, 7) == KeyValueLines().read(text, 7)


def test_no_name_that_is_looked_for_holds_a_digit() -> None:
    """A shape has no digits: a name with one would be told from another by it."""
    names = (
        *keys.STEP_KEYS, *keys.EPOCH_KEYS, *keys.SAMPLE_KEYS, *keys.TOKEN_KEYS, *keys.TOTAL_KEYS,
        *keys.LOSS_KEYS, *keys.TIME_KEYS, *keys.TOOK_KEYS, *keys.EVAL_MARKS,
    )  # fmt: skip

    assert not [name for name in names if re.search(r"\d", name)]


def test_more_shapes_than_are_remembered_lose_no_line() -> None:
    rng = random.Random(1)
    reader = KeyValueLines()
    texts = [
        f"step={n} loss={rng.random():.{rng.randrange(1, 15)}f} x={'9' * rng.randrange(1, 60)}"
        for n in range(9000)
    ]

    said = [reader.read(text, n) for n, text in enumerate(texts)]

    assert [claim.step if claim else None for claim in said] == list(range(9000))
    assert all(claim is not None and claim.loss is not None for claim in said)


values = st.floats(width=32, allow_nan=False, allow_infinity=False)
summaries = st.one_of(
    st.builds(lambda tag, value: [scalar(tag, value)], st.sampled_from(["loss", "lr", "x/loss"]), values),
    st.builds(lambda tag, value: [tensor(tag, value)], st.sampled_from(["loss", "lr", "x/loss"]), values),
    st.builds(lambda a, b: [scalar("loss", a), scalar("lr", b)], values, values),
    st.builds(lambda a: [scalar("loss", a) + b"\x15" + struct.pack("<f", 2.0)], values),  # the later holds
    st.builds(lambda a: [b"\x15" + struct.pack("<f", a) + field(1, b"late")], values),
)


@quick
@given(st.lists(st.tuples(st.integers(0, 1 << 54), summaries), min_size=1, max_size=30))
def test_an_event_says_the_same_after_others(events: list[tuple[int, list[bytes]]]) -> None:
    records = [event(1.7e9 + n, step, *parts) for n, (step, parts) in enumerate(events)]
    whole = TfeventsReader()
    whole.feed(version() + b"".join(records), 0)

    apart: dict[bytes, list[tuple[int, float, float]]] = {}
    for one in records:
        alone = TfeventsReader()
        alone.feed(one, 0)
        for tag, columns in alone.scalars().items():
            apart.setdefault(tag, []).extend(zip(*columns, strict=True))

    assert {tag: list(zip(*columns, strict=True)) for tag, columns in whole.scalars().items()} == apart


def test_a_summary_that_is_not_the_records_last_field_is_read() -> None:
    """TensorFlow names its writer behind it (Event.source_metadata, 10)."""
    body = b"\x09" + struct.pack("<d", 1.7e9) + b"\x10" + varint(5) + field(5, field(1, scalar("loss", 2.0)))
    reader = TfeventsReader()

    reader.feed(version() + record(body + field(10, b"\x0a\x01x")), 0)

    assert reader.scalars() == {b"loss": ([5], [1.7e9], [2.0])}
    assert reader.finish().problems == []
