"""Room on a node that its runs share: none may take all of it."""

from __future__ import annotations

from slurm_guard.light import Iterable, Mapping


def add_left(left_out: dict[str, int | None], run: str, n: int = 1) -> None:
    """So many more of a run's were left out; null: how many is not known."""
    before = left_out.get(run, 0)
    left_out[run] = None if before is None else before + n


def share_out(wanted: Mapping[str, int], most: int) -> dict[str, int]:
    """How much of `most` each run gets of what it wants: as much as every other, and what some do not need
    goes to the rest."""
    given: dict[str, int] = {}
    left, n_left = most, len(wanted)
    for run in sorted(wanted, key=lambda name: (wanted[name], name)):
        given[run] = min(wanted[run], left // n_left)
        left -= given[run]
        n_left -= 1
    return given


def runs_short(wanted: Mapping[str, int], given: Mapping[str, int]) -> set[str]:
    """Those that got less than they wanted."""
    return {run for run, n in wanted.items() if given.get(run, 0) < n}


def numbers(runs: Iterable[str]) -> dict[str, int]:
    """How often each is named."""
    counts: dict[str, int] = {}
    for run in runs:
        counts[run] = counts.get(run, 0) + 1
    return counts
