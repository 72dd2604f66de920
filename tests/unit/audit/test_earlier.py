"""A run beside its kind: what is held against it, what is only said, what is explained."""

from dataclasses import replace

import pytest

from slurm_guard.audit.run import audit_facts
from slurm_guard.history import PastCost
from slurm_guard.model import Judgement, Verdict
from slurm_guard.siteword import Disposition, SiteWords, Speaker, Subject
from tests.builders import UID, World, build
from tests.shapes import SHAPES, as_past, earlier

OTHERS = (2001, 2002, 2003, 2001, 2002, 2003)
TOKENS, DEAR, LATE = SHAPES["as-its-peers"], SHAPES["dear-all-along"], SHAPES["late-diversion"]


def _words(said: dict[str, str]) -> SiteWords:
    """A person's dispositions of earlier runs."""
    admin = Speaker("admin", 0, None)
    return SiteWords(
        dispositions=tuple(
            Disposition(k, 0.0, admin, _subject(run), word, Verdict.REVIEW, ("work-residual",), "")
            for k, (run, word) in enumerate(sorted(said.items()), 1)
        )
    )


def _subject(run: str) -> Subject:
    return Subject(run, "c", "6", "ann", UID, "lab", "train", 0.0)


def _judge(world: World, rows: list[PastCost], said: dict[str, str] | None = None) -> Judgement:
    facts = replace(build(world), costs=as_past(rows), words=_words(said or {}))
    return next(j for j in audit_facts(facts).judgements if j.run.job_id == 7)


def _usual(**cells: object) -> list[PastCost]:
    return [replace(row, **cells) for row in earlier("as-its-peers", OTHERS)]  # type: ignore[arg-type]


def test_where_memory_is_not_known_the_comparison_is_context() -> None:
    judged = _judge(DEAR, _usual(mem_mib=None))

    assert judged.verdict is Verdict.NOTE
    assert judged.unexplained.lo_gpu_ms == judged.unexplained.mid_gpu_ms == 0
    assert judged.unexplained.hi_gpu_ms > 0.2 * judged.run.allocated_gpu_ms


@pytest.mark.parametrize("mem_mib", [5000, 12_000])
def test_where_memory_differs_only_the_upper_bound_knows_of_the_comparison(mem_mib: int) -> None:
    judged = _judge(DEAR, _usual(mem_mib=mem_mib))

    assert judged.verdict is Verdict.CLEAR
    assert judged.unexplained.lo_gpu_ms == judged.unexplained.mid_gpu_ms == 0
    assert judged.unexplained.hi_gpu_ms > 0.2 * judged.run.allocated_gpu_ms
    assert judged.cost.comparison is not None
    assert not judged.cost.comparison.holds
    assert "memory" in judged.cost.comparison.why


def test_runs_of_other_memory_are_no_level_of_the_yardstick() -> None:
    larger = [replace(row, run=f"{row.run}x", mem_mib=12_000, theta=row.theta * 1.3) for row in _usual()]

    assert _judge(DEAR, _usual() + larger).verdict is Verdict.REVIEW


def test_runs_that_cost_different_amounts_hold_nothing_against_anybody() -> None:
    dear = [replace(row, run=f"{row.run}x", uid=(row.uid or 0) + 10) for row in _usual()]
    rows = _usual() + [replace(row, theta=row.theta * 1.3) for row in dear]

    judged = _judge(DEAR, rows)

    assert judged.verdict is Verdict.NOTE
    assert judged.unexplained.lo_gpu_ms == 0


def test_a_persons_word_that_such_a_run_was_right_ends_the_question() -> None:
    mine = [
        replace(row, run="c/6/1", uid=UID, theta=row.theta * 4 / 3, families="B", is_dear=True)
        for row in earlier("as-its-peers", (UID,))
    ]

    assert _judge(DEAR, _usual() + mine).verdict is Verdict.REVIEW
    assert _judge(DEAR, _usual() + mine, {"c/6/1": "wrong"}).verdict is Verdict.NOTE
    assert _judge(DEAR, _usual() + mine, {"c/6/1": "right"}).verdict is Verdict.REVIEW


def test_a_run_far_cheaper_than_its_peers_stays_its_own_yardstick() -> None:
    rows = [replace(row, theta=row.theta * 1.3) for row in _usual()]

    judged = _judge(TOKENS, rows)

    assert (judged.verdict, judged.cost.source) == (Verdict.CLEAR, "own-cheapest")


def test_what_its_meters_do_not_agree_on_is_not_held_against_a_run() -> None:
    """Dear in time and not in energy: a slow link, or a hot board."""
    rows = [replace(row, theta=row.theta * 4 / 3) if row.channel == "energy" else row for row in _usual()]

    judged = _judge(DEAR, rows)

    assert judged.verdict is Verdict.CLEAR
    assert judged.unexplained.lo_gpu_ms == 0


def _late(uids: tuple[int, ...], **cells: object) -> list[PastCost]:
    """Earlier runs with the same rise, in which the log agreed with the work."""
    return [
        replace(row, **{"trust": "observed", **cells})  # type: ignore[arg-type]
        for row in earlier("late-diversion", uids)
    ]


def test_a_lasting_rise_is_asked_about_and_the_lower_bound_holds_none_of_it() -> None:
    judged = _judge(LATE, [])

    assert judged.verdict is Verdict.REVIEW
    assert judged.unexplained.lo_gpu_ms == 0
    assert judged.unexplained.mid_gpu_ms > 0.1 * judged.run.allocated_gpu_ms
    assert "stayed" in judged.sentence


def test_a_rise_beside_another_process_or_with_other_evidence_is_held_against_the_run() -> None:
    assert _judge(SHAPES["helper-stays"], []).unexplained.lo_gpu_ms > 0
    assert _judge(SHAPES["co-tenant"], []).unexplained.lo_gpu_ms > 0
    judged = _judge(replace(LATE, handed=SHAPES["faint-tunnel"].handed), [])
    assert judged.verdict is Verdict.ALERT
    assert judged.unexplained.lo_gpu_ms > 0


def test_a_rise_that_others_showed_at_the_same_step_is_the_trainings_own_way() -> None:
    judged = _judge(LATE, _late(OTHERS))

    assert judged.verdict in (Verdict.CLEAR, Verdict.NOTE)
    assert judged.unexplained.mid_gpu_ms < 0.02 * judged.run.allocated_gpu_ms
    assert judged.unexplained.hi_gpu_ms > 0.1 * judged.run.allocated_gpu_ms
    assert any("other users" in note for note in judged.notes)


@pytest.mark.parametrize(
    ("why", "rows"),
    [
        ("the user's own runs", _late((UID,) * 6)),
        ("one other user", _late((2001,) * 6)),
        ("a process spoke against them", _late(OTHERS, families="AB")),
        ("at another step", _late(OTHERS, levels="5000:1.5")),
        ("a smaller rise", _late(OTHERS, levels="880:1.1")),
        ("no rise", _late(OTHERS, levels="")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_runs_do_not_explain_a_rise(why: str, rows: list[PastCost]) -> None:
    assert _judge(LATE, rows).verdict is Verdict.REVIEW, why


def test_a_persons_word_on_one_run_explains_its_rise_in_the_next() -> None:
    rows = _late((UID,))

    assert _judge(LATE, rows, {rows[0].run: "wrong"}).verdict in (Verdict.CLEAR, Verdict.NOTE)
    assert _judge(LATE, rows, {rows[0].run: "right"}).verdict is Verdict.REVIEW
