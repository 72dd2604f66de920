"""The site's word as it is shown: apart, by name, and with what it does not cover."""

import csv
from dataclasses import replace
from datetime import timezone

import pytest

from slurm_guard.model import Audit, Judgement, Verdict
from slurm_guard.report import decisions, formats, text
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.render import render_html, render_mail_html
from slurm_guard.report.words import Times
from slurm_guard.sitemodel import AlarmBudget, Explained, Recurrence
from tests.unit.report import builders

TIMES = Times(timezone.utc)
SAID = (
    "by r.okoye until 2026-10-12 00:00 for this user's jobs of this name (reverse-tunnel): the editor's own"
)

AGAIN = (
    "Also on 3 of the last 7 nights, on jobs of this user with this name (x); explained on 2 of them, "
    "on 1 of them found to be called wrongly."
)
FEW = "reference: 310 runs of 16 nights, 1,299 runs needed to say how many to expect; nothing was changed"


def _with(audit: Audit, **settings: object) -> Audit:
    return replace(audit, settings={"audit": settings})


def _header(audit: Audit) -> dict[str, tuple[str, str]]:
    return {f.label: (f.value, f.note) for f in (*decisions.mode(audit), *decisions.budget(audit))}


def test_an_explained_run_stands_apart_in_every_output() -> None:
    page = build_page(builders.night(), Options())

    (section,) = [s for s in page.sections if s.slug == "explained"]
    assert [c.row.job for c in section.cards] == ["48255"]
    assert "1 run was called and explained by the site" in page.headline
    assert "1 run needs a look today" in page.headline
    for shown in (text.render_text(page, text.Style(400)), render_html(page), render_mail_html(page)):
        assert SAID.replace("'", "&#39;") in shown or SAID in shown
        assert "EXPLAINED" in shown


def test_its_finding_says_who_explained_it_and_others_do_not() -> None:
    page = build_page(builders.night(), Options())

    said = {f.check: f.explained for s in page.sections for c in s.cards for f in c.against}
    assert said == {
        "foreign-process": "", "busy-while-silent": "", "reverse-tunnel": "explained by r.okoye",
        "parked-allocation": "",
    } | {check: "" for check in said if check != "reverse-tunnel"}  # fmt: skip


def test_where_something_is_left_the_run_stays_and_its_card_says_so() -> None:
    partly = replace(builders.explained(), left=Verdict.REVIEW)
    page = build_page(replace(builders.night(), judgements=(partly,)), Options())

    assert [(s.slug, s.count) for s in page.sections if s.count] == [("alert", 1)]
    assert page.headline.startswith(
        "1 run needs a look today (GPU work that logged progress does not explain)"
    )
    (card,) = page.sections[0].cards
    assert card.row.aside == ""
    assert card.site[0].startswith("Explained by r.okoye")
    assert card.site[1] == "That is not all of it: what nobody explained is REVIEW by itself."


def test_a_hard_fact_beside_a_soft_word_of_the_same_check_is_not_marked() -> None:
    judgement = builders.explained()
    soft = replace(judgement.explained[0], hard=False)

    (finding,) = judgement.findings

    assert decisions.of_finding(finding, judgement) == "explained by r.okoye"
    assert decisions.of_finding(finding, replace(judgement, explained=(soft,))) == ""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            Recurrence("x", 3, 7, 0, 0),
            "Also on 3 of the last 7 nights, on jobs of this user with this name (x).",
        ),
        (
            Recurrence("x", 7, 7, 0, 0),
            "Also on each of the last 7 nights, on jobs of this user with this name (x).",
        ),
        (Recurrence("x", 1, 1, 0, 0), "Also on the night before, on jobs of this user with this name (x)."),
        (
            Recurrence("x", 3, 7, 2, 1),
            AGAIN,
        ),
    ],
)
def test_recurrence_is_a_sentence(found: Recurrence, words: str) -> None:
    said = decisions.remarks(replace(builders.review(), again=(found, replace(found, check="y"))), TIMES)

    assert said == (words.replace("(x)", "(x, y)"),)


def test_how_often_others_were_called_so_is_said_where_it_was_asked() -> None:
    (said,) = decisions.remarks(replace(builders.review(), p_value=0.0012), TIMES)

    assert "in at most 0.1 % of cases" in said


def test_observing_only_is_said_with_the_canary_and_ends() -> None:
    night = builders.night()

    plain = _header(_with(night, observe_only=True))["Mode"]
    canary = _header(_with(night, observe_only=True, enforce_partitions=["gpu-test"]))["Mode"]

    assert plain == (
        "observe only",
        "verdicts are kept, no owner is written to; 16 nights audited before this one",
    )
    assert canary[0] == "observe only, but for partition gpu-test"
    assert "Mode" not in _header(_with(night, observe_only=False))
    assert "Mode" not in _header(_with(night))


@pytest.mark.parametrize(
    ("budget", "value", "note"),
    [
        (
            AlarmBudget(0.1, 0.0308, 130, 4210, 1299, 0),
            "0.031 of 0.1 false alerts expected",
            "reference: 4,210 runs of 16 nights",
        ),
        (
            AlarmBudget(0.1, 0.0308, 130, 4210, 1299, 2),
            "0.031 of 0.1 false alerts expected",
            "reference: 4,210 runs of 16 nights; 2 alerts beyond that shown as REVIEW",
        ),
        (
            AlarmBudget(0.1, None, 130, 310, 1299, 0),
            "0.1 false alerts a night accepted",
            FEW,
        ),
    ],
)
def test_the_alarm_budget_is_said_with_what_came_of_it(budget: AlarmBudget, value: str, note: str) -> None:
    night = builders.night()
    assert night.site is not None

    page = build_page(replace(night, site=replace(night.site, budget=budget)), Options())

    assert [(f.value, f.note) for f in page.about if f.label == "Alarms"] == [(value, note)]


def test_without_budget_or_word_of_the_site_nothing_is_said() -> None:
    night = builders.night()
    assert night.site is not None
    off = replace(night.site, budget=AlarmBudget(0.0, None, 130, 4210, 0, 0), precision=())

    assert "Alarms" not in _header(replace(night, site=off))
    assert "Alarms" not in _header(replace(night, site=None))
    assert build_page(replace(night, site=None), Options()).precision.lines == ()


def test_precision_is_shown_with_its_interval_and_what_nobody_looked_at() -> None:
    table = build_page(builders.night(), Options()).precision

    assert table.lines[0].cells == ("ALERT", "2 right, 1 wrong, 0 unclear", "66.7 % (9.4 % to 99.2 %)")
    assert table.lines[3].cells[-1] == "not known"
    assert table.more == "21 runs asked for a look in the last 16 nights; 9 of them have a disposition."


def test_the_csv_has_what_is_left_and_who_explained_it() -> None:
    judgement: Judgement = builders.explained()
    nasty = replace(judgement, explained=(Explained(1, "x", "=cmd", "run", True, 0.0, "a\nb"),))

    shown = formats.render_csv(replace(builders.night(), judgements=(nasty,)))

    (row,) = csv.DictReader(shown.splitlines())
    assert (row["left"], row["explained"]) == ("NOTE", "x by =cmd: a\\x0ab")
