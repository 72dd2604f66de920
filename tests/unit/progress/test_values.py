"""Numbers and times out of hostile text."""

import pytest

from slurm_guard.progress.values import find_stamp, parse_stamp, to_count, to_float, to_instant


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("17", 17), ("1,234,567", 1_234_567), ("12.0", 12), (3, 3), (0, 0), ("0", 0), ("1e3", 1000),
        ("-1", None), ("1.5", None), ("nan", None), ("inf", None), ("1e400", None), (True, None),
        (None, None), ("9" * 40, None), (1 << 53, None), ("٣", 3), ("", None), (float("nan"), None),
    ],
)  # fmt: skip
def test_a_count_is_whole_and_exact_or_null(text: str | float | None, count: int | None) -> None:
    assert to_count(text) == count


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-inf", "1e400", "", "x", "9" * 99])
def test_what_is_not_finite_is_null(text: str) -> None:
    assert to_float(text) is None


def test_an_instant_is_read_in_whatever_unit_fits_this_century() -> None:
    at = 1_795_475_142.224

    assert [to_instant(at * scale) for scale in (1, 1e3, 1e6, 1e9)] == [pytest.approx(at)] * 4
    assert to_instant(12.5) is None
    assert to_instant(1e300) is None


@pytest.mark.parametrize(
    ("text", "at", "naive"),
    [
        ("[2023-04-18 01:46:59,171] [INFO]", 1_681_782_419.171, True),
        (" [2026-08-01 07:19:37.123456] iteration", 1_785_568_777.123456, True),
        ("2026-08-01T07:19:37Z x", 1_785_568_777.0, False),
        ("2026-08-01T09:19:37+02:00", 1_785_568_777.0, False),
        ("2026-08-01 01:49:37-0530", 1_785_568_777.0, False),
        ("2026-13-01 07:19:37", None, False),
        ("2026-02-30 07:19:37", None, False),
        ("2026-08-01 12:19:37 AM x", 1_785_543_577.0, True),
        ("2026-08-01 12:19:37 PM x", 1_785_586_777.0, True),
        ("[2026-08-01 07:19:37.5 p.m.] x", 1_785_611_977.5, True),
        ("2026-08-01 07:19:37 AM +00:00", 1_785_568_777.0, False),
        ("2026-08-01 19:19:37 PM", 1_785_611_977.0, True),
        ("2026-08-01 07:19:37 pmap", 1_785_568_777.0, True),
        ("no stamp", None, False),
        ("x" * 200 + "2026-08-01 07:19:37", None, False),
    ],
)
def test_stamps_with_and_without_zone(text: str, at: float | None, naive: bool) -> None:
    found, is_naive = find_stamp(text)

    assert found == (None if at is None else pytest.approx(at))
    assert is_naive is naive


def test_a_time_field_may_be_a_stamp_or_seconds() -> None:
    assert parse_stamp("2026-08-01T07:19:37Z") == (1_785_568_777.0, False)
    assert parse_stamp("1785568777") == (1_785_568_777.0, False)
    assert parse_stamp("soon") == (None, False)
