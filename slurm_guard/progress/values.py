"""Numbers and times out of hostile text: range-checked, finite, or null."""

import math
import re
from collections.abc import Sequence
from datetime import date

STEP_LIMIT = 1 << 53  # beyond, a JSON number is no longer exact
AT_MIN = 946_684_800.0  # 2000-01-01
AT_MAX = 4_102_444_800.0  # 2100-01-01
# A bare number that nothing but a name calls a time: durations and uptimes in µs or ns have such sizes, too.
NUMBER_MIN, NUMBER_MAX = 1_577_836_800.0, 2_208_988_800.0  # 2020-01-01, 2040-01-01 (judgement)
LOSS_LIMIT = 1e30  # judgement: a larger loss is a parser's mistake or a joke
FINE_TOOK = 2e-4  # real step times spread by 6e-4 and more from record to record (docs/method.md)
TOOK_LIMIT_S = 1e6  # one step in eleven days: judgement

# A calendar stamp with or without fraction, half of the day and zone. Bounded repetition only.
STAMP = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?\d{0,9}"
    r"(?: ?([AaPp])\.?[Mm]\b\.?)?"
    r"(?: ?(Z|UTC|[+-]\d\d:?\d\d)(?![\d-]))?"
)
# `Thu Oct 29 18:46:40 2015`, as C's ctime prints it: local time.
_CTIME = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}(\d{1,2}) "
    r"(\d\d):(\d\d):(\d\d) (\d{4})"
)
MONTHS = {
    name: f"{number:02d}"
    for number, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
    )
}
# A group of three digits more, behind a number of one to three digits alone.
_GROUP = re.compile(
    r"(?:(?<=[^\d.,]\d)|(?<=[^\d.,]\d\d)|(?<=[^\d.,]\d{3}))[ '’\u202f\xa0]\d{3}(?![\d.])", re.ASCII
)
STAMP_WITHIN = 96  # characters of a line in which its stamp must begin (judgement)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_days: dict[tuple[str, str, str], int | None] = {}


def to_count(text: str | int | float | None) -> int | None:
    """A whole, non-negative number below 2^53, also from `1,234`, `1_000`, `12.0` and `1e3`; else null."""
    if isinstance(text, str):
        if len(text) < 16 and text.isdigit() and text.isascii():
            return int(text)
        if len(text) > 32:
            return None
        text = text.strip().replace(",", "").replace("_", "")
        if text.isdigit() and text.isascii():
            value = int(text)
            return value if value < STEP_LIMIT else None
    elif text is None or isinstance(text, bool):
        return None
    number = to_float(text)
    if number is None or number < 0 or number >= STEP_LIMIT or number != math.floor(number):
        return None
    return int(number)


def goes_on(text: str, end: int) -> bool:
    """Whether a number that ends there is a longer one's first group: `1 000`, `1'000`, U+202F, U+00A0."""
    return _GROUP.match(text, end) is not None


def to_float(text: str | int | float | None) -> float | None:
    """A finite number, or null (NaN, infinity, 1e400, words)."""
    if text is None or isinstance(text, bool):
        return None
    if isinstance(text, str) and len(text) > 64:
        return None
    try:
        number = float(text)
    except (ValueError, OverflowError, TypeError):
        return None
    return number if math.isfinite(number) else None


def to_epoch(text: str) -> float | None:
    """An epoch's number, also from `1,234`, or null."""
    return to_count(text) if "," in text else to_float(text)


def to_loss(text: str | int | float | None) -> float | None:
    """A finite loss of sane size, or null."""
    number = to_float(text)
    return number if number is not None and abs(number) < LOSS_LIMIT else None


def to_seconds(text: str | int | float | None, name: str) -> float | None:
    """A step's time in seconds, to FINE_TOOK of itself; milliseconds where `name` (a key or a unit) says so.

    Null: no such number, or printed too coarsely to show that no two steps are alike.
    """
    value = to_float(text)
    if value is None or value <= 0 or _printed_step(text) > FINE_TOOK * value:
        return None
    seconds = (
        round(value / 1000, 12) if name == "ms" or name.endswith("_ms") or name.startswith("ms_") else value
    )
    return seconds if seconds < TOOK_LIMIT_S else None


def _printed_step(text: str | int | float | None) -> float:
    """The last digit's worth as printed: 0.1 for 1410.0; a float came through JSON and lost its zeros."""
    digits = str(text).partition(".")[2]
    return 1.0 if not digits else float(10.0 ** -len(digits)) if digits.isdigit() else 0.0


def to_instant(value: str | int | float | None) -> float | None:
    """Epoch seconds from seconds, ms, µs or ns since 1970 by their size; null when none fits 2020 to 2039.

    For a field that may hold something else; what a series of them is worth `clocks.believed` tells.
    """
    return _scaled(value, NUMBER_MIN, NUMBER_MAX)


def to_known_instant(value: str | int | float | None) -> float | None:
    """As `to_instant` in this century, for a field that a format has for instants alone."""
    return _scaled(value, AT_MIN, AT_MAX)


def _scaled(value: str | int | float | None, least: float, most: float) -> float | None:
    number = to_float(value)
    if number is None:
        return None
    for scale in (1.0, 1e3, 1e6, 1e9):
        if least <= number / scale < most:
            return number / scale
    return None


def find_stamp(text: str) -> tuple[float | None, bool]:
    """(instant, naive) of the stamp near the line's beginning; naive: local time read as if UTC."""
    match = STAMP.search(text, 0, STAMP_WITHIN + 40)
    if match is None or match.start() > STAMP_WITHIN:
        return None, False
    return _instant(match)


def parse_stamp(text: str) -> tuple[float | None, bool]:
    """As `find_stamp`, for a field that is nothing but a stamp or a number of seconds."""
    match = STAMP.match(text)
    if match is None:
        return to_instant(text), False
    return _instant(match)


def find_ctime(text: str) -> tuple[float | None, bool]:
    """(instant, naive) of C's way to print a time, anywhere in the line."""
    match = _CTIME.search(text, 0, 256)
    if match is None:
        return None, False
    month, day, *clock, year = match.groups()
    at = instant_of((year, MONTHS[month], day), clock)
    return at, at is not None


def instant_of(date_parts: tuple[str, str, str], clock: Sequence[str]) -> float | None:
    """Seconds since 1970 of (year, month, day), (hour, minute, second), read as if UTC; null: none."""
    days = days_of(*date_parts)
    hour, minute, second = (int(part) for part in clock)
    if days is None or hour > 23 or minute > 59 or second > 60:
        return None
    at = days * 86_400.0 + hour * 3600 + minute * 60 + second
    return at if AT_MIN <= at < AT_MAX else None


def _instant(match: re.Match[str]) -> tuple[float | None, bool]:
    """The matched calendar stamp as an instant."""
    year, month, day, hour, minute, second, fraction, half, zone = match.groups()
    days = days_of(year, month, day)
    if days is None or int(hour) > 23 or int(minute) > 59 or int(second) > 60:
        return None, False
    hours = int(hour) if half is None or int(hour) > 12 else int(hour) % 12 + 12 * (half in "pP")
    at = days * 86_400.0 + hours * 3600 + int(minute) * 60 + int(second)
    if fraction:
        at += int(fraction) / 10 ** len(fraction)
    if zone is None:
        return (at, True) if AT_MIN <= at < AT_MAX else (None, False)
    at -= _offset_s(zone)
    return (at, False) if AT_MIN <= at < AT_MAX else (None, False)


def _offset_s(zone: str) -> int:
    """Seconds east of UTC of `Z`, `UTC`, `+02:00`, `-0530`."""
    if zone in ("Z", "UTC"):
        return 0
    digits = zone[1:].replace(":", "")
    size = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -size if zone[0] == "-" else size


def days_of(year: str, month: str, day: str) -> int | None:
    """Days since 1970; a job's log has few distinct days, a hostile one is bounded by clearing."""
    key = (year, month, day)
    if key not in _days:
        if len(_days) > 4096:
            _days.clear()
        try:
            _days[key] = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
        except ValueError:
            _days[key] = None
    return _days[key]
