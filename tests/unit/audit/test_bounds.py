"""How wide the bounds are, and to which side."""

import pytest

from slurm_guard.audit.blocks import Fit, fit
from slurm_guard.audit.bounds import left_over
from slurm_guard.audit.cost import Block


def _fit(stray_from: int) -> Fit:
    """Forty stretches of equal price, a neighbour in those from `stray_from` on."""
    block = Block(0.0, 60.0, 50.0, 10.0, 60_000, 60_000, 0.0)
    blocks = [
        block._replace(from_at=60.0 * k, until_at=60.0 * (k + 1), stray_ms=20_000.0 * (k >= stray_from))
        for k in range(40)
    ]
    return fit(blocks)


@pytest.mark.parametrize("stray_from", [10, 0])
def test_a_neighbour_widens_the_upper_bound_only_where_no_price_was_learnt_without_one(
    stray_from: int,
) -> None:
    alone = left_over({"cycles": _fit(40)}, is_split=False)
    beside = left_over({"cycles": _fit(stray_from)}, is_split=True)

    assert beside.lo == alone.lo == 0.0
    if stray_from:
        assert beside.hi == alone.hi
    else:
        assert beside.hi > 1.5 * alone.hi
