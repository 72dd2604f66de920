"""Each run's logs as one track, with settled times; what fails on one run stops no other."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from slurm_guard.audit import taut
from slurm_guard.audit.gather import Series
from slurm_guard.audit.track import Track, build


def said_of(error: Exception) -> str:
    """What failed, for a Skip."""
    return f"{type(error).__name__}: {error}"


Missed = list[tuple[str, str]]  # what could not be made for the whole night, and why
T = TypeVar("T")


def or_nothing(what: str, make: Callable[[], T], nothing: T, missed: Missed) -> T:
    """What `make` gives of all runs; where it fails `nothing`, and a word in `missed`: no verdict is lost."""
    try:
        return make()
    except OSError:  # of the disk where slices lie (slices.py), and not of what the night has
        raise
    except Exception as error:  # noqa: BLE001 - what looks at all runs must not cost them their verdicts
        missed.append((what, said_of(error)))
        return nothing


def settled(
    since: Mapping[int, float], series: dict[int, Series], problems: Mapping[int, tuple[str, ...]]
) -> tuple[dict[int, Series], dict[int, Track], dict[int, str]]:
    """Each run's series with settled times, its track, and what failed of which run. `since`: the runs by
    place, and from when on a record is the run's own (track.build)."""
    done: dict[int, Series] = {}
    found: dict[int, Track] = {}
    failed: dict[int, str] = {}
    for i, since_at in since.items():
        try:
            done[i] = [(name, taut.settle(marks)) for name, marks in series.get(i, [])]
            found[i] = build(done[i], None, problems.get(i, ()), since_at)
        except Exception as error:  # noqa: BLE001 - one bad run must not stop the night (law 7 of style)
            done[i], found[i], failed[i] = [], Track(), said_of(error)
    return done, found, failed
