"""Real logs as runs of many users: no two of them have losses in common, and each is known again."""

import itertools
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from slurm_guard.audit.fingerprint import Fingerprint
from slurm_guard.audit.replays import Spans, find_traces
from slurm_guard.audit.traces import GRAM, LEAST, Heard, all_grams, lay
from slurm_guard.audit.track import Mark
from slurm_guard.config import ProgressConfig
from slurm_guard.progress.show import read_paths
from tests.builders import AT, World, run_of

DATA = Path(__file__).parents[2].parent / "shared" / "data"
WINDOW = (AT, AT + 1e6)
PRINT = Fingerprint(None, None, "h100", 1, 1, "", "")
Log = tuple[str, tuple[float, ...]]  # the folder of its run, its losses


@cache
def _logs() -> tuple[Log, ...]:
    """Every track of training losses under the shared data, by the run that wrote it."""
    if not DATA.is_dir():
        pytest.skip("the shared data folder does not stand beside the checkout")
    found: list[Log] = []
    for path in sorted(itertools.chain(*((DATA / top).rglob("*") for top in ("progress", "paired")))):
        if not path.is_file() or path.suffix in (".md", ".json"):
            continue
        tracks: dict[tuple[int, str], list[float]] = {}
        for point in read_paths([str(path)], ProgressConfig()).points:
            if point.loss is not None and point.phase == "train":
                tracks.setdefault((point.file, point.track), []).append(point.loss)
        # Tables and event files of one attempt lie in one folder; MLPerf's results are runs of their own.
        whose = str(path) if path.name.startswith("result_") else str(path.parent)
        found += [(whose, tuple(losses)) for losses in tracks.values()]
    return tuple(found)


def test_no_two_runs_have_sixteen_losses_in_common() -> None:
    """MLPerf's runs of one submitter differ in their seed alone."""
    logs = [one for one in _logs() if len(one[1]) >= GRAM]
    names = [name for name, _ in logs]
    rows = (frame for frame in all_grams(lay([Heard(0, "", losses, ()) for _, losses in logs])))
    owners: dict[int, set[str]] = {}
    for frame in rows:
        for q, h in frame.select("q", "h").iter_rows():
            owners.setdefault(h, set()).add(names[q])

    assert [sorted(runs) for runs in owners.values() if len(runs) > 1] == []
    assert len(set(names)) >= 24


def _heard(i: int, losses: tuple[float, ...], at: float) -> Heard:
    marks = [
        Mark(at + k, at + k, True, k, None, None, x, "train", 0, (), None, at) for k, x in enumerate(losses)
    ]
    return Heard(i, f"log{i}", losses, tuple(marks))


def test_each_run_is_known_again_when_it_is_printed_with_six_digits_and_no_other_is() -> None:
    runs = [one for one in _logs() if len(one[1]) >= LEAST]
    names = list(dict.fromkeys(name for name, _ in runs))
    older = [_heard(names.index(name), losses, AT) for name, losses in runs]
    newer = [
        _heard(len(names) + k, tuple(float(f"{x:.6g}") for x in one.losses), AT + 5000)
        for k, one in enumerate(older)
    ]
    people = [run_of(World(), 100 + k, 2000 + k) for k in range(len(names) + len(newer))]
    known: tuple[list[Fingerprint], dict[int, Spans]] = ([PRINT] * len(people), {})

    seen = find_traces(people, [*older, *newer], WINDOW, known, None).seen

    assert len(runs) >= 15
    assert {i: s.run for i, s in seen.items()} == {
        len(names) + k: people[one.i].id for k, one in enumerate(older)
    }
    assert (
        min(s.n / s.of for s in seen.values()) > 0.5
    )  # where a curve is flat to four digits it says nothing
    assert Counter(s.n_users for s in seen.values()).most_common(1)[0][0] <= 2
