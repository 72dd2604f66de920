"""Laws of gross, new and redone progress, against a count that looks at each unit by itself."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_guard.audit.redone import Repeats, find_repeats
from slurm_guard.audit.track import Mark, Track, build
from slurm_guard.audit.trainings import Kin, Shelf
from tests.builders import World, run_of

KIN = Kin(run_of(World()), None, (0.0, 1.0), Shelf())
EVERY = 4  # units from record to record
LEAST = 40  # a resume lies above: well beyond what counts as a first value
Stretch = tuple[int, int]  # counters, both multiples of EVERY


@st.composite
def histories(draw: st.DrawFn) -> list[Stretch]:
    """Stretches of a log; each falls below how far the one before came: to a checkpoint, or a first value."""
    found: list[Stretch] = []
    low = draw(st.sampled_from([0, 0, 50 * EVERY]))
    for _ in range(draw(st.integers(1, 6))):
        high = low + EVERY * draw(st.integers(2, 60))
        found.append((low, high))
        checkpoints = [0, *range(LEAST, high - EVERY, EVERY)]
        low = draw(st.sampled_from(checkpoints))
    return found


def marks_of(history: list[Stretch], every: int = EVERY) -> list[Mark]:
    """One second a unit; a minute between two stretches."""
    at, found = 1000.0, []
    for segment, (low, high) in enumerate(history):
        at += 60.0
        found += [
            Mark(at + step - low, None, True, step, None, None, None, "train", segment, ())
            for step in range(low + every, high + 1, every)
        ]
        at += high - low
    return found


def read(marks: list[Mark]) -> tuple[Track, Repeats]:
    track = build([("log", marks)], None, ())
    found = find_repeats(track, KIN)
    assert found is not None
    return track, found


def naive(track: Track) -> tuple[int, int, int]:
    """(new, redone, trainings): each unit of each arc by itself, in the order in which it was made."""
    n_trainings, new, redone = 0, 0, 0
    passed: range = range(0)
    before: range = range(0)
    segment = -1
    for arc in track.arcs:
        if arc.segment != segment:
            if segment == -1 or arc.begin <= 3 * EVERY:
                n_trainings, passed = n_trainings + 1, range(int(arc.begin), int(arc.begin))
            segment, before = arc.segment, passed
        for unit in range(int(arc.begin), int(arc.end)):
            if unit in before:
                redone += 1
            else:
                new += 1
        passed = range(min(passed.start, int(arc.begin)), max(passed.stop, int(arc.end)))
    return new, redone, n_trainings


@settings(max_examples=150, deadline=None)
@given(histories())
def test_new_and_redone_units_agree_with_the_naive_count(history: list[Stretch]) -> None:
    track, found = read(marks_of(history))

    new, redone, n_trainings = naive(track)

    assert sum(found.redone) == redone
    assert track.units - sum(found.redone) == new
    assert len(found.grounds) == n_trainings


@settings(max_examples=150, deadline=None)
@given(histories())
def test_gross_is_new_and_redone_and_new_is_never_more_than_the_ground(history: list[Stretch]) -> None:
    track, found = read(marks_of(history))

    parts = list(zip(track.arcs, found.redone, found.earlier, found.perhaps, strict=True))

    assert all(0 <= redone <= arc.units for arc, redone, _, _ in parts)
    assert all(earlier == 0 for _, _, earlier, _ in parts)
    assert all(0 <= perhaps <= arc.units - redone for arc, redone, _, perhaps in parts)
    assert track.units - sum(found.redone) <= sum(g.high - g.low for g in found.grounds)
    assert len(found.resumed_at) + len(found.begun_at) == len(history) - 1


@settings(max_examples=80, deadline=None)
@given(histories(), st.integers(0, 10**6))
def test_order_and_duplicates_of_records_do_not_matter(history: list[Stretch], seed: int) -> None:
    marks = marks_of(history)
    rng = random.Random(seed)
    mixed = [*marks, *rng.choices(marks, k=5)]
    rng.shuffle(mixed)

    one, other = read(marks), read(mixed)

    assert (other[0].arcs, other[1]) == (one[0].arcs, one[1])


@settings(max_examples=80, deadline=None)
@given(histories())
def test_records_between_records_do_not_matter(history: list[Stretch]) -> None:
    """A log that tells each step: what it repeats is the same. What lies before a resume's first record is in
    no arc, so that both begin at the same one."""
    sparse = marks_of(history)
    firsts = {m.segment: m.step or 0 for m in reversed(sparse) if history[m.segment][0] > 0}
    dense = [m for m in marks_of(history, 1) if (m.step or 0) >= firsts.get(m.segment, 0)]

    # Where a log began above its first value, what its first record took is guessed from its pace.
    play = 0 if history[0][0] == 0 else (EVERY - 1) * len(history)
    assert abs(sum(read(dense)[1].redone) - sum(read(sparse)[1].redone)) <= play


@settings(max_examples=80, deadline=None)
@given(histories(), histories())
def test_what_an_earlier_run_had_made_only_moves_units_from_new_to_redone(
    one: list[Stretch], two: list[Stretch]
) -> None:
    shelf = Shelf()
    earlier = replace(KIN, run=replace(KIN.run, id="c/7/1"))
    first = find_repeats(build([("log", marks_of(one))], None, ()), earlier)
    assert first is not None
    shelf.add(first.grounds)
    later = [replace(m, at=m.at + 50_000) for m in marks_of(two)]

    track, alone = read(later)
    found = find_repeats(track, replace(KIN, shelf=shelf))

    assert found is not None
    assert sum(found.redone) >= sum(alone.redone)
    assert all(e <= r <= a.units for e, r, a in zip(found.earlier, found.redone, track.arcs, strict=True))
    # Ground that both passed is what the later one may repeat at most, for each time that it came there.
    assert sum(found.earlier) <= len(two) * sum(g.high - g.low for g in first.grounds)
