"""The adversarial world keeps its books: same seed, same rows; what is diverted is what the sides took."""

import argparse
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench import adversarial
from bench.world import courses, diverting, forging_shared, honest_phases, score
from bench.world.draw import draw
from bench.world.families import edited, families
from bench.world.loops import Printer
from bench.world.physics import UID, Truth, World
from bench.world.score import Outcome, wilson
from bench.world.spec import Course, Forged, Spec
from bench.world.tables import EPOCH_AT, Place, Tables, write_run

_WORLD = Path(adversarial.__file__).parent / "world"


def _rows(*words: str) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser()
    adversarial.add_options(parser)
    return adversarial.measure(parser.parse_args(["--honest", "1", "--diverting", "1", *words]))


def _lived(family: Callable[[Random, float], Spec], seed: str, share: float = 0.25) -> World:
    rng = Random(seed)
    world = World(family(rng, share), rng)
    world.live()
    return world


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    of = ("--family", "second_mid", "--family", "forged_shared_stop")

    first, again, other = _rows(*of), _rows(*of), _rows(*of, "--seed", "2")

    assert first == again
    assert first != other


def test_rows_have_the_same_keys_and_no_fault() -> None:
    rows = _rows("--family", "plain", "--family", "second_mid", "--family", "forged_noise")

    assert [row["what"] for row in rows[:3]] == ["plain", "second_mid", "forged_noise"]
    assert len({tuple(row) for row in rows}) == 1
    assert [row["faults"] for row in rows] == [0] * 6
    assert [row["forged"] for row in rows] == [0, 0, 1, 0, 0, 1]


def test_diverted_time_is_what_the_sides_took() -> None:
    rng = Random("books")
    world = World(diverting.second_mid(rng, 0.25), rng)

    truth = world.live()

    taken = {name: process.gpu_ms for name, process in world.processes.items()}
    assert truth.diverted_gpu_ms == pytest.approx(taken["side"])
    assert truth.work_gpu_ms == pytest.approx(sum(taken.values()))
    assert 0 < truth.work_gpu_ms <= truth.allocated_gpu_ms


def test_the_rows_of_the_lake_tell_each_process_its_factor_of_its_time() -> None:
    world = _lived(diverting.second_mid, "shares")
    tables = Tables()

    write_run(tables, world, Place("n0", 100))

    process = world.processes["side"]
    told = sum(row["sm_ms"] for row in tables.rows["shares"] if row["pid"] == process.pid)
    assert told == pytest.approx(process.gpu_ms * process.sm_factor, rel=0.02)


def test_windows_cover_the_run_and_power_stays_within_the_board() -> None:
    world = _lived(lambda rng, _: draw(rng, n_gpus=1), "windows")
    board = world.boards[0]

    assert sum(window.tally.n for window in world.windows) == world.spec.length_s
    for window in world.windows:
        mean_w = window.tally.energy_j / window.tally.n
        assert 0.8 * board.idle_w < mean_w < 1.2 * board.limit_w


def test_a_step_takes_the_gpu_time_that_it_costs() -> None:
    def only_steps(rng: Random, _: float) -> Spec:
        spec = draw(rng, n_gpus=1, step_gpu_s=0.4, cost_walk=0.0)
        spec.stages = [spec.loop]
        return spec

    world = _lived(only_steps, "cost")

    assert world.processes["r0.0"].gpu_ms / world.loop.step == pytest.approx(400, rel=0.02)


def test_a_printer_prints_at_its_pace_and_rests_with_its_course() -> None:
    rest = courses.stopped([(100.0, 200.0)])
    printer = Printer(Random(1), Forged(2.0, 0.0, first_s=2.0, course=rest))

    printed = [at_s for second in range(300) for at_s in printer.advance(float(second))]

    assert printed == [*range(2, 101, 2), *range(202, 301, 2)]


def test_a_copied_log_has_the_times_of_its_model() -> None:
    printer = Printer(Random(1), Forged(2.0, 0.0, instants_s=(1.5, 2.0, 7.25)))

    printed = [at_s for second in range(10) for at_s in printer.advance(float(second))]

    assert printed == [1.5, 2.0, 7.25]


@pytest.mark.parametrize(
    ("course", "stopped_s"),
    [
        (courses.beats(100, 10, 2.5, 5), 25.0),
        (courses.stopped([(3, 5), (90, 100)]), 12.0),
        (courses.between(10, 20, 0.5), 5.0),
    ],
)
def test_a_course_takes_as_much_time_as_it_says(course: Course, stopped_s: float) -> None:
    assert sum(1 - course(float(second)) for second in range(100)) == pytest.approx(stopped_s)


def test_a_forged_log_and_its_work_rest_together() -> None:
    world = _lived(forging_shared.forged_shared_stop, "rest")
    forged, work = world.spec.forged, world.spec.stages[-1]

    assert forged is not None
    rests = [second for second in range(int(world.spec.length_s)) if forged.course(second) == 0]
    assert rests
    assert all(work.course(second) == 0 for second in rests)
    assert not [record for record in world.records if int(record.at_s) in rests[1:]]


def test_a_restart_takes_no_counter_forward() -> None:
    world = _lived(lambda rng, _: honest_phases.step_back(rng), "back")
    told = [(record.segment, record.step) for record in world.records if record.step is not None]

    begins = [(before[1], after[1]) for before, after in itertools.pairwise(told) if after[0] > before[0]]

    assert begins
    assert all(again <= reached + world.spec.log_every for reached, again in begins)


def test_every_family_says_its_reason_and_draws_the_same_run_twice() -> None:
    every = [*families(), *edited()]
    assert len({family.name for family in every}) == len(every)

    for family in every:
        first, again = (_drawn(family.draw(Random(family.name), 0.25)) for _ in range(2))
        assert first == again, family.name
        assert family.reason.endswith((".", ":")), family.name


def _drawn(spec: Spec) -> tuple[object, ...]:
    """What of a drawn run can be compared: all but its courses."""
    return spec.board, spec.length_s, spec.log_every, spec.is_log_forged, [s.length_s for s in spec.stages]


def test_a_printed_log_counts_as_forged_and_no_honest_one_does() -> None:
    for family in families():
        first = family.draw(Random(family.name), 0.25)
        assert first.is_log_forged or first.forged is None, family.name
        assert not (family.is_honest and first.is_log_forged), family.name


def test_earlier_nights_are_the_same_training_without_what_diverts() -> None:
    for family in (family for family in families() if not family.is_honest):
        spec = family.draw(Random(family.name), 0.25)
        before = family.before(spec)
        assert before is None or not [side for side in before.sides if side.diverted], family.name
        assert before is None or not before.is_log_forged, family.name


def test_an_edited_family_was_cheaper_before() -> None:
    for family in edited():
        spec = family.draw(Random(family.name), 0.0)
        before = family.before(spec)

        assert before is not None
        assert before.loop.cost < spec.loop.cost
        assert before.step_gpu_s == spec.step_gpu_s


def test_a_history_is_of_other_users_and_ends_before_the_night() -> None:
    family = next(family for family in families() if family.name == "short_job")

    rows = score._earlier(family, 3, "1", 3)

    assert {row.run.rsplit(".", 1)[1] for row in rows} == {"0", "1", "2"}
    assert UID not in {row.uid for row in rows}
    assert len({row.settings for row in rows}) == 2
    assert max(row.until_at for row in rows) <= EPOCH_AT


def test_the_world_knows_nothing_of_the_audit_or_the_simulator() -> None:
    files = [path for path in _WORLD.glob("*.py") if path.name != "score.py"]
    assert len(files) > 10

    known = {
        path.name for path in files if re.search(r"slurm_guard\.(audit|simulate)", path.read_text("utf-8"))
    }

    assert known == set()


def test_the_page_keeps_its_words_and_gets_new_tables(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- tables: begin -->\nold\n<!-- tables: end -->\nafter\n", "utf-8")

    _rows("--family", "plain", "--page", str(page))

    text = page.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| plain | 1 |" in text


def test_a_diversion_of_a_tenth_must_be_flagged_and_an_honest_run_must_not() -> None:
    tenth, less = Truth(100.0, 1000.0, 2000.0), Truth(99.0, 1000.0, 2000.0)

    assert Outcome(False, False, tenth, None, 0).counts
    assert not Outcome(False, False, less, None, 0).counts
    assert Outcome(True, False, Truth(0.0, 0.0, 2000.0), None, 0).counts


def test_the_interval_of_no_hit_in_ten_is_wilsons() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 27.75), abs=0.01)
    assert wilson(0, 0) == (None, None)


def test_what_is_diverted_in_a_gap_is_told_apart() -> None:
    spec = diverting.second_from_start(Random(1), 0.25)
    whole = World(spec, Random(2)).live()
    spec.gaps = ((0.0, spec.length_s + spec.watch_s),)
    unseen = World(spec, Random(2)).live()

    assert whole.unseen_gpu_ms == 0 < whole.diverted_gpu_ms
    assert unseen.unseen_gpu_ms == pytest.approx(unseen.diverted_gpu_ms)
