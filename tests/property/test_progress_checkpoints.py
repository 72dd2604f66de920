"""Names of checkpoints: whatever they are, a step stands in the name, and points are in order."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from slurm_guard.progress.bracket import Frame
from slurm_guard.progress.checkpoints import Kept, Saved, counter_of, parse_saved, settle
from slurm_guard.progress.values import STEP_LIMIT

FRAME = Frame(1.9e9, 1.9e9 + 7200, None)
WORDS = ("checkpoint", "step", "epoch", "iter", "global_step", "-", "_", "=", "0", "7", "500", "9" * 20, ".",
         ".pt", ".ckpt", "١", "tmp", "\udcff", "/", "K")  # fmt: skip


@given(
    st.lists(st.sampled_from(WORDS), max_size=12).map("".join) | st.text(max_size=40),
    st.booleans(),
)
def test_a_counter_stands_in_its_name(name: str, is_folder: bool) -> None:
    found = counter_of(name, "/w/checkpoints", is_folder)

    if found is not None:
        counter, epoch = found
        assert 0 <= counter < STEP_LIMIT
        assert counter // (1_000_000 if epoch else 1) in {int(n) for n in re.findall(r"[0-9]+", name)}


_saved = st.builds(
    Saved, st.integers(0, 500), st.booleans(), st.floats(1.8e9, 2e9), st.none() | st.floats(1.8e9, 2e9),
    st.integers(0, 1 << 40),
)  # fmt: skip
_kept = st.builds(
    Kept, st.just("/w"), st.integers(0, 500), st.booleans(), st.none() | st.floats(1.8e9, 2e9),
    st.floats(1.8e9, 2e9),
)  # fmt: skip


@given(st.lists(_saved, max_size=12), st.lists(_kept, max_size=5))
def test_points_are_in_order_and_in_range(saved: list[Saved], kept: list[Kept]) -> None:
    points, problems = settle((0, "checkpoint:w~1"), parse_saved([list(one) for one in saved]), kept, FRAME)

    steps = {one.step for one in saved} | {one.step for one in kept}
    assert all(point.step in steps and "weak" in point.flags for point in points)
    assert len({point.step for point in points}) == len(points)
    assert all(
        p.obs_hi_at is not None and (p.obs_lo_at is None or p.obs_lo_at <= p.obs_hi_at) for p in points
    )
    for before, after in pairwise(points):
        assert before.obs_hi_at is not None
        assert after.obs_hi_at is not None
        assert before.obs_hi_at <= after.obs_hi_at
        assert (after.segment > before.segment) == ((after.step or 0) < (before.step or 0))
    assert all(": " in problem for problem in problems)
