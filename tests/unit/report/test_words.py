"""Numbers, times and units as they are shown."""

from datetime import timezone

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.report import words

UTC = words.Times(timezone.utc)
AT = 1_790_035_200.0  # 2026-09-22 00:00 UTC


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.001, "<0.01"),
        (0.42, "0.42"),
        (9.994, "9.99"),
        (64, "64.0"),
        (1234.5, "1,234"),
        (-3, "−3.00"),
    ],
)
def test_a_number_has_about_three_figures(value: float, shown: str) -> None:
    assert words.number(value) == shown


def test_an_observed_zero_and_a_null_differ() -> None:
    assert words.measure(0.0, "W") == "0 W"
    assert words.measure(None, "W") == "–"


def test_millijoules_become_what_a_person_can_read() -> None:
    assert words.measure(1_840_000.0, "mJ/step") == "1.84 kJ/step"
    assert words.measure(12.0, "mJ") == "12.0 mJ"
    assert words.measure(0.0, "mJ") == "0 mJ"


@pytest.mark.parametrize(
    ("part", "shown"), [(0, "0 %"), (1, "<0.1 %"), (500, "5.0 %"), (9_999, ">99.9 %"), (10_000, "100 %")]
)
def test_a_share_never_rounds_to_nothing_or_all(part: int, shown: str) -> None:
    assert words.percent(part, 10_000) == shown


def test_a_share_of_nothing_is_a_dash() -> None:
    assert words.percent(0, 0) == "–"


@pytest.mark.parametrize(
    ("largest", "unit"),
    [(0, "GPU-h"), (90_000, "GPU-s"), (600_000, "GPU-min"), (1_800_000, "GPU-h"), (7_200_000, "GPU-h")],
)
def test_the_unit_fits_the_largest_run(largest: int, unit: str) -> None:
    assert words.unit_for([largest, 0]).name == unit


@pytest.mark.parametrize(
    ("length_s", "shown"),
    [
        (0, "0 s"),
        (0.5, "0.5 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (33_660, "9 h 21 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_a_length_has_at_most_two_units(length_s: float, shown: str) -> None:
    assert words.duration(length_s) == shown


def test_a_span_names_the_date_once() -> None:
    assert UTC.span(AT, AT + 3600) == "2026-09-22 00:00 to 01:00"
    assert UTC.span(AT, AT + 86_400) == "2026-09-22 00:00 to 2026-09-23 00:00"
    assert UTC.span(AT, AT + 7) == "2026-09-22 00:00:00 to 00:00:07"


def test_an_instant_that_no_calendar_holds_is_a_dash() -> None:
    assert UTC.full(1e20) == UTC.full(None) == "–"


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(GuardError, match="config-value") as caught:
        words.load_zone("Mars/Olympus")

    assert "Mars/Olympus" in caught.value.sentence
