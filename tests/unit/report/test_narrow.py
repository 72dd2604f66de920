"""A part of a night says that it is one, and its sums are its own."""

from dataclasses import replace

import pytest

from slurm_guard import sums
from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, EXIT_USAGE, GuardError
from slurm_guard.model import Verdict
from slurm_guard.report.cards import build_row
from slurm_guard.report.narrow import SLUGS, only, parse_narrow, part_of, scope_words, slug_of, spelled
from slurm_guard.report.nights import Nights, NightSum, read_parts
from slurm_guard.report.nights_text import headline, render_nights
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.safe import display_width
from slurm_guard.report.spark import sparks_of
from slurm_guard.report.text import ALL, Style, render_text
from slurm_guard.report.words import Times, load_zone, unit_for
from tests.unit.report import builders

NIGHT = builders.night()
TIMES = Times(load_zone("UTC"))


def test_nothing_asked_for_is_the_document_itself() -> None:
    assert part_of(NIGHT, parse_narrow()) is NIGHT
    assert scope_words(parse_narrow(), 13, 13) == ""


def test_one_run_alone_is_spoken_of_in_the_singular() -> None:
    asked = parse_narrow(job="7")

    assert scope_words(asked, 1, 18) == "Job 7 alone: 1 of the 18 runs of this night. All sums are its own."
    assert scope_words(asked, 2, 18) == "Job 7 alone: 2 of the 18 runs of this night. All sums are theirs."
    assert scope_words(asked, 1, 1) == "Job 7 alone: the only run of this night. All sums are its own."


def test_the_headline_of_several_nights_counts_in_whole_words() -> None:
    found = Nights("2026-09-20", parse_narrow())
    found.sums.append(
        NightSum("2026-09-20", 0.0, 1.0, 39, {"alert": 3, "review": 1, "note": 1, "clear": 34}, {}, 0, 0)
    )

    assert headline(found) == "39 runs: 3 alerts, 1 to review, 1 note, 34 clear."


def test_each_option_takes_several_values_repeated_or_with_commas() -> None:
    asked = parse_narrow(None, ["nlp-7, proj1", "proj2"], [], ["alert", "Not Auditable,review"])

    assert asked.accounts == ("nlp-7", "proj1", "proj2")
    assert asked.verdicts == ("alert", "not-auditable", "review")


@pytest.mark.parametrize("given", [([""], [], []), ([], [",", " "], []), ([], [], [""])])
def test_an_option_that_names_nothing_is_refused_and_not_everything(
    given: tuple[list[str], list[str], list[str]],
) -> None:
    with pytest.raises(GuardError, match="narrow-empty") as caught:
        parse_narrow(None, *given)

    assert caught.value.exit_code == EXIT_USAGE


def test_values_of_one_kind_widen_and_kinds_narrow() -> None:
    by_user = only(NIGHT, parse_narrow(users=["mvance"]))
    by_uid = only(NIGHT, parse_narrow(users=[str(by_user.judgements[0].run.uid)]))
    both = only(NIGHT, parse_narrow(accounts=["nlp-7"], verdicts=["alert,clear"]))

    assert [j.run.job for j in by_user.judgements] == ["48112"]
    assert by_user.judgements[0] in by_uid.judgements
    assert [j.run.job for j in both.judgements] == ["48112"]


def test_every_run_stands_under_exactly_one_slug() -> None:
    counts = {slug: len(part_of(NIGHT, parse_narrow(verdicts=[slug])).judgements) for slug in SLUGS}

    assert sum(counts.values()) == len(NIGHT.judgements)
    assert counts["explained"] == counts["alert"] == 1
    assert counts["parked"] == 1
    assert {slug_of(j) for j in NIGHT.judgements} == set(SLUGS) - {"note", "burn-in"}
    assert slug_of(replace(builders.not_auditable(), burn_in="user=ann")) == "burn-in"
    assert slug_of(replace(builders.alert(), burn_in="user=ann")) == "alert"


def test_the_sums_of_a_part_are_those_of_its_runs() -> None:
    asked = parse_narrow(verdicts=["alert"])
    part = only(NIGHT, asked)
    scope = scope_words(asked, len(part.judgements), len(NIGHT.judgements))

    shown = render_text(build_page(part, Options(scope=scope)), Style())

    assert (
        shown.splitlines()[2] == "Verdict alert alone: 1 of the 13 runs of this night. All sums are its own."
    )
    assert "Where 64.0 GPU-h went" in shown


def test_a_part_has_sums_of_its_own_and_no_trend() -> None:
    part = only(NIGHT, parse_narrow(verdicts=["alert"]))

    assert sums.groups(part.judgements, NIGHT.cluster) == part.sums
    assert part.sums[0].n_runs == 1
    assert part.trend == ()


def test_what_is_outside_goes_with_the_run_it_is_of() -> None:
    of_alert = {o.run for o in part_of(NIGHT, parse_narrow(job="48112")).outside}

    assert of_alert <= {j.run.id for j in NIGHT.judgements if j.run.job == "48112"}


def test_a_misspelt_name_is_met_with_the_nearest() -> None:
    with pytest.raises(GuardError, match="narrow-nothing") as caught:
        only(NIGHT, parse_narrow(users=["mvanze"]))
    assert caught.value.hint == "did you mean mvance?"
    assert caught.value.exit_code == EXIT_NOTHING_TO_AUDIT

    with pytest.raises(GuardError, match="verdict-unknown") as caught:
        parse_narrow(verdicts=["alerts"])
    assert (caught.value.hint, caught.value.exit_code) == ("did you mean alert?", EXIT_USAGE)


def test_a_night_without_such_a_verdict_says_so() -> None:
    quiet = replace(NIGHT, judgements=tuple(j for j in NIGHT.judgements if j.verdict is Verdict.CLEAR))

    with pytest.raises(GuardError, match="none of the 8 runs of this document is of verdict alert"):
        only(quiet, parse_narrow(verdicts=["alert"]))


def test_words_of_the_asker_are_made_harmless() -> None:
    asked = parse_narrow(job="\x1b[31m\n=1+1", accounts=["\u202e" * 500], users=["b\r\nBcc: x"])

    assert asked.words().isprintable()
    assert len(asked.words()) < 200


@pytest.mark.parametrize("width", [40, 44, 60, 100])
def test_no_line_is_wider_than_the_terminal_but_commands(width: int) -> None:
    page = build_page(NIGHT, Options(site="Aurora"))
    found = Nights("2026-09-20", parse_narrow())
    list(read_parts(["2026-09-21", "2026-09-22"], found, lambda _: NIGHT))

    shown = [
        render_text(page, Style(width, cards=ALL, sparks=sparks_of(NIGHT, TIMES, width))),
        render_nights(found, "", TIMES, Style(width)),
    ]

    lines = [line for text in shown for line in text.splitlines()]
    assert [line for line in lines if display_width(line) > width and "see: " not in line] == []
    assert any(line.startswith("  progress") and "179.1 GPU-h" in line for line in lines)


@pytest.mark.parametrize("width", [40, 44, 60, 112])
def test_the_legend_of_the_small_bars_and_their_units_are_whole_at_every_width(width: int) -> None:
    alert = builders.alert()
    fast = replace(alert, progress=replace(alert.progress, unit="samples"))

    (lines,) = sparks_of(replace(NIGHT, judgements=(fast,)), TIMES, width).values()

    assert max(map(display_width, lines)) <= width
    assert [line.split()[-1] for line in lines[:4]] == ["GPUs", "GPUs", "W", "samples/s"]
    legend = " ".join(" ".join(lines[5:]).split())
    assert legend == "bars from 0 to the row's highest; a blank: not observed; UTC"
    assert "…" not in render_text(
        build_page(replace(NIGHT, judgements=(fast,)), Options(scope="one")),
        Style(width, cards=("alert",), sparks={build_row(fast, unit_for(()), TIMES).anchor: lines}),
    ).partition("GPU work  ")[2].partition("Ledger:")[0]  # fmt: skip


def test_an_account_that_is_written_in_another_case_is_meant_where_no_other_is() -> None:
    asked = parse_narrow(accounts=["NLP-7", "proj1"])

    assert spelled(asked, NIGHT).accounts == ("nlp-7", "proj1")
    assert {j.run.account for j in only(NIGHT, asked).judgements} == {"nlp-7", "proj1"}


def test_an_account_is_taken_as_it_is_written_where_there_is_one() -> None:
    first = NIGHT.judgements[0]
    upper = replace(first, run=replace(first.run, account="NLP-7"))
    both = replace(NIGHT, judgements=(first, upper))

    for name in ("nlp-7", "NLP-7"):
        assert {j.run.account for j in only(both, parse_narrow(accounts=[name])).judgements} == {name}
    assert len(only(both, parse_narrow(accounts=["Nlp-7"])).judgements) == 2


def test_users_are_told_apart_by_case() -> None:
    with pytest.raises(GuardError, match="narrow-nothing"):
        only(NIGHT, parse_narrow(users=["MVANCE"]))
