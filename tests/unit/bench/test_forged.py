"""The pieces of the benchmark of forged logs: its plans, its files, its interval."""

import sys
from pathlib import Path

import pytest

from bench.forged import exact
from bench.logs.formats import File, names
from slurm_guard.progress.registry import choose

sys.path.insert(0, str(Path(__file__).parents[3] / "bench" / "logs"))  # as the job's program is started
from writer import plan  # type: ignore[import-not-found]

LENGTH_S = 21_600.0


def test_the_interval_of_none_and_of_all_is_the_known_one() -> None:
    low, high = exact(0, 720)

    assert low == 0.0
    assert high == pytest.approx(1 - 0.025 ** (1 / 720), rel=1e-6)
    assert exact(720, 720) == pytest.approx((1 - high, 1.0), abs=1e-9)


def test_the_interval_of_a_share_is_clopper_and_pearsons() -> None:
    """5 of 100: 1.64 % to 11.28 %, as the tables have it."""
    assert exact(5, 100) == pytest.approx((0.01643, 0.11284), abs=5e-5)
    assert exact(500, 10_000) == pytest.approx((0.0458, 0.0545), abs=2e-4)


@pytest.mark.parametrize(
    "name",
    ["honest", "backfilled", "catching-up", "premade", "ahead", "bulk", "replayed", "pasted", "restamped"],
)
def test_a_plan_writes_every_record_within_the_run_and_in_order(name: str) -> None:
    moments = plan(name, 500, LENGTH_S)

    assert len(moments) == 500
    assert all(0 < at <= LENGTH_S - 100 for at, _ in moments)
    assert moments == sorted(moments)


def test_only_the_honest_and_the_restamped_say_when_they_write() -> None:
    for name in ("backfilled", "premade", "ahead", "bulk", "replayed", "pasted"):
        moments = plan(name, 500, LENGTH_S)

        assert sum(abs(at - said) > 300 for at, said in moments) >= 475, name
    assert all(at == said for name in ("honest", "restamped") for at, said in plan(name, 500, LENGTH_S))


@pytest.mark.parametrize("name", names())
def test_each_file_is_read_by_a_reader_of_ours_with_every_record(name: str) -> None:
    file = File(name, 1_785_568_777.0)
    data = file.head() + b"".join(file.record(k, 1_785_568_777.0 + 36 * k) for k in range(1, 601))

    source = choose(data[:65_536], f"/w/{name}", "guard" if name.startswith("guard/") else "walk")
    assert source is not None
    reader = source.reader()
    reader.feed(data, 0)

    assert max(len(series.claims) for series in reader.finish().series) == 600
