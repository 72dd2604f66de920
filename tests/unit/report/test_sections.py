"""What the page says of groups, of the parked, of what was not auditable, and of the nights before."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard import sums
from slurm_guard.model import Judgement, Verdict
from slurm_guard.report import render, text, words
from slurm_guard.report.accounts import MOST, build_groups
from slurm_guard.report.cut import only_accounts
from slurm_guard.report.page import Options, build_page, only_job
from slurm_guard.report.render import METHOD, find_method, render_html, render_mail_html
from slurm_guard.report.trend import COUNTED, build_trend
from slurm_guard.report.words import Times
from tests.unit.report import builders
from tools.packages.tree import DOC

HOURS = words.unit_for([builders.GPU_H * 8])
TIMES = Times(Options().zone)


def _many(n: int) -> tuple[Judgement, ...]:
    return tuple(
        replace(builders.clear(1), run=builders.run(i, account=f"lab{i:02}", gpus=1 + i % 3, hours=0.1 * i))
        for i in range(1, n + 1)
    )


def test_of_many_accounts_the_largest_are_named_and_the_rest_is_summed() -> None:
    found = sums.groups(_many(25), "c")

    (accounts, partitions) = build_groups(found, HOURS)

    assert len(accounts.rows) == MOST + 1
    assert accounts.rows[-1].name == "15 others, together"
    shown = sum(float(row.allocated) for row in accounts.rows)
    assert shown == pytest.approx(float(partitions.rows[0].allocated), abs=0.1)
    assert sum(int(row.n_runs) for row in accounts.rows) == 25


def test_accounts_and_partitions_add_up_to_the_ledger_of_the_cluster() -> None:
    audit = builders.night()
    page = build_page(audit, Options())

    for groups in page.groups:
        own = [g for g in sums.groups(audit.judgements, audit.cluster) if g.kind == groups.kind]
        whole = sums.merge("cluster", "", own)
        assert HOURS.full(sum(whole.ledger_gpu_ms.values())) == page.total
        for row in page.ledger:
            assert row.amount == HOURS.show(whole.ledger_gpu_ms.get(row.account, 0))


def test_the_page_comes_in_the_order_of_its_use() -> None:
    html = render_html(build_page(builders.night(), Options()))

    order = [
        *('class="facts"', 'class="headline"', "Where the GPU time went", "By account", "By partition"),
        *('id="alert"', 'id="review"', 'id="parked"', 'id="not-auditable"', 'id="trend"', "docs/method.md"),
    ]
    places = [html.index(part) for part in order]
    assert places == sorted(places)


def test_parked_allocations_are_a_section_with_their_cost() -> None:
    page = build_page(builders.night(), Options())

    (parked,) = [s for s in page.sections if s.slug == "parked"]
    assert (parked.count, parked.allocated) == (1, HOURS.full(builders.parked().run.allocated_gpu_ms))
    assert [c.row.job for c in parked.cards] == ["48300"]


def test_what_was_not_auditable_is_grouped_by_reason_with_the_one_thing_that_would_help() -> None:
    silent = replace(builders.not_auditable(), classes=("silent",))
    small = replace(builders.not_auditable(), run=builders.run(1, hours=0.5))
    night = replace(builders.night(), judgements=(small, silent, builders.not_auditable()))

    (section,) = [s for s in build_page(night, Options()).sections if s.slug == "not-auditable"]

    assert [(r.words, r.count) for r in section.reasons] == [
        ("no training progress was found in its files", "2"),
        ("nothing was heard from its nodes", "1"),
    ]
    assert all(r.remedy for r in section.reasons)


def test_hard_facts_come_before_amounts() -> None:
    soft = replace(builders.alert(), findings=builders.alert().findings[1:], run=builders.run(1))
    fact = replace(builders.explained(), explained=(), left=None)

    (alerts, *_) = build_page(replace(builders.night(), judgements=(soft, fact)), Options()).sections

    assert [c.row.job for c in alerts.cards] == ["48255", "1"]


def test_each_alert_is_a_line_above_everything_that_leads_to_its_card() -> None:
    page = build_page(builders.night(), Options())

    (ask,) = page.asks
    assert ask.about == "a process on GPUs that were not its run's; 9.78 to 12.8 of 64.0 GPU-h not explained"
    assert f'<li><a href="#{ask.anchor}">' in render_html(page)
    assert page.more_asks == ""


def test_a_card_leads_with_one_sentence_where_the_others_stand_below() -> None:
    of = builders.alert()
    first, second = (f.sentence for f in of.findings[:2])

    page = build_page(
        replace(builders.night(), judgements=(replace(of, sentence=f"{first} {second}"),)), Options()
    )
    other = build_page(
        replace(builders.night(), judgements=(replace(of, sentence=f"{first} Said nowhere else."),)),
        Options(),
    )

    assert page.sections[0].cards[0].lead == first
    assert other.sections[0].cards[0].lead == f"{first} Said nowhere else."


def test_a_first_night_says_that_it_is_the_first() -> None:
    night = builders.night()

    page = build_page(replace(night, trend=night.trend[-1:]), Options())

    assert page.trend is not None
    assert page.trend.wide is None
    for shown in (render_html(page), render_mail_html(page), text.render_text(page, text.Style(100))):
        assert "first night that is remembered" in re.sub(r"\s+", " ", shown)


def test_a_document_of_an_earlier_release_and_a_run_alone_have_no_trend() -> None:
    night = builders.night()

    assert build_page(replace(night, trend=()), Options()).trend is None
    alone = build_page(only_job(night, "48112"), Options(scope="job 48112 alone"))
    assert (alone.trend, alone.groups) == (None, ())


def test_a_night_that_was_not_audited_is_a_gap_and_is_counted() -> None:
    trend = build_trend(builders.night().trend, TIMES, HOURS)

    assert trend is not None
    said = "17 nights from 2026-09-05 to 2026-09-22; 1 night between them was not audited."
    assert trend.sentence == f"{said} {COUNTED}"
    assert trend.wide is not None
    xs = sorted({float(r.x) for r in trend.wide.lanes[0].rects})
    steps = [round(b - a, 1) for a, b in itertools.pairwise(xs)]
    assert max(steps) == pytest.approx(2 * min(steps), abs=0.2)


def test_nights_that_are_no_days_stand_side_by_side() -> None:
    (tonight,) = builders.night().trend[-1:]
    short = [replace(tonight, from_at=tonight.from_at + 3600 * k) for k in range(5)]

    trend = build_trend(short, TIMES, HOURS)

    assert trend is not None
    assert trend.narrow is not None
    assert len({r.x for r in trend.narrow.lanes[0].rects}) == 5
    assert "not audited" not in trend.sentence


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_the_trend_is_drawn_inside_its_drawing_and_says_its_units(kind: str) -> None:
    night = builders.night()
    trend = build_trend(sums.trend([night.trend[0]] * 29, night.trend[-1]), TIMES, HOURS)

    assert trend is not None
    chart = getattr(trend, kind)
    for lane in chart.lanes:
        for r in lane.rects:
            assert 0 <= float(r.x) <= float(r.x) + float(r.width) <= chart.width
            assert 0 <= float(r.y) <= float(r.y) + float(r.height) <= chart.height
    assert [("GPU-h" in lane.title or "runs" in lane.title) for lane in chart.lanes] == [True] * 3


def test_a_page_beyond_its_budget_turns_cards_into_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    alerts = tuple(
        replace(builders.alert(), run=replace(builders.alert().run, id=f"a/{i}/0", job=str(i)))
        for i in range(9)
    )
    page = build_page(replace(builders.night(), judgements=alerts), Options())
    monkeypatch.setattr(render, "MOST_BYTES", 150_000)

    html = render_html(page)

    assert len(html.encode()) <= 150_000
    assert 0 < html.count("<article") < 9
    assert all(f"<b>{i}</b>" in html or f"Job {i} " in html for i in range(9))


def test_the_mail_shows_alerts_in_full_and_the_rest_in_lines() -> None:
    html = render_mail_html(build_page(builders.night(), Options()))

    assert "Job 48112" in html
    assert "48300" in html
    assert "Job 48300" not in html
    assert "8 of 13 are clear" in html
    assert "<img" not in html


@pytest.mark.parametrize(
    ("url", "linked"), [("https://hpc.example.org/m", True), ("javascript:alert(1)", False)]
)
def test_the_method_is_linked_where_the_site_has_it(url: str, linked: bool) -> None:
    page = build_page(builders.night(), Options(method_url=url))

    for html in (render_html(page), render_mail_html(page)):
        assert (f'<a href="{url}">docs/method.md</a>' in html) is linked
        assert linked or "The whole method: docs/method.md of the slurm-guard project." in html


def test_where_a_package_put_the_method_its_path_is_named_and_no_other(tmp_path: Path) -> None:
    there, nowhere = tmp_path / "method.md", tmp_path / "none.md"
    there.write_text("# Method", "utf-8")

    assert (find_method(there), find_method(nowhere)) == (str(there), "")
    page = build_page(builders.night(), Options(method_file=find_method(there)))
    for html in (render_html(page), render_mail_html(page)):
        assert f"<code>{there}</code>, where this was written." in html
        assert "docs/method.md" not in html
    assert Path("/") / DOC / "docs/method.md" == METHOD


def test_verdicts_without_a_run_take_one_line() -> None:
    html = render_html(build_page(replace(builders.night(), judgements=(builders.clear(0),)), Options()))

    assert '<p class="none" id="alert">' in html
    assert Verdict.ALERT.value in html


def test_a_coordinators_part_has_neither_sums_nor_nights_of_others() -> None:
    part = only_accounts(builders.night(), ["nlp-7"])

    assert (part.sums, part.trend) == ((), ())
    assert [row.name for row in build_page(part, Options()).groups[0].rows] == ["nlp-7"]
