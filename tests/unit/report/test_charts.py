"""Bars, axes and the timeline as coordinates."""

import re
from dataclasses import replace
from datetime import timezone

import pytest

from slurm_guard.model import Bounds, Timeline, TimelineEvent
from slurm_guard.report import axes, bars, charts, series, words
from tests.unit.report import builders

HOURS = words.unit_for([builders.GPU_H * 8])
TIMES = words.Times(timezone.utc)
FRAME = charts.Frame(TIMES, HOURS, "step")


def _timeline(**changes: object) -> Timeline:
    plain = Timeline(
        0.0, 60.0, {"progress": [120_000, 60_000, 0, None], "foreign": [0, 60_000, 120_000, None]},
        [500.0, 700.0, 0.0, None], [1.0, 0.5, 0.0, None], [],
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_a_bar_fills_its_width_exactly() -> None:
    bar = bars.build_bar({"progress": 1, "idle": 1, "foreign": 1}, HOURS)

    assert sum(float(s.width_pct) for s in bar.segments) == pytest.approx(100, abs=0.05)
    assert [s.account for s in bar.segments] == ["progress", "idle", "foreign"]


def test_an_empty_ledger_gives_an_empty_bar() -> None:
    assert bars.build_bar({}, HOURS, Bounds(0, 0, 0)).segments == ()


def test_the_whisker_measures_the_bounds_from_the_right_end() -> None:
    whisker = bars.build_bar({"progress": 90, "residual": 10}, HOURS, Bounds(8, 10, 13)).whisker

    assert whisker is not None
    assert (whisker.x_pct, whisker.width_pct, whisker.mid_pct) == ("87", "5", "90")


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.7, 0.8), (1.09, 2), (8, 8), (5344, 6000), (10_000, 10_000), (1e-4, 1e-4)]
)
def test_an_axis_holds_its_values_and_ends_on_a_round_number(value: float, top: float) -> None:
    assert axes.round_top(value)[0] == pytest.approx(top)


def test_a_full_slot_that_rounding_made_fuller_does_not_double_the_axis() -> None:
    assert axes.round_top(2 * 120_001 / 120_000)[0] == 2


@pytest.mark.parametrize("value", [0, 0.25, 1.5, 200, 4_000, 9_999, 25_000, 4e6, 2.5e9, 1e13])
def test_every_label_fits_beside_its_axis(value: float) -> None:
    (*_, tick) = axes.value_ticks(axes.Scale(0, 2 * value or 1, 100, 0), value or 1)

    # Digits of 11 px are below 7 px wide; the axis stands 60 px from the edge, labels end 6 px before it.
    assert len(tick.label) * 7 <= 54


@pytest.mark.parametrize(
    ("value", "label"), [(4e6, "4M"), (25_000, "25k"), (2.5e9, "2.5G"), (4_000, "4,000"), (0.5, "0.5")]
)
def test_large_numbers_have_prefixes(value: float, label: str) -> None:
    assert axes.value_ticks(axes.Scale(0, value, 100, 0), value)[-1].label == label


def test_of_many_events_it_is_processes_that_are_left_out() -> None:
    crowd = [TimelineEvent(float(k), None, "process", f"pid {k}") for k in range(100)]
    tunnel = TimelineEvent(5000.0, 6000.0, "network", "reverse tunnel: ssh (pid 7) to 203.0.113.9:443")

    shown = series.ordered_events(_timeline(events=[*crowd, tunnel]))

    assert len(shown) == series.MOST_EVENTS
    assert shown[-1] == tunnel
    assert shown == sorted(shown, key=lambda event: event.at)


def test_time_ticks_are_round_and_not_too_many() -> None:
    scale = axes.Scale(builders.FROM_AT + 100, builders.FROM_AT + 30_000, 0, 900)

    ticks = axes.time_ticks(scale, TIMES, 9)

    assert [tick.label for tick in ticks] == [
        "01:00",
        "02:00",
        "03:00",
        "04:00",
        "05:00",
        "06:00",
        "07:00",
        "08:00",
    ]


def test_resampling_keeps_the_sum_of_gpu_time_and_the_nulls() -> None:
    columns = series.resample(_timeline(), 2)

    assert columns.accounts == {"progress": [180_000, 0], "foreign": [60_000, 120_000]}
    assert columns.power_w == [600.0, 0.0]
    assert series.resample(_timeline(), 4).power_w[3] is None


def test_unexplained_stretches_are_joined_and_summed() -> None:
    found = series.stretches(series.resample(_timeline(), 4))

    assert found == [(60.0, 180.0, 180_000)]


def test_a_little_unexplained_work_is_not_shaded() -> None:
    quiet = _timeline(accounts={"progress": [119_000] * 4, "residual": [1_000] * 4})

    assert series.stretches(series.resample(quiet, 4)) == []


def test_a_line_breaks_where_nothing_was_observed() -> None:
    chart = charts.build_chart(_timeline(power_w=[1.0, None, 1.0, 1.0]), 480, FRAME, [])

    assert chart.lanes[1].line.count("M") == 2


def test_an_unobserved_lane_says_so_and_an_observed_zero_is_drawn() -> None:
    chart = charts.build_chart(_timeline(power_w=[None] * 4, progress_per_s=[0.0] * 4), 480, FRAME, [])

    assert (chart.lanes[1].line, chart.lanes[1].empty) == ("", "not observed")
    assert chart.lanes[2].line
    assert not chart.lanes[2].empty


@pytest.mark.parametrize("width", [480, 980])
def test_everything_is_drawn_inside_the_drawing(width: int) -> None:
    of = builders.run(7)
    chart = charts.build_chart(builders.timeline(of), width, FRAME, [])

    paths = [a.path for lane in chart.lanes for a in lane.areas] + [lane.line for lane in chart.lanes]
    pairs = [(float(x), float(y)) for p in paths for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", p)]
    assert pairs
    assert all(charts._LEFT <= x <= width - charts._RIGHT for x, _ in pairs)
    assert all(0 <= y <= chart.height for _, y in pairs)
    assert all(float(m.x) + float(m.width) <= width for m in chart.marks)


def test_marks_at_the_same_moment_do_not_cover_each_other() -> None:
    of = builders.run(7)
    event = builders.timeline(of).events[0]
    line = replace(builders.timeline(of), events=[event] * 4)

    chart = charts.build_chart(line, 480, FRAME, [])

    assert len({(m.x, m.y) for m in chart.marks}) == 4


def test_lists_of_different_lengths_and_an_empty_timeline_are_drawn() -> None:
    charts.build_chart(_timeline(power_w=[], progress_per_s=[1.0]), 480, FRAME, [])
    charts.build_chart(Timeline(0.0, 60.0, {}, [], [], []), 480, FRAME, [])


def test_stretches_are_shaded_where_the_run_needs_a_look_or_the_lower_bound_is_above_nothing() -> None:
    quiet = replace(builders.clear(0), unexplained=Bounds(0, 0, 5))

    assert series.is_shaded(builders.alert())
    assert not series.is_shaded(quiet)
    assert series.is_shaded(replace(quiet, unexplained=Bounds(1, 2, 5)))


def test_the_timeline_of_a_run_that_was_not_auditable_shows_no_unexplained_work() -> None:
    blind = replace(
        builders.not_auditable(), timeline=_timeline(accounts={"residual": [5, None], "idle": [1, 2]})
    )

    shown = series.shown_timeline(blind)

    assert shown is not None
    assert shown.accounts == {"idle": [1, 2], "unmatched": [5, None]}
