"""Law of the site's patterns: whatever a line holds, a point is in range, and the rest is counted."""

from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_guard.progress.patterns import makers_of
from slurm_guard.progress.text import TextSource
from slurm_guard.progress.values import STEP_LIMIT

PATTERN = r"mycode: ^cycle (?P<step>\S+)(?: of (?P<total>\S+))?(?: t=(?P<time>\S+))?(?: e=(?P<loss>\S+))?"
CELLS = st.one_of(
    st.integers(-9, 1 << 60).map(str),
    st.floats().map(repr),
    st.sampled_from(
        ["nan", "1e400", "1,5", "1_000", "\u0663", "--", "2026-13-01", "9" * 400, "\ufffd", "0x1f"]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), max_size=8),
)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), max_size=20))
def test_no_line_makes_a_pattern_raise_or_say_nonsense(rows: list[tuple[str, str, str, str]]) -> None:
    text = "".join(f"cycle {step} of {total} t={at} e={loss}\n" for step, total, at, loss in rows)
    reader = TextSource("text", makers_of([PATTERN], frozenset())).reader()
    reader.feed(text.encode("utf-8", "replace"), 0)

    found = reader.finish()

    n_claims = sum(len(series.claims) for series in found.series)
    n_problems = sum(int(problem.rpartition(" ")[2]) for problem in found.problems)
    assert n_claims + n_problems <= len(rows)
    for series in found.series:
        assert all(claim.step is not None and 0 <= claim.step < STEP_LIMIT for claim in series.claims)
        assert all(claim.total is None or 0 <= claim.total < STEP_LIMIT for claim in series.claims)
