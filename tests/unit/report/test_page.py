"""The page: order, sums, bounded lists, and what it says when there is little to say."""

import re
from dataclasses import replace

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.model import Bounds, Judgement, TimelineEvent, Verdict
from slurm_guard.report import text, words
from slurm_guard.report.bars import shown_ledger
from slurm_guard.report.page import Options, build_page, only_job
from slurm_guard.report.render import render_html, render_mail_html, templates_dir
from slurm_guard.report.view import Card, Page
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
    own = {builders.explained().run.job: "EXPLAINED", builders.parked().run.job: "PARKED"}
    assert sorted(shown) == sorted(
        (own.get(j.run.job, j.verdict.value), j.run.job) for j in builders.night().judgements
    )


def test_alerts_come_first_and_clear_runs_last() -> None:
    order = ["ALERT", "REVIEW", "EXPLAINED", "PARKED", "NOTE", "NOT AUDITABLE", "CLEAR"]

    assert [s.verdict for s in _page().sections] == order


def test_a_run_that_was_not_auditable_says_the_one_thing_that_would_help() -> None:
    (section,) = [s for s in _page().sections if s.slug == "not-auditable"]

    assert "SLURM_GUARD_PROGRESS" in section.cards[0].remedy


def test_work_of_runs_that_were_not_auditable_is_not_shown_as_unexplained() -> None:
    page = _page()

    amounts = {row.account: row.amount for row in page.ledger}
    assert amounts["unmatched"] == "23.3"
    assert amounts["residual"] == "4.45"
    (card,) = [s.cards[0] for s in page.sections if s.slug == "not-auditable"]
    assert {segment.account for segment in card.bar.segments} == {"idle", "unmatched"}
    assert card.bar.whisker is None


def test_what_is_cut_is_counted() -> None:
    page = _page(most_cards=0, most_rows=3)

    (clear,) = [s for s in page.sections if s.slug == "clear"]
    assert (len(clear.rows), clear.count) == (3, 8)
    assert "5 more runs" in clear.more


def test_settings_inside_settings_are_shown_one_by_one() -> None:
    nested: dict[str, object] = {"audit": {"least_gpu_h": 1.0}, "checks": {"parked": {"least_s": 5}}}

    page = build_page(replace(builders.night(), settings=nested), Options())

    assert [(f.label, f.value) for f in page.settings] == [
        ("audit.least_gpu_h", "1.0"),
        ("checks.parked.least_s", "5"),
    ]


def test_on_a_narrow_page_every_cell_carries_its_head() -> None:
    html = render_html(_page())

    cells = re.findall(r"<td([^>]*)>", html[: html.index("How to read this")])
    in_ledger = html.count("</td>", html.index('class="ledger"'), html.index('class="verdict"'))
    assert len(cells) > in_ledger > 0
    assert sum("data-head=" not in cell for cell in cells) == in_ledger


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
    assert said == {("Too littl", "Nothing"), ("The small", "Nothing")}


def _card(judgement: Judgement) -> Card:
    page = build_page(replace(builders.night(), judgements=(judgement,)), Options(scope="one"))
    return next(section.cards[0] for section in page.sections if section.cards)


def _everything(page: Page) -> list[str]:
    shown = [_words_of(render_html(page)), _words_of(render_mail_html(page))]
    return [*shown, *(text.render_text(page, text.Style(width, cards=text.ALL)) for width in (60, 112))]


def test_every_run_is_shown_with_its_log_word_and_every_word_is_explained() -> None:
    page = _page()

    rows = [row for s in page.sections for row in (*(c.row for c in s.cards), *s.rows)]
    assert {row.trust for row in rows} == {"observed", "claimed-only", "none"}
    for shown in _everything(page):
        assert "claimed-only" in shown
        assert "nothing outside the job confirmed the log or denied it" in re.sub(r"\s+", " ", shown)
    assert {fact.label for fact in page.trusts} == set(words.TRUST)


def test_what_could_hide_in_a_run_that_nothing_confirmed_is_its_upper_bound() -> None:
    claimed = builders.clear(builders.CLAIMED)

    smallest = _card(claimed).smallest

    unit = words.unit_for([claimed.run.allocated_gpu_ms])
    assert f"up to {unit.full(claimed.unexplained.hi_gpu_ms)}" in smallest
    assert "Only if the log is true" in smallest
    assert "Only if the log is true" not in _card(builders.clear(0)).smallest


@pytest.mark.parametrize("false", ["or runs like it", "never clears a run", "counters agree with"])
def test_nothing_is_promised_that_this_release_does_not_do(false: str) -> None:
    for shown in _everything(_page()):
        assert false not in re.sub(r"\s+", " ", shown)


def test_an_idle_allocation_and_one_without_a_log_do_not_speak_of_hidden_diversions() -> None:
    assert _card(builders.parked()).smallest == (
        "No training was logged; all work that was seen on these GPUs is 0.15 GPU-h."
    )
    assert "look alike" in _card(builders.not_auditable()).smallest


def test_the_headline_names_alerts_by_their_kind_of_fact() -> None:
    left = builders.finding(builders.alert().run, "leftover-process", "It worked on.", hard=True)
    fact = replace(builders.alert(), findings=(left,), unexplained=Bounds(0, 0, 0))
    work = replace(builders.alert(), findings=(builders.finding(builders.alert().run, "work-residual", "."),))

    night = replace(builders.night(), outside=())
    one = build_page(replace(night, judgements=(fact,)), Options())
    both = build_page(replace(night, judgements=(fact, work)), Options())

    assert one.headline.startswith("1 run needs a look today (a process that outlived its run).")
    assert "does not explain" not in one.headline
    assert "not an amount" in one.sections[0].cards[0].unexplained
    assert both.headline.startswith("2 runs need a look today;")
    assert [a.about.split(";")[0] for a in both.asks] == [
        "a process that outlived its run",
        "GPU work that logged progress does not explain",
    ]


def _unseen(of: Judgement) -> Judgement:
    return replace(
        of, verdict=Verdict.NOT_AUDITABLE, ledger_gpu_ms={"unobserved": of.run.allocated_gpu_ms},
        unexplained=Bounds(0, 0, 0), coverage_pct=0.0, sentence="Nothing was observed.",
    )  # fmt: skip


def test_a_night_that_nobody_watched_is_not_called_quiet() -> None:
    night = builders.night()
    blind = replace(
        night,
        judgements=tuple(_unseen(j) for j in night.judgements),
        nodes=tuple(replace(n, last_heard_at=None, observed_gpu_ms=0) for n in night.nodes),
    )

    page = build_page(blind, Options())

    assert page.headline == (
        "Nothing was observed (readings from 0 of 8 nodes); 0 of 13 are clear; 13 could not be audited."
    )
    assert "no run needs a look" not in " ".join(_everything(page)).lower()


def test_a_run_that_was_not_judged_has_a_dash_and_no_bounds() -> None:
    row, unseen = _card(builders.not_auditable()).row, _card(_unseen(builders.clear(0))).row

    assert (row.unexplained, row.bounds, row.explained) == ("–", "", "0")
    assert (unseen.unexplained, unseen.bounds, unseen.explained, unseen.idle) == ("–", "", "–", "–")
    shown = text.render_text(_page(), text.Style(112))
    (line,) = [line for line in shown.splitlines() if "48411" in line]
    assert "(0" not in line


def test_a_look_at_a_run_without_a_log_makes_none_of_its_work_unexplained() -> None:
    asked = replace(builders.not_auditable(), verdict=Verdict.REVIEW)
    half_ms = asked.unexplained.hi_gpu_ms // 2
    known = replace(asked, unexplained=replace(asked.unexplained, lo_gpu_ms=half_ms))

    card = _card(asked)
    assert {segment.account for segment in card.bar.segments} == {"idle", "unmatched"}
    assert (card.row.unexplained, card.row.bounds, card.bar.whisker) == ("–", "", None)
    assert "nothing to set" in card.unexplained
    assert "At least" in _card(known).unexplained  # a lower bound is somebody's work and stays


def test_like_remarks_on_many_files_are_one_line_that_counts_them() -> None:
    problems = tuple(f"/scratch/a b: c/{i}.dat: no-progress: no line in it moves" for i in range(40))
    of = replace(builders.alert(), progress=replace(builders.alert().progress, problems=(*problems, "odd")))

    assert _card(of).remarks == (
        "0.dat and 39 other files: no-progress (no line in it moves)",
        "odd",
    )
    (logged,) = [fact for fact in _card(of).facts if fact.label == "Progress logged"]
    assert "no-progress" not in logged.note


def test_one_card_has_one_unit_for_gpu_time() -> None:
    of = builders.alert()
    seconds = replace(of.findings[0].evidence[0], value=7_200.0, unit="SM-s")
    length = replace(seconds, value=3_102.0, unit="s")
    finding = replace(of.findings[0], evidence=(seconds, length))

    (shown,) = _card(replace(of, findings=(finding,))).against

    assert [e.value for e in shown.evidence] == ["2.00 GPU-h of SM time", "51 min 42 s"]
    assert shown.strength == "a fact that stands by itself; certain"


def test_without_progress_no_price_and_no_pace_are_made_up() -> None:
    of = replace(builders.parked(), timeline=builders.timeline(builders.parked().run))

    card = _card(of)

    assert [f.note for f in card.facts if f.label == "Price of progress"] == ["no progress was logged"]
    assert card.timeline is not None
    assert card.timeline.wide.lanes[2].title == "Progress"


def test_words_for_processes_are_explained_where_events_use_them() -> None:
    line = builders.timeline(builders.alert().run)
    event = TimelineEvent(line.start_at, None, "process", "pid 7 (kin) /usr/bin/python3")
    page = build_page(
        replace(
            builders.night(), judgements=(replace(builders.alert(), timeline=replace(line, events=[event])),)
        ),
        Options(),
    )

    (card,) = page.sections[0].cards
    assert card.timeline is not None
    assert card.timeline.ties == ("kin",)
    for shown in _everything(page):
        assert "some tie to it, and perhaps part of the training" in re.sub(r"\s+", " ", shown)


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


@pytest.mark.parametrize("width", [40, 44, 60, 80, 100, 132, 200])
def test_no_line_of_the_verdict_table_is_wider_than_the_terminal(width: int) -> None:
    shown = text.render_text(_page(), text.Style(width))

    assert max(map(len, shown.splitlines())) <= width


def test_templates_are_found() -> None:
    assert (templates_dir() / "page.html.j2").is_file()
