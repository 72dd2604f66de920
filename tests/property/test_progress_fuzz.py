"""Law: no bytes make a reader raise, hang, or say what is out of range."""

import math
import os
import tempfile
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_guard.progress.protocol import Found
from slurm_guard.progress.registry import SOURCES
from slurm_guard.progress.unit import Input, read_unit
from slurm_guard.progress.values import AT_MAX, AT_MIN, STEP_LIMIT
from tests.unit.progress.event_files import event, scalar, tensor, version
from tests.unit.progress.wandb_files import exited, log, row

SEEDS = (
    b" [2026-08-01 07:19:37] iteration   1/  50 | consumed samples: 128 | lm loss: 1.0E+01 |\n",
    b"{'loss': '2.5', 'epoch': '0.01'}\r 10%|#  | 1/10 [00:01<00:09, 1.0s/it]\n",
    b'{"step": 1, "loss": 2.5, "ts": 1795475142.2, "tokens": 4096}\n',
    b':::MLLOG {"time_ms": 1745906128645, "key": "eval_start", "metadata": {"samples_count": 8}}\n',
    b':::MLLOG {"time_ms": 1745906128645, "key": "epoch_start", "metadata": {"epoch_num": 1e300}}\n',
    b"INFO 05-19 10:13:10 Avg prompt throughput: 1.0 tokens/s, Avg generation throughput: 9.0 tokens/s\n",
    b"2026-08-01 08:19:20\tJob ID: 42\tSaved checkpoint\tIteration: 500\tTokens (in billions): 2.10\n",
    b"Epoch 1/3\n 50/100 [==>.] - ETA: 5s - loss: 2.3\r100/100 - 5s - 50ms/step - loss: 2.1\nEpoch 2/3\n",
    b"0: \x1b[31mstep: 20  loss: 8.1 \x1b[0m epoch: 3\nepoch=0/micro_step=10/global_step=20, x\n",
    b'{"global_step": 9, "log_history": [{"loss": 2.5, "step": 4}, {"eval_loss": NaN, "step": 9}], "a": 1}',
    b"1795474227384 0.5 1\n1795474227385 nan 2\n1795474227386 0.1 3\n",
    log(*(row(_step=n, _timestamp=1.7e9 + n, loss=1.5, global_step=n * 5) for n in range(9)), exited()),
    version() + event(1.7e9, 1, scalar("loss", 1.0)) + event(1.7e9 + 1, 2, tensor("loss", 1.0)),
)
WORDS = st.sampled_from(
    [
        *b"step iteration = / | epoch Epoch Train: 1e400 NaN -1 {' '} it/s] %| [ } {\" :::MLLOG DLLL".split(),
        *(b": ", b"9" * 30, b"\x1b[", b"\r", b"\n", b" ", b"\0", b"\xff"),
    ]
)
hostile = st.one_of(
    st.binary(max_size=2000),
    st.lists(WORDS, max_size=120).map(b"".join),
    st.builds(
        lambda seed, at, junk, n: (seed * n)[:at] + junk + (seed * n)[at:],
        st.sampled_from(SEEDS), st.integers(0, 400), st.binary(max_size=40), st.integers(1, 6),
    ),
)  # fmt: skip
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def drive(source_name: str, data: bytes, size: int) -> Found:
    source = next(source for source in SOURCES if source.name == source_name)
    assert 0.0 <= source.claims(data[:65_536], "/w/x.log") <= 1.0
    reader = source.reader()
    at = 0
    while at < len(data):
        piece = data[at : at + size]
        wanted = reader.feed(piece, at)
        assert wanted >= at
        at = max(at + len(piece), wanted)
    return reader.finish()


@pytest.mark.parametrize("name", [source.name for source in SOURCES])
@quick
@given(data=hostile, size=st.integers(1, 3000))
def test_no_bytes_make_a_reader_raise_or_say_nonsense(name: str, data: bytes, size: int) -> None:
    found = drive(name, data, size)

    for series in found.series:
        for claim in series.claims:
            for count in (claim.step, claim.samples, claim.tokens, claim.total):
                assert count is None or 0 <= count < STEP_LIMIT
            assert claim.at is None or AT_MIN <= claim.at < AT_MAX
            assert claim.loss is None or math.isfinite(claim.loss)
            assert 0 < claim.offset <= len(data)


@quick
@given(data=hostile)
def test_no_file_makes_the_whole_way_raise(data: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        one = Input(0, file.fileno(), "/w/x.log", "fd", len(data), 1 << 20)

        told, marks = read_unit([one])

    assert told
    assert sum(row.n for row in told) == len(marks)


@pytest.mark.parametrize("name", [source.name for source in SOURCES])
@given(data=hostile)
@settings(max_examples=60, deadline=None)
def test_the_size_of_the_pieces_changes_nothing(name: str, data: bytes) -> None:
    whole = drive(name, data, len(data) + 1)
    pieces = drive(name, data, 13)

    assert (pieces.series, pieces.phases) == (whole.series, whole.phases)


@pytest.mark.parametrize(
    "line",
    [
        b"iteration " * 40_000, b"step" + b" " * 340_000, b"step=1 " * 50_000, b"'a': 1, " * 50_000,
        b"{'" * 170_000, b'{"a":' * 80_000, b"1%|" * 120_000 + b"it/s]", b"\x1b[" + b"0;" * 170_000,
        b'{"step": ' + b"9" * 340_000 + b"}", b"[" * 340_000 + b"step", b"0: " * 110_000 + b"step=1",
        b"Epoch " + b"1" * 340_000, b"1/1 [" + b"=" * 340_000 + b"] - ETA: ", b"Train: [" * 40_000,
        b":::MLLOG " + b"{" * 340_000, b"Avg prompt throughput: " + b"1" * 340_000,
    ],
    ids=str,
)  # fmt: skip
def test_an_adversarial_line_costs_milliseconds(line: bytes) -> None:
    # Measured: below 2 ms each; an unanchored pattern took 30 s on such a line. A multiple, not a percentage.
    begin_s = time.process_time()

    drive("text", line + b"\n", 1 << 20)

    assert time.process_time() - begin_s < 1.0


def test_a_sparse_file_is_read_to_its_cap_only() -> None:
    with tempfile.TemporaryFile() as file:
        os.truncate(file.fileno(), 1 << 40)

        told, _ = read_unit([Input(0, file.fileno(), "/w/x.log", "fd", 1 << 40, 4 << 20)])

    assert told[0].read_b <= 4 << 20
