"""The site's word in a whole audit: what it changes, what it never changes, and that it is pinned."""

from dataclasses import replace

import pytest

from slurm_guard import sums
from slurm_guard.audit.past import MOST_CELLS, NIGHTS, night_of, precision
from slurm_guard.audit.run import audit_facts
from slurm_guard.document import to_json
from slurm_guard.model import Audit, Judgement, Verdict
from slurm_guard.siteword import Exemption, PastNight, SiteWords
from tests.builders import World, run_of
from tests.shapes import SHAPES, facts_of
from tests.unit.report import builders
from tests.words import asked, disposition, exemption, past

RUN = run_of(World())


def _audit(shape: str, *said: Exemption, nights: tuple[PastNight, ...] = ()) -> Audit:
    return audit_facts(replace(facts_of(shape), words=SiteWords(said), past=nights))


def _judged(shape: str, *said: Exemption, nights: tuple[PastNight, ...] = ()) -> Judgement:
    return next(j for j in _audit(shape, *said, nights=nights).judgements if j.run.job_id == 7)


def test_an_explained_fact_keeps_its_verdict_and_asks_for_nothing() -> None:
    plain = _judged("tunnel")

    told = _judged("tunnel", exemption(RUN, "reverse-tunnel", hard=("reverse-tunnel",), scope="job-name"))

    assert (plain.verdict, plain.asks, plain.left) == (Verdict.ALERT, True, None)
    assert (told.verdict, told.asks, told.left) == (Verdict.ALERT, False, Verdict.NOTE)
    ((said,), findings) = told.explained, told.findings
    assert (said.check, said.by, said.reason) == ("reverse-tunnel", "r.okoye", "agreed")
    assert replace(told, explained=(), left=None) == plain
    assert findings == plain.findings


def test_an_explained_tunnel_does_not_hide_a_second_process() -> None:
    told = _judged("tunnel-and-work", exemption(RUN, "reverse-tunnel", hard=("reverse-tunnel",)))

    assert (told.verdict, told.left, told.asks) == (Verdict.ALERT, Verdict.ALERT, True)


def test_an_explained_process_does_not_hide_a_tunnel() -> None:
    checks = ("extra-context", "work-residual", "slower-beside")

    told = _judged("tunnel-and-work", exemption(RUN, *checks, hard=checks))

    assert {e.check for e in told.explained} == set(checks)
    assert (told.left, told.asks) == (Verdict.ALERT, True)


def test_of_two_families_one_explained_leaves_a_review() -> None:
    told = _judged("co-tenant", exemption(RUN, "extra-context"))

    assert (told.verdict, told.left) == (Verdict.ALERT, Verdict.REVIEW)


def test_a_tunnel_explained_within_the_cluster_is_not_explained_to_outside() -> None:
    soft = exemption(RUN, "reverse-tunnel", scope="user")

    assert not _judged("tunnel-to-login", soft).asks
    assert _judged("tunnel", soft).asks


@pytest.mark.parametrize("checks", [("leftover-process",), ("no-such-check",), ("parked-allocation",)])
def test_other_checks_explain_nothing(checks: tuple[str, ...]) -> None:
    assert _judged("tunnel", exemption(RUN, *checks, hard=checks)) == _judged("tunnel")


def test_what_has_ended_or_is_of_another_user_explains_nothing() -> None:
    ended = exemption(RUN, "reverse-tunnel", hard=("reverse-tunnel",), until_at=RUN.from_at)
    another = exemption(
        replace(RUN, id="c/1/1", user="eve"), "reverse-tunnel", hard=("reverse-tunnel",), scope="user"
    )

    assert _judged("tunnel", ended, another) == _judged("tunnel")


def test_the_same_words_and_nights_give_the_same_bytes_and_others_another_digest() -> None:
    said = exemption(RUN, "reverse-tunnel", hard=("reverse-tunnel",))
    nights = (past(3, asked("c/1/1", "ann")),)

    one, same, other = (
        _audit("tunnel", said, nights=nights),
        _audit("tunnel", said, nights=nights),
        _audit("tunnel", replace(said, reason="else"), nights=nights),
    )

    assert to_json(one) == to_json(same)
    assert one.site is not None
    assert other.site is not None
    assert one.site.digest != other.site.digest
    assert (one.site.up_to, one.site.n_exemptions, one.site.n_nights, one.site.n_asked) == (1, 1, 1, 1)


def test_a_night_becomes_an_index_and_the_next_one_says_that_it_came_again() -> None:
    known = exemption(RUN, "extra-context", scope="user")
    nights = [night_of(_audit("co-tenant")), night_of(_audit("co-tenant", known)), past(9)]
    wrong = SiteWords((), (disposition(RUN, "wrong", "extra-context"),))

    facts = replace(facts_of("co-tenant"), words=wrong, past=tuple(nights))
    judgement = next(j for j in audit_facts(facts).judgements if j.run.job_id == 7)

    found = {r.check: (r.n_nights, r.of_nights, r.n_explained, r.n_wrong) for r in judgement.again}
    assert found["extra-context"] == (2, 3, 1, 2)
    assert found["work-residual"] == (2, 3, 0, 2)
    assert len(nights[0].asked) == 1
    assert nights[0].asked[0].checks[:1] == ("extra-context",)


@pytest.mark.parametrize("changes", [{"name": "other"}, {"user": "eve"}, {"checks": ("reverse-tunnel",)}])
def test_another_name_user_or_check_is_no_recurrence(changes: dict[str, object]) -> None:
    row = replace(asked("c/1/1", "ann", checks=("extra-context",)), **changes)  # type: ignore[arg-type]

    found = {r.check for r in _judged("co-tenant", nights=(past(3, row),)).again}

    assert "extra-context" not in found


def test_recurrence_looks_back_a_week_and_a_clear_run_has_none() -> None:
    rows = [past(k, asked(f"c/{k}/1", "ann", checks=("extra-context",))) for k in range(20)]

    (again, *_) = _judged("co-tenant", nights=tuple(rows)).again

    assert (again.n_nights, again.of_nights) == (NIGHTS, NIGHTS)
    assert _judged("honest", nights=tuple(rows)).again == ()


def test_an_index_is_bounded_and_counts_what_it_leaves_out() -> None:
    night = builders.night()
    many = tuple(
        builders.judgement(builders.run(i, user=f"u{i}"), Verdict.CLEAR, {}, "")
        for i in range(MOST_CELLS + 50)
    )

    index = night_of(replace(night, judgements=many))

    assert (len(index.cells), index.n_left_out) == (MOST_CELLS, 50)


def test_an_index_has_every_run_that_was_judged_once() -> None:
    index = night_of(builders.night())

    assert sum(c.n for c in index.cells) == 9  # the clear ones and the parked one
    assert {a.run: a.is_explained for a in index.asked} == {
        builders.alert().run.id: False,
        builders.explained().run.id: True,
        builders.review().run.id: False,
    }


def test_precision_counts_each_run_once_a_check_and_unclear_neither_way() -> None:
    runs = [replace(RUN, id=f"c/{i}/1") for i in range(4)]
    said = [
        disposition(runs[0], "right", "a", "b"),
        disposition(runs[1], "right", "a"),
        disposition(runs[2], "wrong", "a", verdict=Verdict.REVIEW),
        disposition(runs[3], "unclear", "b"),
    ]

    rows = {(p.kind, p.name): p for p in precision(SiteWords((), tuple(said)))}

    assert list(rows) == [("verdict", "ALERT"), ("verdict", "REVIEW"), ("check", "a"), ("check", "b")]
    counts = {k[1]: (p.n_right, p.n_wrong, p.n_unclear) for k, p in rows.items()}
    assert counts == {"ALERT": (2, 0, 1), "REVIEW": (0, 1, 0), "a": (2, 1, 0), "b": (1, 0, 1)}
    ours = rows["check", "a"]
    assert ours.lo is not None
    assert ours.hi is not None
    assert ours.lo < 2 / 3 < ours.hi


def test_only_unclear_gives_no_interval() -> None:
    (verdict, _) = precision(SiteWords((), (disposition(RUN, "unclear", "a"),)))

    assert (verdict.lo, verdict.hi) == (None, None)


def test_declared_otherwise_is_a_note_and_never_more() -> None:
    for shape in ("declared-serving", "beyond-target", "beyond-budget", "intent-required"):
        assert _judged(shape).verdict is Verdict.NOTE, shape
    assert _judged("declared-right").verdict is Verdict.CLEAR
    assert "was declared" in " ".join(_judged("intent-required").notes)
    assert "declared" not in " ".join(_judged("co-tenant").notes)
    assert set(SHAPES) >= {"declared-training"}


def test_the_document_carries_the_nights_before_and_its_own_sums() -> None:
    first = _audit("tunnel")
    before = replace(past(0), sums=first.trend[-1])

    again = _audit("tunnel", nights=(past(1), before))

    assert first.trend == (sums.of_night(first.judgements, (first.from_at, first.until_at)),)
    assert again.trend == (first.trend[-1], first.trend[-1])
    assert again.sums == sums.groups(again.judgements, again.cluster)
