"""Numbers under `time` that are no dates."""

import json
import random

import pytest

from slurm_guard.progress.bracket import Frame, Sight, bracket, false_clocks, trail_of
from slurm_guard.progress.csvlog import CsvReader
from slurm_guard.progress.mark import Mark
from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import to_instant, to_known_instant
from slurm_guard.wire import Point
from tests.unit.progress.logs import all_series

N = 600
UNITS = {"ms": 1e3, "us": 1e6, "ns": 1e9}


def _claims(form: str, times: list[int]) -> list[Claim]:
    if form == "csv":
        reader = CsvReader()
        body = "step,loss,time\n" + "".join(f"{n},0.3,{at}\n" for n, at in enumerate(times, 1))
        reader.feed(body.encode(), 0)
        return reader.finish().series[0].claims
    lines = [
        json.dumps({"step": n, "loss": 0.3, "time": at})
        if form == "json"
        else f"step={n} loss=0.3 timestamp={at}"
        for n, at in enumerate(times, 1)
    ]
    return all_series("\n".join(lines) + "\n")[0].claims


@pytest.mark.parametrize("form", ["json", "text", "csv"])
@pytest.mark.parametrize("unit", UNITS.values())
@pytest.mark.parametrize("middle_s", [0.02, 0.4, 1.8, 40.0, 1_800.0])
def test_a_steps_length_is_no_date_whatever_its_unit(form: str, unit: float, middle_s: float) -> None:
    rng = random.Random(5)
    lengths = [int(middle_s * unit * rng.uniform(0.97, 1.03)) for _ in range(N)]

    claims = _claims(form, lengths)

    assert [claim.step for claim in claims] == list(range(1, N + 1))
    assert {claim.at for claim in claims} == {None}


@pytest.mark.parametrize("form", ["json", "text", "csv"])
@pytest.mark.parametrize("unit", UNITS.values())
@pytest.mark.parametrize("every_s", [0.2, 3.2, 60.0])
def test_what_passed_since_the_begin_is_no_date_whatever_its_unit(
    form: str, unit: float, every_s: float
) -> None:
    claims = _claims(form, [int(every_s * n * unit) for n in range(1, N + 1)])

    assert [claim.step for claim in claims] == list(range(1, N + 1))
    assert {claim.at for claim in claims} == {None}


@pytest.mark.parametrize("form", ["json", "text", "csv"])
@pytest.mark.parametrize("unit", [1.0, *UNITS.values()])
@pytest.mark.parametrize("every_s", [0.2, 30.0, 7_200.0])
def test_dates_of_any_unit_are_read_across_a_pause_and_from_several_writers(
    form: str, unit: float, every_s: float
) -> None:
    """Records of four ranks some seconds apart, and a second part three weeks later."""
    begin = 1_795_000_000.0
    at = [begin + every_s * n + (1.5 if n % 4 else 0) + (1_814_400 if n > N // 2 else 0) for n in range(N)]

    claims = _claims(form, [round(one * unit) for one in at])

    assert [claim.at for claim in claims] == pytest.approx(at, abs=0.5)


def test_a_field_for_instants_alone_may_tell_of_any_day_of_this_century() -> None:
    assert to_instant(1_541_635_591) is None  # 2018, or 1.5 s in ns
    assert to_known_instant(1_541_635_591_000) == 1_541_635_591
    assert to_instant(4_000_000_000) is None


T0 = 1_795_000_000.0
FRAME = Frame(T0 - 60, T0 + 60.0 * N + 60, T0 + 60.0 * N + 30)
HOUR = 3600.0


def _points(times: list[float], *, naive: bool = False, every_s: float = 60.0) -> list[Point]:
    """Records of 100 bytes, one of which comes to disk every `every_s`."""
    marks = [
        Mark(0, "t:x", 0, at, naive, n, None, None, None, None, "train", 100 * n, ())
        for n, at in enumerate(times, 1)
    ]
    seen = [Sight(T0 + every_s * n, 100 * n, 7, int(1e9 * (T0 + every_s * n))) for n in range(len(times) + 1)]
    trails = {0: trail_of(seen, 100 * len(times), None, FRAME)}
    assert len(false_clocks(marks, trails, FRAME)) <= 1
    return bracket(marks, trails, FRAME)[0]


def _flags(points: list[Point]) -> set[str]:
    return {flag for point in points for flag in point.flags}


@pytest.mark.parametrize("naive", [False, True])
@pytest.mark.parametrize(
    "times",
    [
        [T0] * N,  # the run's begin, in every record
        [T0 - 86_400.0] * N,  # … or a run's name of yesterday
        [T0 + 60 * (n - n % 200) for n in range(N)],  # the last checkpoint's time
        [T0 + 14 * HOUR + 60 * (n % 9) for n in range(N)],  # when it will be done
        [1_514_764_800.0 + HOUR * n for n in range(N)],  # a model's date
        [1_514_764_800.0 + 600.0 * n for n in range(N)],
    ],
)
def test_stamps_that_no_writers_clock_shows_flag_no_record(times: list[float], naive: bool) -> None:
    points = _points(times, naive=naive)

    assert [point.step for point in points] == list(range(1, N + 1))
    assert {point.at for point in points} == {None}
    assert _flags(points) == set()


def test_a_samples_date_without_a_zone_is_no_time() -> None:
    rng = random.Random(5)
    text = "".join(f"[2018-0{rng.randint(1, 9)}-11 00:00:00] step {n} loss 0.3\n" for n in range(N))

    assert {(claim.at, claim.naive) for claim in all_series(text)[0].claims} == {(None, False)}


@pytest.mark.parametrize("naive", [False, True])
@pytest.mark.parametrize(
    ("times", "flag"),
    [
        ([T0 - 86_400.0 * 1.3 + 60 * n for n in range(N)], "backdated"),  # replayed at its pace
        ([T0 - 86_400.0 * 400.3 + 60 * n for n in range(N)], "backdated"),
        ([T0 - 86_400.0 * 400.3 + 60 * n * 1.5 for n in range(N)], "backdated"),
        ([T0 - 86_400.0 * 3.3 + 200 * n for n in range(N)], "backdated"),  # … and three times as fast
        ([T0 - 86_400.0 * 400.3 + 200 * n + 7 * (n % 5) for n in range(N)], "backdated"),
        ([T0 + 60.0 * N / 2 + 200 * n for n in range(N)], "future"),  # ahead of what was done
    ],
)
def test_a_log_that_is_played_again_or_made_in_advance_keeps_its_flags(
    times: list[float], flag: str, naive: bool
) -> None:
    points = _points(times, naive=naive)

    assert sum(flag in point.flags for point in points) >= 0.95 * N


def test_stamps_that_stand_still_do_not_excuse_what_came_at_once() -> None:
    marks = [
        Mark(0, "t:x", 0, T0, False, n, None, None, None, None, "train", 100 * n, ()) for n in range(1, N + 1)
    ]
    seen = [Sight(T0 + 60 * n, 0 if n < 300 else 100 * N, 7, int(1e9 * (T0 + 60 * n))) for n in range(N)]
    points = bracket(marks, {0: trail_of(seen, 100 * N, None, FRAME)}, FRAME)[0]

    assert all("bulk" in point.flags for point in points)


def test_many_records_of_one_second_in_late_buffers_keep_their_times() -> None:
    """Ten records a second, flushed every half an hour."""
    times = [T0 + n // 10 for n in range(18_000)]
    marks = [
        Mark(0, "t:x", 0, at, False, n, None, None, None, None, "train", 100 * n, ())
        for n, at in enumerate(times, 1)
    ]
    seen = [Sight(T0 + 600.0 * n, 600_000 * n, 7, int(1e9 * (T0 + 600 * n))) for n in range(4)]

    assert false_clocks(marks, {0: trail_of(seen, 1_800_000, None, FRAME)}, FRAME) == {}
