"""The audit's sentences in the page's words, and what of a run lies outside its allocation."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard.audit import outside
from slurm_guard.model import Audit, Bounds, Judgement, Outside
from slurm_guard.report import beyond, retold, text, words
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.render import render_html, render_mail_html
from slurm_guard.report.view import Card, Page
from tests.unit.report import builders

HOURS, MINUTES = words.unit_for([]), words.unit_for([600_000])
SHAPES = (Path(__file__).parents[2] / "golden" / "audit_shapes.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("worked 1.0 GPU-hours on GPU-1", "worked 1.0 GPU-h on GPU-1"),
        ("for about 1.5 GPU-minutes beside", "for about 0.025 GPU-h beside"),
        ("worked 3591 s on GPU-1 of g1", "worked 1.00 GPU-h on GPU-1 of g1"),
        ("worked 42 s on GPU-1 of g1", "worked 42 s on GPU-1 of g1"),
        ("it moved every 300 s", "it moved every 300 s"),
        ("1.9 GPU-hours of 1,204.0 GPU-hours", "1.9 GPU-h of 1,204.0 GPU-h"),
        ("about 4.0 GPU-seconds", "about 4.0 GPU-seconds"),
        ("budget of GPU-hours", "budget of GPU-hours"),
        ("\x1b[31m 2.0 GPU-minutes", "\\x1b[31m 0.033 GPU-h"),
    ],
)
def test_amounts_are_in_the_pages_unit(said: str, shown: str) -> None:
    assert retold.retell(said, HOURS) == shown


def test_a_page_of_minutes_has_minutes() -> None:
    assert retold.retell("1.5 GPU-minutes and 0.2 GPU-hours", MINUTES) == "1.5 GPU-min and 12 GPU-min"


@pytest.mark.parametrize("digits", ["9" * 400, "9," * 300 + "9"])
def test_a_number_without_end_is_left_as_it_is(digits: str) -> None:
    for said in (f"worked {digits} s on x", f"{digits} GPU-minutes"):
        retold.retell(said, HOURS)


def test_the_phrases_that_are_told_anew_are_still_the_audits() -> None:
    assert retold._STEPS in SHAPES
    assert retold.IF_NOT_OWN in SHAPES
    stint = outside.Stint("after", None, None, "n", "G", 7, 1, 5000, None, None, 0.0, 60.0, 3_600_000_000, 2)
    assert retold._WORKED.search(outside._sentence(stint, [], set()))


def test_who_it_is_whose_steps_are_not_the_work_is_said() -> None:
    (line,) = {line.strip() for line in SHAPES.splitlines() if retold._STEPS in line}

    shown = retold.retell(line, HOURS)

    assert "the steps in the log are not the work that the GPUs did (2.6 GPU-h)." in shown


def _night(judgement: Judgement, *found: Outside) -> Audit:
    return replace(builders.night(), judgements=(judgement,), outside=found)


def _left(of: Judgement, **changes: object) -> Outside:
    end_at = of.run.until_at
    plain = Outside(
        "g01", "GPU-1", end_at, end_at + 3600, builders.GPU_H, 7, 1, None, of.run.id, "It went on."
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def _alert(page: Page) -> Card:
    return next(s.cards[0] for s in page.sections if s.slug == "alert")


def _everything(page: Page) -> list[str]:
    shown = [
        render_html(page),
        render_mail_html(page),
        text.render_text(page, text.Style(76, cards=text.ALL)),
    ]
    plain = (re.sub(r'<span class="amt">([^<]*)</span>', r"\1", each) for each in shown)
    return [re.sub(r"\s+", " ", each) for each in plain]


def test_what_a_process_did_after_its_run_stands_in_the_alerts_line_and_in_its_sentence() -> None:
    of = builders.alert()
    page = build_page(_night(of, _left(of)), Options())

    assert page.asks[0].about.split("; ")[1] == "1.00 GPU-h after its end"
    said = "Beside that, a process of it worked 1.00 GPU-h after its end, which is in none of its sums."
    assert _alert(page).unexplained.endswith(said)
    for shown in _everything(page):
        assert said in shown


def test_an_amount_of_a_sentence_is_not_broken_behind_its_hyphen() -> None:
    of = builders.alert()
    page = build_page(_night(of, _left(of)), Options())

    for html in (render_html(page), render_mail_html(page)):
        assert '<span class="amt">1.00 GPU-h</span> after its end' in html
        assert "&lt;span" not in html
        assert re.search(r"\.amt \{ white-space: nowrap; \}", html)


def test_where_nothing_is_unexplained_the_work_outside_is_the_amount() -> None:
    fact = replace(builders.alert(), unexplained=Bounds(0, 0, 0))

    page = build_page(_night(fact, _left(fact), _left(fact, pid=8)), Options())

    assert _alert(page).unexplained == (
        "Nothing of 64.0 GPU-h is unexplained. Beside that, 2 processes of it worked 2.00 GPU-h after its "
        "end, which is in none of its sums."
    )
    assert page.asks[0].about.endswith("; 2.00 GPU-h after its end")


def test_work_beside_the_run_and_of_nobody_is_told_apart() -> None:
    of = builders.alert()
    early = _left(of, start_at=of.run.start_at)

    found = beyond.by_run((early, _left(of, run=None), _left(of, gpu_ms=0)))

    assert beyond.amount(of.run, found, HOURS) == "1.00 GPU-h outside its allocation"
    assert beyond.sentence(of.run, beyond.by_run(()), HOURS) == ""


def test_bounds_from_zero_below_a_sentence_with_an_amount_say_how_the_two_differ() -> None:
    line = next(line.strip() for line in SHAPES.splitlines() if retold.IF_NOT_OWN in line)
    rise = builders.finding(builders.review().run, "work-residual", line)
    perhaps = replace(
        builders.review(), findings=(rise,), sentence=line, unexplained=Bounds(0, 9_000_000, 10_000_000)
    )
    certain = replace(perhaps, unexplained=Bounds(1_000_000, 9_000_000, 10_000_000))

    cards = [build_page(_night(of), Options(scope="one")).sections[1].cards[0] for of in (perhaps, certain)]

    said = "The 0 holds if the rise in cost is the training's own"
    assert [said in card.unexplained for card in cards] == [True, False]
