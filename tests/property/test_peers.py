"""Laws of the comparison with earlier runs: order and repetition do not matter, peers never excuse and never
make an alarm of the highest kind by themselves, and one user bounds nobody's yardstick."""

import math
import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from slurm_guard.audit.peers import find_peers, recall
from slurm_guard.audit.run import audit_and_remember, audit_facts
from slurm_guard.audit.runmode import REACH, SPREAD, cheap_mode
from slurm_guard.document import to_json
from slurm_guard.history import PastCost
from slurm_guard.lake.history import frame_of
from slurm_guard.model import Judgement, Verdict
from tests.builders import build
from tests.shapes import SHAPES, as_past, earlier
from tests.unit.audit.test_peers import CHANNELS, ME, PRINT, _runs

_ORDER = list(Verdict)
USERS = st.lists(st.integers(2000, 2003), min_size=0, max_size=12)


def _judged(shape: str, rows: list[PastCost]) -> Judgement:
    from dataclasses import replace

    facts = replace(build(SHAPES[shape]), costs=as_past(rows))
    return next(j for j in audit_facts(facts).judgements if j.run.job_id == 7)


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_order_and_repetition_of_rows_do_not_matter(rng: random.Random, times: int) -> None:
    from dataclasses import replace

    rows = earlier("as-its-peers", (2001, 2002, 2003, 2001, 2002, 2003))
    mixed = [*rows, *rng.choices(rows, k=5 * times)]
    rng.shuffle(mixed)
    facts = build(SHAPES["dear-all-along"])

    one = audit_and_remember(replace(facts, costs=as_past(rows)))
    other = audit_and_remember(replace(facts, costs=as_past(mixed)))

    assert to_json(one[0]) == to_json(other[0])
    assert one[1] == other[1]


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(
        ["as-its-peers", "dear-all-along", "larger-steps", "late-diversion", "co-tenant", "tunnel"]
    ),
    USERS,
    st.sampled_from([0.5, 0.8, 0.97, 1.0, 1.3]),
)
def test_peers_never_excuse_and_by_themselves_never_alert(shape: str, uids: list[int], times: float) -> None:
    """A verdict with peers is at least as serious as without them, the lower bound at least as high; where
    nothing else speaks it is at most REVIEW."""
    base = "as-its-peers" if shape in ("as-its-peers", "dear-all-along") else "honest"
    alone, beside = _judged(shape, []), _judged(shape, earlier(base, tuple(uids), times=times))

    assert _ORDER.index(beside.verdict) <= _ORDER.index(alone.verdict)
    assert beside.unexplained.lo_gpu_ms >= alone.unexplained.lo_gpu_ms
    assert beside.unexplained.hi_gpu_ms >= alone.unexplained.hi_gpu_ms
    if alone.verdict not in (Verdict.ALERT, Verdict.REVIEW):
        assert beside.verdict is not Verdict.ALERT
    assert sum(beside.ledger_gpu_ms.values()) == beside.run.allocated_gpu_ms


@settings(max_examples=150, deadline=None)
@example(times=0.85546875, n=2, users=3, each=1, is_dear=False)
@example(times=0.85546875, n=2, users=6, each=1, is_dear=False)
@given(st.floats(0.2, 5.0), st.integers(0, 200), st.integers(3, 6), st.integers(1, 4), st.booleans())
def test_one_user_moves_the_yardstick_by_no_more_than_honest_runs_scatter(
    times: float, n: int, users: int, each: int, is_dear: bool
) -> None:
    honest = [row for uid in range(1, users + 1) for row in _runs(uid, each + 1)]
    theirs = _runs(99, n, cost=100 * times, is_dear=is_dear)

    clean = find_peers(recall(frame_of("costs", honest), [PRINT]), PRINT, ME, CHANNELS)
    mixed = find_peers(recall(frame_of("costs", honest + theirs), [PRINT]), PRINT, ME, CHANNELS)

    assert clean is not None
    assert mixed is not None
    moved = math.log(mixed.costs["energy"].value / clean.costs["energy"].value)
    assert abs(moved) <= REACH * SPREAD / 2
    assert not mixed.is_mixed


@given(st.lists(st.floats(3.0, 6.0), min_size=4, max_size=20))
def test_the_mode_is_never_below_its_runs_nor_above_the_middle_of_all(costs: list[float]) -> None:
    from slurm_guard.audit.runmode import OWN, Sample

    samples = [Sample(str(k), x, 0.02, 1, frozenset({float(k)}), None, False) for k, x in enumerate(costs)]
    mode = cheap_mode(samples, OWN)

    if mode is not None:
        assert min(costs) <= mode.centre <= max(costs)
        assert all(s in samples for s in mode.inside)
