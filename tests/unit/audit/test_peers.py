"""The cost of progress from comparable runs: who vouches, who cannot move it, and what a run is held to."""

import random
from dataclasses import replace

import pytest

from slurm_guard.audit.fingerprint import Fingerprint
from slurm_guard.audit.peers import Peers, Who, find_peers, recall, shrunk
from slurm_guard.audit.runmode import LEAST_SPREAD, MOST_SPREAD, OWN, PEERS, SPREAD, weighted_median
from slurm_guard.history import PastCost
from slurm_guard.lake.history import frame_of

PRINT = Fingerprint("s", "p", "H100", 2, 1, "kv", "tokens")
ME = Who(1000, "lab", 40_000)
CHANNELS = ("energy", "busy")
ROW = PastCost(
    cluster="c", run="", from_at=0.0, until_at=1.0, uid=1, account="lab", partition="gpu", gpu_model="H100",
    n_gpus=2, n_nodes=1, settings="s", code="p", source="kv", unit="tokens", channel="energy", theta=100.0,
    rel_error=0.016, rel_noise=0.01, n_blocks=100, mean_cost=100.0, levels="", mem_mib=40_000,
    coverage_pct=99.0, verdict="CLEAR", trust="observed", families="", is_dear=False, is_split=False,
    hidden_share=0.03,
)  # fmt: skip


def _runs(uid: int, n: int, cost: float = 100.0, seed: int = 1, **cells: object) -> list[PastCost]:
    """`n` runs of a user, one a night, within 1 % of a cost."""
    rng = random.Random(f"{uid}/{seed}")
    found = []
    for k in range(n):
        theta = cost * (1 + 0.01 * rng.uniform(-1, 1))
        one = replace(ROW, run=f"c/{uid}.{seed}.{k}/0", uid=uid, from_at=86_400.0 * k, theta=theta, **cells)  # type: ignore[arg-type]
        found += [replace(one, channel=channel) for channel in CHANNELS]
    return found


def _peers(rows: list[PastCost], said: dict[str, str] | None = None) -> Peers | None:
    return find_peers(recall(frame_of("costs", rows), [PRINT], said), PRINT, ME, CHANNELS)


def test_runs_of_two_other_users_in_two_nights_are_peers() -> None:
    found = _peers(_runs(1, 2) + _runs(2, 2))

    assert found is not None
    assert (found.kind, found.n_runs, found.n_nights, found.n_users) == (PEERS, 4, 2, 2)
    assert found.costs["energy"].value == pytest.approx(100, rel=0.01)
    assert LEAST_SPREAD < found.costs["energy"].error < 0.05


@pytest.mark.parametrize(
    ("what", "rows"),
    [
        ("one other user, too few runs of hers", _runs(1, 3)),
        ("two runs", _runs(1, 1) + _runs(2, 1)),
        ("one night", [replace(r, from_at=0.0) for r in _runs(1, 3) + _runs(2, 3)]),
        ("hours of one day", [replace(r, from_at=r.from_at / 24) for r in _runs(1, 3) + _runs(2, 3)]),
        ("another world size", _runs(1, 3, n_gpus=4) + _runs(2, 3, n_gpus=4)),
        ("other settings", _runs(1, 3, settings="t") + _runs(2, 3, settings="t")),
        ("no known settings", _runs(1, 3, settings=None) + _runs(2, 3, settings=None)),
        ("another unit", _runs(1, 3, unit="step") + _runs(2, 3, unit="step")),
        ("nothing agreed with one user's log", _runs(1, 3, trust="claimed-only") + _runs(2, 3)),
        ("their logs were denied", _runs(1, 3, trust="contradicted") + _runs(2, 3, trust="none")),
        ("something spoke against them", _runs(1, 3, families="B") + _runs(2, 3, families="F")),
        ("others worked beside them", _runs(1, 3, is_split=True) + _runs(2, 3, is_split=True)),
        ("much was left open", _runs(1, 3, hidden_share=0.4) + _runs(2, 3, hidden_share=0.4)),
        ("half was not seen", _runs(1, 3, coverage_pct=50.0) + _runs(2, 3, coverage_pct=50.0)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_too_little_is_no_yardstick(what: str, rows: list[PastCost]) -> None:
    assert _peers(rows) is None, what


def test_where_nothing_confirmed_the_logs_it_takes_three_users() -> None:
    found = _peers([row for uid in (1, 2, 3) for row in _runs(uid, 2, trust="claimed-only")])

    assert found is not None
    assert (found.kind, found.n_users) == (PEERS, 3)


def test_four_of_the_users_own_runs_are_the_weaker_source() -> None:
    found = _peers(_runs(1000, 4))

    assert found is not None
    assert (found.kind, found.n_users) == (OWN, 1)
    assert _peers(_runs(1000, 3)) is None


def test_a_users_own_runs_are_not_among_her_peers() -> None:
    without = _peers(_runs(1, 3) + _runs(2, 3))
    beside = _peers(_runs(1, 3) + _runs(2, 3) + _runs(1000, 40, cost=140.0))

    assert without is not None
    assert beside is not None
    assert beside.costs["energy"].value == without.costs["energy"].value
    assert not beside.is_mixed


@pytest.mark.parametrize("cost", [60.0, 92.0, 108.0, 140.0])
@pytest.mark.parametrize("n", [1, 5, 60])
def test_no_single_user_moves_the_yardstick(cost: float, n: int) -> None:
    honest = [row for uid in (1, 2, 3, 4) for row in _runs(uid, 3)]

    found = _peers(honest + _runs(9, n, cost=cost))

    assert found is not None
    assert found.costs["energy"].value == pytest.approx(100, rel=0.02)
    assert not found.is_mixed


def test_runs_that_were_found_dear_vouch_for_nobody_and_make_the_rest_doubtful_once_they_are_many() -> None:
    few = _peers(_runs(1, 4) + _runs(2, 4) + _runs(3, 2, cost=130.0, is_dear=True))
    many = _peers(
        _runs(1, 3) + _runs(2, 3) + _runs(3, 3, 130.0, is_dear=True) + _runs(4, 3, 130.0, is_dear=True)
    )

    assert few is not None
    assert many is not None
    assert few.costs["energy"].value == pytest.approx(100, rel=0.01)
    assert many.costs["energy"].value == pytest.approx(100, rel=0.01)
    assert not few.is_mixed
    assert many.is_mixed


def test_faster_code_of_some_makes_the_yardstick_doubtful_for_those_who_keep_the_old() -> None:
    found = _peers([row for uid in (1, 2, 3, 4) for row in _runs(uid, 3, cost=75.0 if uid < 3 else 100.0)])

    assert found is not None
    assert found.costs["energy"].value == pytest.approx(75, rel=0.02)
    assert found.is_mixed


def test_a_persons_word_takes_a_run_out_or_lets_it_in() -> None:
    flagged = _runs(1, 3, families="B") + _runs(2, 3)
    wrong = {row.run: "wrong" for row in flagged if row.uid == 1}
    right = {row.run: "right" for row in flagged if row.uid == 2}

    assert _peers(flagged) is None
    cleared = _peers(flagged, wrong)
    assert cleared is not None
    assert cleared.n_users == 2
    assert cleared.cleared["energy"] == pytest.approx(100, rel=0.02)
    assert _peers(_runs(1, 3) + _runs(2, 3), right) is None


def test_a_run_of_many_nights_counts_once() -> None:
    long = [replace(row, run="c/7/0", from_at=86_400.0 * k) for k, row in enumerate(_runs(1, 9))]

    assert _peers(long) is None


def test_spread_between_runs_is_drawn_from_level_to_level() -> None:
    assert shrunk([]) == SPREAD
    assert shrunk([(0.0, 1000)]) == LEAST_SPREAD
    assert shrunk([(0.5, 1000)]) == MOST_SPREAD
    wide, narrow = (0.06, 30), (0.02, 4)
    assert 0.02 < shrunk([wide, narrow]) < shrunk([wide])
    assert shrunk([wide, (0.02, 30)]) < shrunk([wide, narrow])


def test_the_median_counts_weights() -> None:
    assert weighted_median([(1.0, 1.0), (2.0, 1.0), (9.0, 1.0)]) == 2.0
    assert weighted_median([(1.0, 1.0), (9.0, 1.0)]) == 5.0
    assert weighted_median([(1.0, 0.2), (2.0, 0.2), (9.0, 1.0)]) == 9.0
