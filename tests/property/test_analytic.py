"""What a job tells of its model's size moves nothing but an upper bound, and lists no run."""

from dataclasses import replace
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_guard.audit.run import audit_facts
from slurm_guard.audit.size import LEAST, MOST, Size
from slurm_guard.audit.sustained import faster_than
from slurm_guard.audit.track import Arc
from slurm_guard.model import Judgement, Verdict
from tests.builders import Log, Tenant, World, build

SHORT = World(length_s=3600.0, tenants=(Tenant("train", 60, 1e9, share=0.95, written_b=10_000),))
ASKS = (Verdict.ALERT, Verdict.REVIEW)


def judged(log: Log) -> Judgement:
    """Job 7 with this log."""
    return next(j for j in audit_facts(build(replace(SHORT, log=log))).judgements if j.run.job_id == 7)


@cache
def plain(tokens: int, every: int) -> Judgement:
    """The same without a size."""
    return judged(Log(tokens=tokens, every=every))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1, 2**63 - 1) | st.integers(LEAST, MOST),
    st.none() | st.integers(-1, MOST),
    st.sampled_from(("header", "said")),
    st.sampled_from((1, 4096, 10**6, 10**9)),
    st.sampled_from((5, 150)),
)
def test_a_told_size_changes_no_account_and_no_lower_bound(
    params: int, dense: int | None, told: str, tokens: int, every: int
) -> None:
    before = plain(tokens, every)

    found = judged(Log(tokens=tokens, every=every, params=params, dense=dense, params_from=told))

    assert found.ledger_gpu_ms == before.ledger_gpu_ms
    u, was = found.unexplained, before.unexplained
    assert (u.lo_gpu_ms, u.mid_gpu_ms) == (was.lo_gpu_ms, was.mid_gpu_ms)
    assert was.hi_gpu_ms <= u.hi_gpu_ms <= found.run.allocated_gpu_ms
    assert found.verdict not in ASKS or before.verdict in ASKS
    band = found.cost.analytic
    assert band is None or 0 < band.lo_mj <= band.hi_mj


@given(st.integers(1, MOST), st.none() | st.integers(1, MOST))
def test_what_a_token_passes_is_no_more_than_the_model(params: int, dense: int | None) -> None:
    size = Size(params, None if dense is None else min(dense, params), "header")

    assert 0 < size.least <= params


_arc = st.tuples(st.floats(0.1, 5000), st.floats(0, 1e7), st.floats(0, 900))


@given(st.lists(_arc, max_size=60), st.floats(1, 1e5), st.floats(1, 10))
def test_a_higher_limit_tells_no_more(
    parts: list[tuple[float, float, float]], limit: float, times: float
) -> None:
    claimed: list[Arc] = []
    now = 0.0
    for length, units, blur in parts:
        claimed.append(Arc(now, now + length, units, None, blur_s=blur))
        now += length

    low, high = (faster_than(claimed, (0.0, 1e9), rate) for rate in (limit, limit * times))

    assert high is None or (low is not None and low.seconds >= high.seconds > 0)
    assert low is None or low.tokens_s > limit
