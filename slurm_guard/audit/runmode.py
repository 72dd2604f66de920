"""The cheap mode over runs: the lowest cost that enough runs of enough nights and users share.

Extra work can only add to what a run cost. Nobody moves the mode alone: each run counts once, each user for a
few runs at most and for no more than half of what the others count.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

PEERS, OWN = "peers", "own-earlier"

# How many it takes. Judgement: two nights are two occasions, two users are not one person.
LEAST_RUNS = 3
LEAST_NIGHTS = 2
LEAST_USERS = 2  # other than the run's own
LEAST_OWN_RUNS = 4  # of one user's own earlier runs, the weaker source
USER_RUNS = 3.0  # runs that one user counts for at most
USER_SHARE = 0.5  # … and as a part of what all others count
# In thirds of a run: where nothing outside the job confirmed the log, it takes three to speak for two. A log
# that claims too much makes its run look cheap, and others dear. Judgement.
VOICE = {"observed": 3, "consistent": 3, "claimed-only": 2}
WHOLE = 3
REACH = 2.6  # sigmas around the mode's centre that belong to it: 99 % of normal noise

# Spread between honest runs of one fingerprint, relative. 1 % after, 20 % before nodes were qualified
# (arXiv:2605.17879), boards differ by 2 % (documented); the bounds are judgement.
SPREAD = 0.03
LEAST_SPREAD, MOST_SPREAD = 0.015, 0.10


@dataclass(frozen=True, slots=True)
class Sample:
    """One comparable run in one channel: logarithm of its cost, its own relative error, and whose it was."""

    run: str
    x: float
    error: float
    uid: int | None
    nights: frozenset[float]
    mem_mib: int | None
    is_dear: bool  # it was found to cost more than its peers: it counts for the share of the cheap mode alone
    is_cleared: bool = False  # a person found it right
    voice: int = WHOLE


@dataclass(frozen=True, slots=True)
class Mode:
    """The cheap mode over runs. `share`: its part of the weight of all runs."""

    centre: float  # logarithm
    inside: tuple[Sample, ...]
    weights: tuple[float, ...]
    share: float


def cheap_mode(samples: Iterable[Sample], kind: str) -> Mode | None:
    """The lowest level that enough runs, nights and users share; null where none is."""
    ordered = sorted(samples, key=lambda s: (s.x, s.run))
    weights = _weights(ordered)
    total = sum(weights.values())
    clean = [s for s in ordered if not s.is_dear]
    least_runs, least_users = (LEAST_RUNS, LEAST_USERS) if kind == PEERS else (LEAST_OWN_RUNS, 1)
    if not clean:
        return None
    reach = REACH * max(LEAST_SPREAD, SPREAD, median([s.error for s in clean]))
    for first in clean:
        near = [s for s in clean if first.x <= s.x <= first.x + 2 * reach]
        inside = _around(near, clean, reach)
        # its edge may have lent others' runs to one user's
        if all(_are_enough(part, least_runs, least_users) for part in (near, inside)):
            held = tuple(weights[s.run] for s in inside)
            return Mode(_middle(inside), inside, held, sum(held) / total if total > 0 else 0.0)
    return None


def _are_enough(samples: Iterable[Sample], least_runs: int, least_users: int) -> bool:
    return are_enough([(s.uid, s.voice, s.nights) for s in samples], least_runs, least_users)


def are_enough(
    who: Iterable[tuple[int | None, int, frozenset[float]]], least_runs: int, least_users: int
) -> bool:
    """Whether runs of (uid, voice, nights) are so many together, of so many users and of LEAST_NIGHTS."""
    told = list(who)
    users: dict[int | None, int] = {}
    for uid, voice, _ in told:
        users[uid] = max(users.get(uid, 0), voice)
    nights = frozenset[float]().union(*(found for _, _, found in told))
    return (
        sum(voice for _, voice, _ in told) >= WHOLE * least_runs
        and sum(users.values()) >= (WHOLE * least_users if least_users > 1 else 1)
        and len(nights) >= LEAST_NIGHTS
    )


def _around(near: list[Sample], clean: list[Sample], reach: float) -> tuple[Sample, ...]:
    """The runs around the middle of a cluster."""
    centre = _middle(near)
    return tuple(s for s in clean if abs(s.x - centre) <= reach)


def _middle(samples: Iterable[Sample]) -> float:
    """The weighted middle of a cluster, in which no user counts for more than a part of its others."""
    part = list(samples)
    weights = _weights(part)
    return weighted_median([(s.x, weights[s.run]) for s in part])


def _weights(samples: list[Sample]) -> dict[str, float]:
    """Each run's weight: its user's runs count as USER_RUNS at most, and where there are several other users
    as a part of what those count."""
    runs: dict[int | None, int] = {}
    for sample in samples:
        runs[sample.uid] = runs.get(sample.uid, 0) + 1
    capped = {uid: min(float(n), USER_RUNS) for uid, n in runs.items()}
    whole = sum(capped.values())
    if len(capped) > 2:  # of two users either would be more than half of the other
        capped = {uid: min(w, USER_SHARE * (whole - w)) for uid, w in capped.items()}
    return {s.run: capped[s.uid] / runs[s.uid] for s in samples}


def weighted_median(pairs: Iterable[tuple[float, float]]) -> float:
    """The value below and above which half of the weight lies; pairs (value, weight) must not be empty."""
    ordered = sorted(pairs)
    half = 0.5 * sum(w for _, w in ordered)
    seen = 0.0
    for k, (value, weight) in enumerate(ordered):
        seen += weight
        if abs(seen - half) <= 1e-9 and k + 1 < len(ordered):
            return 0.5 * (value + ordered[k + 1][0])
        if seen > half:
            return value
    return ordered[-1][0]
