"""Alerts and reviews are counted in one way wherever a figure stands: without what the site explained."""

import re

from slurm_guard import sums
from slurm_guard.report import mail
from slurm_guard.report.narrow import Narrow
from slurm_guard.report.nights import Nights, read_parts
from slurm_guard.report.nights_page import build_nights
from slurm_guard.report.nights_text import headline, render_nights
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.text import Style, render_text
from slurm_guard.report.words import Times
from tests.unit.report import builders

NIGHT = builders.night()  # one alert, one review, and one alert that the site explained
RULE = "without those that the site explained"


def _nights() -> Nights:
    found = Nights("2026-09-22", Narrow())
    list(read_parts(["2026-09-22", "2026-09-23"], found, lambda _: NIGHT))
    return found


def test_a_nights_page_its_trend_and_its_mail_count_alike() -> None:
    view = build_page(NIGHT, Options())
    row = sums.of_night(NIGHT.judgements, (NIGHT.from_at, NIGHT.until_at))

    assert (row.n_alert, row.n_review, row.n_explained) == (1, 1, 1)
    assert view.headline.startswith("1 run needs a look today")
    assert mail.counts(NIGHT).startswith("1 alert, 1 to review, ")
    assert view.trend is not None
    heads, tonight = view.trend.table.heads, view.trend.table.lines[0].cells
    assert (tonight[heads.index("Alerts")], tonight[heads.index("Reviews")]) == ("1", "1")
    assert view.trend.sentence.endswith(f"are counted {RULE}.")
    assert RULE in render_text(view, Style(100))
    assert view.trend.wide is not None
    assert RULE in view.trend.wide.alt


def test_several_nights_count_alike_in_sentence_page_and_text() -> None:
    found = _nights()

    view, shown = build_nights(found, Options()), render_nights(found, "", Times(Options().zone), Style(112))

    assert re.search(r"\b2 alerts?\b", headline(found))
    heads = view.nights.heads
    for line in view.nights.lines:
        assert (line.cells[heads.index("Alerts")], line.cells[heads.index("Reviews")]) == ("1", "1")
    assert RULE in view.nights.more
    assert f"alerts and reviews {RULE}" in " ".join(shown.split())
