"""The page: order, sums, bounded lists, and what it says when there is little to say."""

import re
from dataclasses import replace

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.model import Bounds, Verdict
from slurm_guard.report import text, words
from slurm_guard.report.bars import shown_ledger
from slurm_guard.report.page import Options, build_page, only_job
from slurm_guard.report.render import render_html, render_mail_html, templates_dir
from slurm_guard.report.view import Page
from tests.unit.report import builders


def _page(**options: object) -> Page:
    return build_page(builders.night(), Options(**options))  # type: ignore[arg-type]


def _words_of(html: str) -> str:
    body = html[html.index("</style>") :]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_window_coverage_and_skips_stand_above_the_findings() -> None:
    shown = _words_of(render_html(_page()))

    order = [
        shown.index(w) for w in ("Window", "Observed", "Not judged", "Where the GPU time went", "Job 48112")
    ]
    assert order == sorted(order)


def test_the_nights_accounts_are_the_sums_of_its_runs() -> None:
    audit = builders.night()
    unit = words.unit_for(j.run.allocated_gpu_ms for j in audit.judgements)

    page = build_page(audit, Options())

    for row in page.ledger:
        total = sum(shown_ledger(j).get(row.account, 0) for j in audit.judgements)
        assert row.amount == unit.show(total)
    assert page.total == unit.full(sum(j.run.allocated_gpu_ms for j in audit.judgements))


def test_every_run_is_shown_once_under_its_verdict() -> None:
    page = _page()

    shown = [(s.verdict, row.job) for s in page.sections for row in (*(c.row for c in s.cards), *s.rows)]
    assert sorted(shown) == sorted((j.verdict.value, j.run.job) for j in builders.night().judgements)


def test_alerts_come_first_and_clear_runs_last() -> None:
    assert [s.verdict for s in _page().sections] == ["ALERT", "REVIEW", "NOTE", "NOT AUDITABLE", "CLEAR"]


def test_a_run_that_was_not_auditable_says_the_one_thing_that_would_help() -> None:
    (section,) = [s for s in _page().sections if s.slug == "not-auditable"]

    assert "SLURM_GUARD_PROGRESS" in section.cards[0].remedy


def test_work_of_runs_that_were_not_auditable_is_not_shown_as_unexplained() -> None:
    page = _page()

    amounts = {row.account: row.amount for row in page.ledger}
    assert amounts["unmatched"] == "23.3"
    assert amounts["residual"] == "4.50"
    (card,) = [s.cards[0] for s in page.sections if s.slug == "not-auditable"]
    assert {segment.account for segment in card.bar.segments} == {"idle", "unmatched"}
    assert card.bar.whisker is None


def test_what_is_cut_is_counted() -> None:
    page = _page(most_cards=0, most_rows=3)

    (clear,) = [s for s in page.sections if s.slug == "clear"]
    assert (len(clear.rows), clear.count) == (3, 8)
    assert "5 more runs" in clear.more


def test_an_empty_night_is_one_honest_line() -> None:
    page = build_page(builders.empty_night(), Options())

    shown = text.render_text(page, text.Style())
    assert "No run held a GPU of aurora in this window, so there is nothing to judge." in shown
    assert "ALERT" not in _words_of(render_html(page))


def test_an_empty_night_with_unreadable_files_says_so() -> None:
    page = build_page(replace(builders.empty_night(), skips=builders.night().skips), Options())

    assert "3 things could not be read" in page.empty


def test_one_job_alone_is_said_to_be_a_part() -> None:
    part = only_job(builders.night(), "48112")

    assert [j.run.job for j in part.judgements] == ["48112"]
    with pytest.raises(GuardError, match="job-unknown"):
        only_job(builders.night(), "4")


def test_accounts_that_do_not_sum_to_the_allocation_are_said_aloud() -> None:
    judgement = builders.alert()
    broken = replace(judgement, ledger_gpu_ms={"progress": 10})

    page = build_page(replace(builders.night(), judgements=(broken,)), Options())

    assert "accounting charged 64.0 GPU-h" in page.sections[0].cards[0].imbalance
    assert not _page().sections[0].cards[0].imbalance


def test_nothing_visible_and_nothing_unexplained_are_different_sentences() -> None:
    blind = replace(builders.clear(3), verdict=Verdict.ALERT, smallest_visible_gpu_ms=None)
    clean = replace(builders.clear(3), verdict=Verdict.ALERT, unexplained=Bounds(0, 0, 0))

    page = build_page(replace(builders.night(), judgements=(blind, clean)), Options())

    said = {(c.smallest[:9], c.unexplained[:7]) for c in page.sections[0].cards}
    assert said == {("With this", "Nothing"), ("The small", "Nothing")}


def test_the_same_document_gives_the_same_bytes() -> None:
    assert render_html(_page()) == render_html(_page())


def test_a_page_needs_nothing_from_outside() -> None:
    html = render_html(_page())

    assert "<script" not in html
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)""", html)
    assert "url(http" not in html
    assert "@import" not in html


@pytest.mark.parametrize("word", ["waste", "abuse", "cheat", "suspicious", "theft", "steal", "miner"])
def test_words_about_people_are_neutral(word: str) -> None:
    shown = (
        render_html(_page())
        + render_mail_html(_page())
        + text.render_text(_page(), text.Style(cards=text.ALL))
    )

    assert word not in shown.lower()


def test_a_title_names_the_job_and_not_the_person() -> None:
    page = _page()

    assert "mvance" not in page.title
    assert all("mvance" not in card.title for s in page.sections for card in s.cards)


@pytest.mark.parametrize("width", [44, 60, 80, 100, 132, 200])
def test_no_line_of_the_verdict_table_is_wider_than_the_terminal(width: int) -> None:
    shown = text.render_text(_page(), text.Style(width))

    assert max(map(len, shown.splitlines())) <= width


def test_templates_are_found() -> None:
    assert (templates_dir() / "page.html.j2").is_file()
