"""What an exemption covers."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_guard.audit.exempt import explained, known
from slurm_guard.model import Audience, Evidence, Family, Finding, Run, Severity
from slurm_guard.siteword import SCOPES, SiteWords, digest_of
from tests.builders import World, run_of
from tests.words import DAY, exemption, past

SLOWLY = settings(deadline=None)  # a busy machine is no failure

RUN = run_of(World())
LATER = replace(RUN, id="c/9/1", start_at=RUN.start_at + 3600, from_at=RUN.from_at + 3600)


def _finding(check: str, weight: float = 3.0, *, hard: bool = False, family: Family = Family.A) -> Finding:
    evidence = (Evidence("seen", 1.0, "s", "table", "look", "nothing"),)
    return Finding(
        check, RUN.id, family, Severity.HIGH, 0.9, weight, hard, Audience.AUDITOR, "Seen.", evidence
    )


@pytest.mark.parametrize(
    ("scope", "run", "covered"),
    [
        ("run", RUN, True),
        ("run", LATER, False),
        ("job-name", LATER, True),
        ("job-name", replace(LATER, name="other"), False),
        ("job-name", replace(LATER, user="eve"), False),
        ("job-name", replace(LATER, uid=4), False),
        ("job-name", replace(LATER, cluster="d"), False),
        ("job-name", replace(LATER, start_at=RUN.start_at - 1), False),
        ("user", replace(LATER, name="other"), True),
        ("user", replace(LATER, user="eve", account="lab"), False),
        ("account", replace(LATER, user="eve", uid=4, name="other"), True),
        ("account", replace(LATER, account="shop"), False),
    ],
)
def test_a_scope_is_what_it_says(scope: str, run: Run, covered: bool) -> None:
    said = exemption(RUN, "reverse-tunnel", scope=scope)

    assert said.covers(run, _finding("reverse-tunnel")) is covered


@pytest.mark.parametrize("scope", SCOPES)
def test_an_exemption_that_has_ended_covers_nothing(scope: str) -> None:
    said = exemption(RUN, "reverse-tunnel", scope=scope, until_at=RUN.from_at)

    assert not said.covers(RUN, _finding("reverse-tunnel"))
    assert SiteWords((said,)).during(RUN.from_at) == SiteWords()
    assert SiteWords((said,)).during(RUN.from_at - 1) == SiteWords((said,))


@pytest.mark.parametrize("scope", ["job-name", "user", "account"])
def test_a_name_that_accounting_does_not_know_is_nobodys(scope: str) -> None:
    nameless = replace(RUN, user="", account="", name="")
    said = exemption(nameless, "reverse-tunnel", scope=scope)

    assert said.is_for(nameless)
    assert not said.is_for(replace(nameless, id="c/9/1"))


def test_a_hard_fact_is_covered_only_where_one_was_explained() -> None:
    soft, hard = _finding("reverse-tunnel", 2.0), _finding("reverse-tunnel", 6.0, hard=True)

    plain, meant = (exemption(RUN, "reverse-tunnel", hard=h) for h in ((), ("reverse-tunnel",)))

    assert (plain.covers(RUN, soft), plain.covers(RUN, hard)) == (True, False)
    assert (meant.covers(RUN, soft), meant.covers(RUN, hard)) == (True, True)


_names = st.sampled_from(["", "ann", "eve", "train"])
_runs = st.builds(
    replace,
    st.just(RUN),
    id=st.sampled_from([RUN.id, "c/9/1"]),
    user=_names,
    uid=st.sampled_from([None, 1000, 4]),
    account=_names,
    name=_names,
    cluster=st.sampled_from(["c", "d"]),
    start_at=st.sampled_from([RUN.start_at - 1, RUN.start_at, RUN.start_at + 1]),
    from_at=st.sampled_from([RUN.start_at, RUN.start_at + 20 * DAY]),
)


@SLOWLY
@given(_runs, _runs)
def test_each_scope_covers_no_more_than_the_next_wider_one_of_the_same_user(of: Run, run: Run) -> None:
    covered = [exemption(of, "x", scope=scope).is_for(run) for scope in ("run", "job-name", "user")]

    assert covered == sorted(covered)


@SLOWLY
@given(_runs, _runs, st.sampled_from(SCOPES))
def test_no_scope_reaches_another_cluster_or_beyond_its_end(of: Run, run: Run, scope: str) -> None:
    said = exemption(of, "x", scope=scope)

    if run.cluster != of.cluster or run.from_at >= said.until_at:
        assert not said.is_for(run)
    if said.is_for(run) and run.id != of.id:
        assert run.account == of.account if scope == "account" else run.user == of.user


@SLOWLY
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(-3, 6)), max_size=6),
    st.lists(st.tuples(st.sets(st.sampled_from("abc"), min_size=1), st.booleans()), max_size=3),
)
def test_what_is_not_named_is_left_over(
    found: list[tuple[str, bool, float]], said: list[tuple[set[str], bool]]
) -> None:
    findings = tuple(_finding(check, weight, hard=hard) for check, hard, weight in found)
    words = [
        exemption(RUN, *sorted(checks), id=i, hard=tuple(checks) if hard else ())
        for i, (checks, hard) in enumerate(said)
    ]

    shown, others = explained(RUN, findings, known(words))

    named = {c for checks, _ in said for c in checks}
    hard_named = {c for checks, hard in said if hard for c in checks}
    gone = [f for f in findings if f not in others]
    assert all(f.check in (hard_named if f.hard else named) for f in gone)
    assert all(f in others for f in findings if f.check not in named)
    assert {e.check for e in shown} == {f.check for f in gone}


@SLOWLY
@given(st.lists(st.tuples(_runs, st.sampled_from(SCOPES)), max_size=6), _runs)
def test_the_index_finds_what_looking_at_each_would(said: list[tuple[Run, str]], run: Run) -> None:
    words = [exemption(of, "x", id=i, scope=scope) for i, (of, scope) in enumerate(said)]

    found = known(words).near(run)

    assert sorted(e.id for e in found) == [e.id for e in words if e.is_for(run)]
    assert [SCOPES.index(e.scope) for e in found] == sorted(SCOPES.index(e.scope) for e in found)


def test_the_narrowest_and_latest_word_is_shown() -> None:
    words = [
        exemption(RUN, "x", id=1, scope="run", reason="one"),
        exemption(RUN, "x", id=2, scope="user", reason="two"),
        exemption(RUN, "x", id=3, scope="run", reason="three"),
    ]

    ((said,), _) = explained(RUN, (_finding("x"),), known(words))

    assert (said.id, said.reason) == (3, "three")


def test_the_digest_follows_what_was_said_and_remembered() -> None:
    words = SiteWords((exemption(RUN, "x"),))
    night = past(3)

    digests = {
        digest_of(words, (night,)),
        digest_of(words, ()),
        digest_of(SiteWords((exemption(RUN, "x", reason="else"),)), (night,)),
    }

    assert len(digests) == 3
    assert digest_of(SiteWords((exemption(RUN, "x"),)), (past(3),)) in digests
