"""Bars of unlike totals that are one training: epochs whose loader is a batch longer or shorter each time."""

from bisect import bisect_left, bisect_right

from slurm_guard.progress.protocol import MAX_CLAIMS, Claim, Series

NEAR = 0.1  # of the larger total: bars that differ by more count something else (judgement)
INSIDE_SHARE = (
    0.1  # of a bar's redraws inside another's drawings: beyond, one lies inside the other (judgement)
)


def are_near(total: int, other: int) -> bool:
    """Whether two totals may be one loader's, in this epoch and in another."""
    return abs(total - other) <= NEAR * max(total, other)


def joined(bars: list[Series]) -> list[Series]:
    """The series of one rank's bars, those of near totals that were drawn one after the other made one."""
    out: list[Series] = []
    for one in sorted(bars, key=lambda s: -len(s.claims)):
        for nth, other in enumerate(out):
            n = len(one.claims) + len(other.claims)
            if one.rank == other.rank and n <= MAX_CLAIMS and _take_turns(one.claims, other.claims):
                claims = sorted((*other.claims, *one.claims), key=lambda claim: claim.offset)
                out[nth] = other._replace(claims=claims)
                break
        else:
            out.append(one)
    return out


def _take_turns(some: list[Claim], others: list[Claim]) -> bool:
    """Whether no drawing of the one bar lies inside one of the other's."""
    if not are_near(some[0].total or 0, others[0].total or 0):
        return False
    return _share_inside(some, others) <= INSIDE_SHARE and _share_inside(others, some) <= INSIDE_SHARE


def _share_inside(some: list[Claim], others: list[Claim]) -> float:
    """The share of `some` that lies between the first and the last redraw of one of the others' drawings."""
    offsets = [claim.offset for claim in some]
    n = 0
    for drawing in drawings_of(others):
        n += bisect_left(offsets, drawing[-1].offset) - bisect_right(offsets, drawing[0].offset)
    return n / len(offsets)


def drawings_of(claims: list[Claim]) -> list[list[Claim]]:
    """The claims cut where the count falls: one drawing of a bar from its start on."""
    out: list[list[Claim]] = []
    last = -1
    for claim in claims:
        if (claim.step or 0) < last or not out:
            out.append([])
        out[-1].append(claim)
        last = claim.step or 0
    return out
