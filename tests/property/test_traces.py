"""Laws of what losses are known by: any long enough stretch is told wherever it stands, nothing else is."""

from dataclasses import replace
from itertools import takewhile

from hypothesis import example, given, settings
from hypothesis import strategies as st

from slurm_guard.audit.fingerprint import Fingerprint
from slurm_guard.audit.replays import Seen, find_traces
from slurm_guard.audit.traces import GRAM, LEAST, PLAN, Heard
from slurm_guard.audit.track import Mark
from slurm_guard.lake.history import frame_of
from tests.builders import AT, World, run_of
from tests.unit.audit.test_traces import curve

WINDOW = (AT - 60, AT + 86_400.0)
PRINT = Fingerprint(None, None, "h100", 1, 1, "kv", "step")


def _heard(i: int, losses: list[float]) -> Heard:
    first = Mark(AT, AT, True, 0, None, None, 0.0, "train", 0, (), None, AT)
    return Heard(i, "log", tuple(losses), tuple(replace(first, at=AT + k) for k in range(len(losses))))


def _seen(older: list[list[float]], newer: list[float]) -> Seen | None:
    """What is told of a log beside others of the night before."""
    people = [run_of(World(), 10 + k, 2000 + k) for k in range(len(older))]
    heard = [_heard(k, losses) for k, losses in enumerate(older)]
    before = (AT - 86_400.0, AT - 60)
    rows = find_traces(people, heard, before, ([PRINT] * len(people), {}), None).rows
    past = frame_of("traces", [row for each in rows.values() for row in each])
    return find_traces([run_of(World())], [_heard(0, newer)], WINDOW, ([PRINT], {}), past).seen.get(0)


@st.composite
def _stretches(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """(losses of the older log, from and until of a stretch with three of its prints, own losses)."""
    n = draw(st.integers(LEAST + 40, 1500))
    apart = (n - GRAM) // (PLAN[0][1] - 1) + 1  # of two prints, at most
    length = draw(st.integers(min(n, 3 * apart + GRAM), n))
    begin = draw(st.integers(0, n - length))
    return n, begin, begin + length, draw(st.integers(0, 300))


def _n_alike(one: list[float], other: list[float]) -> int:
    """How many losses from the first on are the same to four digits."""
    both = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: f"{pair[0]:.4g}" == f"{pair[1]:.4g}", both))


@settings(deadline=None, max_examples=20)
@given(_stretches(), st.integers(0, 10**6))
@example((104, 1, 26, 1), 131071)  # the loss before the stretch is the same to four digits by chance
def test_any_stretch_with_three_prints_is_told_wherever_it_stands(
    cut: tuple[int, int, int, int], seed: int
) -> None:
    """What is counted is never more than what both have, and all of it but the ends."""
    n, begin, end, own = cut
    older = curve(n, seed)
    lead, rest = curve(own, seed + 2), curve(own, seed + 3)
    newer = lead + older[begin:end] + rest
    by_chance = _n_alike(lead[::-1], older[:begin][::-1]) + _n_alike(rest, older[end:])

    found = _seen([older, curve(n, seed + 1)], newer)

    assert found is not None
    assert found.run == run_of(World(), 10, 2000).id
    assert found.n <= end - begin + by_chance
    assert found.n >= end - begin - 2 * ((n - GRAM) // (PLAN[0][1] - 1) + 1) - 2
    assert found.n_runs == 1


@settings(deadline=None, max_examples=20)
@given(st.integers(LEAST, 800), st.integers(0, 10**6), st.integers(1, 30))
def test_losses_of_other_seeds_are_never_told(n: int, seed: int, others: int) -> None:
    assert _seen([curve(n, seed + 1 + k) for k in range(others)], curve(n, seed)) is None
