"""What runs could compute, from the boards that were seen."""

from dataclasses import replace

import polars as pl
import pytest

from slurm_guard.audit.boards import Board, boards_of, reaches
from slurm_guard.audit.peaks import FASTEST
from tests.builders import World, run_of

T = 1e12
H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB"


def boards(*rows: tuple[int, str, str, str | None]) -> dict[int, tuple[Board, ...]]:
    """(run, GPU, model, profile), each cell twice, idle at 70 of 700 W."""
    schema = {"i": pl.Int64, "node": pl.String, "gpu": pl.String, "model": pl.String, "mig": pl.String}
    frame = pl.DataFrame(
        [(i, "n1", gpu, model, mig) for i, gpu, model, mig in rows * 2], schema=schema, orient="row"
    )
    return boards_of(frame.with_columns(pl.lit(700_000.0).alias("limit"), pl.lit(70_000.0).alias("idle")))


def test_a_run_has_the_sum_of_its_boards() -> None:
    run = run_of(World(gpus=2))

    found = reaches(boards((0, "a", H100, None), (0, "b", A100, None)), [run], [0])[0]

    assert found.dense == (989 + 312) * T
    assert found.most == found.user_most == (3958 + 1248) * T
    assert found.range_mw == 2 * 630_000


def test_a_board_that_nobody_saw_counts_as_the_fastest_for_the_ceiling() -> None:
    run = run_of(World(gpus=3))

    found = reaches(boards((0, "a", A100, None), (0, "b", A100, None)), [run], [0])[0]

    assert found.most == 2 * 1248 * T + FASTEST
    assert found.dense == 3 * 312 * T


def test_a_run_with_an_unknown_board_is_left_out() -> None:
    run = run_of(World(gpus=2))

    assert not reaches(boards((0, "a", A100, None), (0, "b", "Some Board", None)), [run], [0])


def test_a_run_whose_boards_nobody_saw_is_left_out() -> None:
    assert not reaches(boards(), [run_of(World(gpus=1))], [0])


def test_an_instance_has_its_part_and_no_power() -> None:
    found = reaches(boards((0, "a", f"{H100} MIG 3g.40gb", "3g.40gb")), [run_of(World(gpus=1))], [0])[0]

    assert found.most == pytest.approx(3958 * T * 4 / 7)
    assert found.range_mw is None


def test_the_users_other_gpus_count_while_they_were_held_at_once() -> None:
    mine = run_of(World(gpus=1))
    beside = replace(mine, id="c/8/1", job_id=8)
    later = replace(mine, id="c/9/1", job_id=9, from_at=mine.until_at, until_at=mine.until_at + 60)
    another = replace(mine, id="c/10/1", job_id=10, uid=4711)
    seen = boards(*((i, str(i), H100, None) for i in range(4)))

    found = reaches(seen, [mine, beside, later, another], [0])

    assert list(found) == [0]
    assert found[0].most == 3958 * T
    assert found[0].user_most == 2 * 3958 * T


def test_unknown_boards_of_the_users_other_jobs_count_as_the_fastest() -> None:
    mine = run_of(World(gpus=1))
    beside = replace(mine, id="c/8/1", job_id=8, n_gpus=4)

    found = reaches(boards((0, "a", H100, None), (1, "b", "Some Board", None)), [mine, beside], [0])

    assert found[0].user_most == 3958 * T + 4 * FASTEST
