"""The alarm budget: soft ALERTs alone, in one direction, and only where earlier nights can speak."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_guard.audit.alarms import OWN_MODEL, references, spend
from slurm_guard.audit.past import BEYOND
from slurm_guard.model import Judgement, Verdict
from slurm_guard.siteword import PastNight, SiteWords
from tests.unit.report import builders
from tests.words import asked, disposition, exemption, past

SLOWLY = settings(deadline=None)  # a busy machine is no failure

NOTHING = SiteWords()


def _judged(n: int, verdict: Verdict, score: float = -7.0, user: str = "u", **changes: object) -> Judgement:
    of = builders.run(n, user=user)
    plain = builders.judgement(of, verdict, builders.split(of, residual=0.1), "Said.", score=score)
    return replace(plain, **changes)  # type: ignore[arg-type]


def _soft(n: int, score: float, user: str = "u") -> Judgement:
    of = builders.run(n, user=user)
    found = tuple(builders.finding(of, check, "Seen.") for check in ("extra-context", "work-residual"))
    return _judged(n, Verdict.ALERT, score, user, findings=found)


def _night(*called: Judgement, calm: int = 100) -> list[Judgement]:
    return [*called, *(_judged(900 + i, Verdict.CLEAR) for i in range(calm - len(called)))]


def _spend(
    night: Sequence[Judgement], nights: Sequence[PastNight], allowed: float, words: SiteWords = NOTHING
) -> tuple[list[Judgement], object]:
    return spend(night, references(nights, words), allowed)


CALM = [past(k, n=500) for k in range(10)]
NOISY = [past(k, *(asked(f"c/{k}{i}/1", f"v{i}", score=0.5) for i in range(2)), n=500) for k in range(10)]


def test_with_calm_nights_behind_it_a_soft_alert_stays() -> None:
    (alert, *_), budget = spend(_night(_soft(1, -1.0)), references(CALM, NOTHING), 0.1)

    assert alert.verdict is Verdict.ALERT
    assert alert.p_value == pytest.approx(1 / 5001, abs=1e-8)
    assert (budget.n_references, budget.n_needed, budget.n_demoted) == (5000, 999, 0)
    assert budget.expected == pytest.approx(100 / 5001, abs=1e-6)


def test_beyond_the_budget_it_is_a_review_that_says_why() -> None:
    (alert, *_), budget = spend(_night(_soft(1, -1.0)), references(NOISY, NOTHING), 0.1)

    assert alert.verdict is Verdict.REVIEW
    assert BEYOND in alert.classes
    assert "20 were called at this score or above" in alert.sentence
    assert "the site accepts 0.1" in alert.sentence
    assert budget.n_demoted == 1


def test_a_score_above_all_that_was_ever_called_stays_an_alert() -> None:
    (alert, other, *_), budget = spend(_night(_soft(1, 0.6), _soft(2, 0.5)), references(NOISY, NOTHING), 0.1)

    assert (alert.verdict, other.verdict) == (Verdict.ALERT, Verdict.REVIEW)
    assert budget.expected == pytest.approx(100 / 5021, abs=1e-6)


def test_a_hard_fact_is_never_touched() -> None:
    hard = replace(builders.alert(), score=-6.9)

    done, budget = spend(_night(hard), references(NOISY, NOTHING), 1e-9)

    assert done[0] == hard
    assert budget.n_runs == 99


@pytest.mark.parametrize("nights", [[], CALM[:1]])
def test_too_few_references_change_nothing_and_are_told(nights: list[PastNight]) -> None:
    night = _night(_soft(1, -6.0))

    done, budget = spend(night, references(nights, NOTHING), 0.1)

    assert done == night
    assert (budget.expected, budget.n_demoted, budget.n_needed) == (None, 0, 999)


def test_no_budget_changes_nothing() -> None:
    night = _night(_soft(1, -6.0))

    assert spend(night, references(NOISY, NOTHING), 0.0)[0] == night
    assert spend([], references(NOISY, NOTHING), 0.1)[0] == []


def test_what_was_right_or_is_explained_is_no_reference() -> None:
    runs = [replace(builders.run(1), id=one.run) for night in NOISY for one in night.asked]
    right = SiteWords((), tuple(disposition(of, "right") for of in runs))
    wrong = SiteWords((), tuple(disposition(of, "wrong") for of in runs))
    known = SiteWords(tuple(exemption(of, "x") for of in runs))

    verdicts = [_spend(_night(_soft(1, -1.0)), NOISY, 0.1, w)[0][0].verdict for w in (right, wrong, known)]

    assert verdicts == [Verdict.ALERT, Verdict.REVIEW, Verdict.ALERT]


def test_nobodys_own_runs_raise_the_bar_for_himself() -> None:
    own = [past(k, *(asked(f"c/{k}{i}/1", "u", score=5.0) for i in range(9)), n=500) for k in range(10)]

    mine, others = (_spend(_night(_soft(1, -1.0, user)), own, 0.1)[0][0] for user in ("u", "somebody"))

    assert (mine.verdict, others.verdict) == (Verdict.ALERT, Verdict.REVIEW)


def test_nobody_buys_references_with_runs_of_his_own() -> None:
    flood = [past(k, *(asked(f"c/{k}/1", "v"),), n=50_000, user="u") for k in range(10)]

    (alert, *_), _ = _spend(_night(_soft(1, -1.0)), flood, 0.1)

    assert (alert.verdict, alert.p_value) == (Verdict.ALERT, None)  # ten other runs cannot speak


def test_enough_runs_of_the_same_model_are_asked_alone() -> None:
    noisy_a100 = [past(k, asked(f"c/{k}/1", gpu="a100"), n=500, gpu="a100") for k in range(10)]

    (alert, *_), _ = _spend(_night(_soft(1, -1.0)), [*CALM, *noisy_a100], 0.1)
    (few, *_), _ = _spend(_night(_soft(1, -1.0)), [past(0, n=OWN_MODEL - 1), *noisy_a100], 0.1)

    assert alert.p_value == pytest.approx(1 / 5001, abs=1e-8)
    assert few.p_value == pytest.approx(11 / (OWN_MODEL - 1 + 5010 + 1), abs=1e-8)


_nights = st.lists(
    st.tuples(st.integers(0, 400), st.lists(st.tuples(st.sampled_from("uvw"), st.floats(-7, 7)), max_size=4)),
    max_size=6,
)


@SLOWLY
@given(
    _nights,
    st.lists(st.floats(-7, 7), min_size=1, max_size=5),
    st.lists(st.floats(1e-4, 50), min_size=2, max_size=2),
)
def test_a_larger_budget_never_allows_fewer_alerts(
    nights: list[tuple[int, list[tuple[str, float]]]], scores: list[float], budgets: list[float]
) -> None:
    """Where the references can speak at all at the smaller one; below, nothing is changed."""
    remembered = [
        past(k, *(asked(f"c/{k}{i}/1", user, score=s) for i, (user, s) in enumerate(rows)), n=n)
        for k, (n, rows) in enumerate(nights)
    ]
    night = [_soft(i, score, "uvw"[i % 3]) for i, score in enumerate(scores)]

    small, large = (_spend(night, remembered, allowed)[0] for allowed in sorted(budgets))

    for before, one, other in zip(night, small, large, strict=True):
        if one.p_value is not None and one.verdict is Verdict.ALERT:
            assert other.verdict is Verdict.ALERT
        assert one.verdict in (Verdict.ALERT, Verdict.REVIEW)
        assert one.findings == before.findings


@SLOWLY
@given(_nights, st.lists(st.floats(-7, 7), min_size=2, max_size=6), st.floats(1e-3, 50))
def test_of_two_runs_of_a_user_the_higher_score_is_never_the_one_demoted(
    nights: list[tuple[int, list[tuple[str, float]]]], scores: list[float], allowed: float
) -> None:
    remembered = [
        past(k, *(asked(f"c/{k}{i}/1", user, score=s) for i, (user, s) in enumerate(rows)), n=n)
        for k, (n, rows) in enumerate(nights)
    ]

    done, _ = _spend([_soft(i, score) for i, score in enumerate(sorted(scores))], remembered, allowed)

    kept = [j.verdict is Verdict.ALERT for j in done]
    assert kept == sorted(kept)
