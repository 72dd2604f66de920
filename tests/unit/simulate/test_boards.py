"""The boards keep the laws that the rig and the demo lean on."""

import pytest

from slurm_guard.simulate.boards import REASON_POWER_CAP, Board, Grant, Load, share_out
from slurm_guard.simulate.physics import KINDS, MODELS


def _run(board: Board, loads: list[Load], for_s: float, dt_s: float = 0.05) -> dict[int, Grant]:
    """Summed grants per pid."""
    sums: dict[int, Grant] = {}
    for _ in range(round(for_s / dt_s)):
        for grant in board.step(dt_s, loads):
            old = sums.get(grant.pid, Grant(grant.pid, 0.0, 0.0, 0.0))
            sums[grant.pid] = Grant(
                grant.pid,
                old.held_s + grant.held_s,
                old.work_s + grant.work_s,
                old.energy_mj + grant.energy_mj,
            )
    return sums


@pytest.mark.parametrize("model", MODELS)
def test_an_idle_board_draws_its_idle_power_and_does_no_work(model: str) -> None:
    board = Board(MODELS[model], seed=1)

    _run(board, [], 120)

    low, high = board.spec.idle_w
    assert low * 0.95 <= board.power_w <= high * 1.05
    assert board.util_pct == 0
    assert board.totals()[1:8] == (0.0,) * 7


@pytest.mark.parametrize("model", MODELS)
def test_a_context_without_work_costs_power_but_no_utilisation(model: str) -> None:
    idle, held = Board(MODELS[model], seed=2), Board(MODELS[model], seed=2)

    _run(idle, [], 60)
    _run(held, [Load(7, "train", 0.0, 1000)], 60)

    assert held.power_w > idle.power_w + 5
    assert held.util_pct == 0
    assert held.used_mib() > 1000
    assert held.pid_use == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", MODELS)
def test_no_load_takes_a_board_beyond_its_limit(model: str, kind: str) -> None:
    board = Board(MODELS[model], seed=3)
    board.limit_w = board.spec.tdp_w * 0.6

    _run(board, [Load(1, kind, 1.0, 100), Load(2, "train", 1.0, 100)], 30)

    assert board.power_w <= board.limit_w * 1.03


def test_a_power_cap_slows_work_and_says_so() -> None:
    free, capped = Board(MODELS["a100"], seed=5), Board(MODELS["a100"], seed=5)
    capped.limit_w = 220.0

    fast = _run(free, [Load(1, "train", 1.0, 100)], 20)[1]
    slow = _run(capped, [Load(1, "train", 1.0, 100)], 20)[1]

    assert slow.work_s < fast.work_s * 0.95
    assert slow.held_s == pytest.approx(fast.held_s)
    assert capped.reasons & REASON_POWER_CAP


def test_spin_is_fully_busy_at_a_third_to_a_half_of_the_limit() -> None:
    shares = []
    for seed in range(20):
        board = Board(MODELS["h100"], seed=seed)
        _run(board, [Load(1, "spin", 1.0, 100)], 10)
        assert board.util_pct == 100
        shares.append(board.power_w / board.spec.tdp_w)

    assert min(shares) > 0.25
    assert max(shares) < 0.6
    assert max(shares) - min(shares) > 0.1  # the prior is wide (rulings 27)


def test_a_neighbour_takes_time_and_the_sum_is_less_than_the_board() -> None:
    board = Board(MODELS["h100"], seed=4)

    alone = _run(Board(MODELS["h100"], seed=4), [Load(1, "train", 1.0, 100)], 10)[1]
    both = _run(board, [Load(1, "train", 1.0, 100), Load(2, "hash", 0.25, 100)], 10)

    assert both[1].work_s < alone.work_s * 0.80
    assert both[1].held_s + both[2].held_s <= 10.0
    assert board.util_pct == 100
    assert set(board.pid_use) == {1, 2}


def test_two_streams_of_one_process_are_no_neighbours() -> None:
    board = Board(MODELS["h100"], seed=4)

    grants = board.step(1.0, [Load(1, "train", 0.8, 100), Load(1, "spin", 0.2, 100)])

    assert sum(grant.held_s for grant in grants) == pytest.approx(1.0)
    assert board.mem_mib == {1: 100 + board.traits.context_mib}


def test_a_finished_budget_ends_the_work() -> None:
    board = Board(MODELS["v100"], seed=4)

    grant = board.step(1.0, [Load(1, "train", 1.0, 100, None, 0.25)])[0]

    assert grant.work_s == pytest.approx(0.25, rel=0.05)


def test_energy_is_power_over_time_and_its_counter_never_goes_back() -> None:
    board = Board(MODELS["b200"], seed=6)
    joules, shown = 0.0, 0.0
    for i in range(2000):
        board.step(0.05, [Load(1, "train", 0.5 if i % 40 < 20 else 0.0, 100)])
        joules += board.power_w * 0.05
        assert board.totals().energy_mj >= shown
        shown = board.totals().energy_mj

    assert shown / 1000 == pytest.approx(joules * board.traits.energy_gain, rel=0.01)


def test_the_same_seed_gives_the_same_board() -> None:
    one, two, other = (Board(MODELS["h200"], seed=seed, index=1) for seed in (9, 9, 10))
    for board in (one, two, other):
        _run(board, [Load(3, "infer", 0.7, 100)], 5)

    assert one.totals() == two.totals()
    assert one.uuid == two.uuid != other.uuid
    assert one.totals() != other.totals()


def test_slices_are_max_min_fair() -> None:
    shares, yields = share_out([1.0, 0.1, 1.0], contention=0.0, switch_cost=0.0)

    assert shares == pytest.approx([0.45, 0.1, 0.45])
    assert yields == [1.0, 1.0, 1.0]
