"""The detection benchmark: exact intervals, the same run in any selection, records that survive."""

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench import detection
from bench.detect import (
    classes,
    compare,
    forests,
    night,
    own_honest,
    page,
    past,
    plan,
    replay,
    report,
    scenarios,
    senses,
    state,
    wire,
)
from bench.detect.equip import HARDSHIPS, equip
from bench.detect.figures import clopper_pearson, quantile, winkler
from bench.detect.night import NIGHT, Order, Record, play
from bench.detect.own_diverting import inproc_ramps
from bench.detect.violations import VIOLATIONS
from bench.world import honest_phases
from bench.world.draw import Site, at, draw
from bench.world.physics import World
from bench.world.spec import Spec
from bench.world.tables import Place, Tables, write_run
from slurm_guard.wire import LogFile, Point

_DETECT = Path(report.__file__).parent
_DATA = state.ROOT.parent / "shared" / "data"


def _options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    detection.add_options(parser)
    return parser.parse_args(list(words))


# -- figures


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (3, 10, 0.0667, 0.6525),
        (10, 10, 0.6915, 1.0),
        (0, 3000, 0.0, 0.00123),
        (0, 0, 0, 1),
    ],
)
def test_the_interval_of_a_rate_is_clopper_and_pearsons(hits: int, n: int, low: float, high: float) -> None:
    assert clopper_pearson(hits, n) == pytest.approx((low, high), abs=1e-4)


def test_a_wide_interval_and_a_missed_truth_both_cost() -> None:
    assert winkler(1.0, 3.0, 2.0) == pytest.approx(2.0)
    assert winkler(1.0, 3.0, 3.5) == pytest.approx(2.0 + 40 * 0.5)
    assert winkler(1.0, 3.0, 0.0) == pytest.approx(2.0 + 40 * 1.0)


def test_a_quantile_lies_between_its_neighbours() -> None:
    assert quantile([1.0, 2.0, 4.0], 0.5) == 2.0
    assert quantile([1.0, 3.0], 0.25) == 1.5
    assert quantile([], 0.5) is None


# -- what is played


def test_the_kth_run_is_the_same_in_any_selection_and_another_seed_gives_others() -> None:
    order = Order("honest", "A100", "short_job", 1, "a")

    again = play(order)

    assert play(order) == again
    assert [record["k"] for record in again] == list(range(NIGHT, 2 * NIGHT))
    assert play(Order("honest", "A100", "short_job", 1, "b")) != again
    assert [record["faults"] for record in again] == [0] * NIGHT


def test_every_row_of_the_scenarios_is_a_family_or_said_to_be_elsewhere() -> None:
    rows = {f"D{k:02}" for k in (*range(1, 6), 7, 8, *range(10, 17), 18, 19)}
    rows |= {f"B{k:02}" for k in (*range(1, 7), *range(8, 12), 13, 14, 16, 17)}

    here = {row for one in scenarios.scenarios() for row in one.ids}

    assert here | set(scenarios.ELSEWHERE) == rows


def test_there_are_ten_and_more_held_out_families_on_both_sides() -> None:
    own = [one for one in scenarios.scenarios() if one.is_own]

    assert sum(one.is_honest for one in own) >= 10
    assert sum(not one.is_honest for one in own) >= 10
    assert len({one.name for one in scenarios.scenarios()}) == len(scenarios.scenarios())


def test_boards_tell_what_their_generation_can() -> None:
    told = {gpu.name: gpu.measured(Random(1)) - {"cycles"} for gpu in classes.CLASSES}

    assert all("pipes" in told[name] for name in ("H100", "H200", "B200"))
    assert all("pipes" not in told[name] and "energy" in told[name] for name in ("V100", "A100"))
    assert told["MIG"] == {"list"}


def test_a_run_is_given_its_class_and_one_hardship() -> None:
    found = set()
    for k in range(40):
        spec = draw(Random(k))
        found.add(equip(spec, classes.of_name("H200"), Random(k)))
        assert spec.board == "H200"

    assert found == set(HARDSHIPS)


def test_ranks_that_wait_keep_their_pipes_empty() -> None:
    hang, link = honest_phases.hang(Random(1)), own_honest.slow_link(Random(1))

    for spec in (hang, link):
        equip(spec, classes.of_name("H100"), Random(1))

    assert hang.stages[-1].mix is not None
    assert hang.stages[-1].mix[0] == 0.0
    assert [side.mix is not None and side.mix[0] == 0.0 for side in link.sides] == [True]
    assert hang.loop.mix is None


def test_a_clock_that_is_off_still_shows_whole_seconds() -> None:
    spec = draw(Random(1), n_gpus=1, log_clock_s=1.0, length_s=2400.0, log_clock_off_s=1.7)
    spec.log_clock_drift = 1e-4
    world = World(spec, Random(1))
    world.live()
    tables = Tables()

    write_run(tables, world, Place("n0", 100))

    told = [row["at"] for row in tables.rows["points"]]
    assert told
    assert all(at_s == int(at_s) for at_s in told)


def test_a_site_says_how_large_its_runs_are() -> None:
    with at(Site(("V100",), (8,), (7200.0,), (60.0,))):
        there = draw(Random(1))

    assert (there.board, there.n_gpus, there.length_s) == ("V100", 8, 7200.0)
    assert draw(Random(1)).n_gpus <= 4


@pytest.mark.parametrize("violation", VIOLATIONS, ids=lambda one: one.name)
def test_a_suite_changes_what_its_name_says(violation: Any) -> None:
    spec, other = (inproc_ramps(Random(1), 0.25) for _ in range(2))

    violation.bend(spec, Random(2))

    assert _facts(spec) != _facts(other)


def _facts(spec: Spec) -> list[object]:
    slots = ("drift", "noise", "cost_walk", "step_cv", "contention", "share_factor", "spin_level", "bend")
    plain = [getattr(spec, name) for name in (*slots, "log_clock_off_s", "sensor_s", "log_buffer_b")]
    return [*plain, spec.clock(500.0), [stage.course(500.0) for stage in spec.stages]]


def test_nights_are_whole_and_in_an_order_that_favours_nobody() -> None:
    orders = plan.orders(_options("--honest", "11", "--diverting", "10", "--violated", "0"))

    assert {order.night for order in orders if order.part == "honest"} == {0, 1}
    assert [order.night for order in orders] == sorted(order.night for order in orders)
    first = [order.gpu for order in orders[:60]]
    assert len(set(first)) == len(classes.NAMES)


def test_only_the_judge_of_nights_knows_the_audit() -> None:
    using = {
        p.name for p in _DETECT.glob("*.py") if re.search(r"slurm_guard\.(audit|simulate)", p.read_text())
    }

    assert using == {"night.py", "past.py"}


def test_runs_are_compared_with_those_of_the_nights_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(night, "NIGHT", 3)  # the first of them: a run is the same in any selection
    order = Order("diverting", "H100", "inproc_whole", 0, "a", earlier=past.NIGHTS)

    compared = {record["theta"] for record in play(order)}

    assert compared & {"peers", "own-and-peers"}
    assert not {record["theta"] for record in play(replace(order, earlier=0))} & compared - {"own-cheapest"}


# -- records


def test_a_benchmark_goes_on_where_it_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nights.jsonl"
    orders = [Order("honest", "MIG", "short_job", night, "a") for night in (0, 1)]
    played: list[str] = []

    def note(order: Order) -> list[Record]:
        played.append(order.key)
        return [{"k": order.night}]

    monkeypatch.setattr(state, "play", note)
    monkeypatch.setattr("os.nice", lambda _: 0)

    state.play_all(orders[:1], file, 1, 1.0)
    with file.open("a") as lines:
        lines.write('{"night": "cut o')
    found = state.play_all(orders, file, 1, 1.0)

    assert played == [order.key for order in orders]
    assert [records[0]["k"] for records in found.values()] == [0, 1]


def test_records_of_other_code_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "nights.jsonl"
    file.write_text(json.dumps({"night": "x", "code": "other", "records": []}) + "\n")

    with pytest.raises(SystemExit, match="other code"):
        state.load(file)


# -- what simple watchers see


def test_known_names_and_pools_are_known_and_others_are_not() -> None:
    trainer = {"exe": "/usr/bin/python3.11", "cmdline": "python train.py"}
    miner = {"exe": "/tmp/x/xmrig", "cmdline": "xmrig -o pool"}

    assert senses.is_named([trainer, miner], [])
    assert senses.is_named([trainer], [{"peer": "203.0.113.7:3333"}])
    assert not senses.is_named([trainer], [{"peer": "203.0.113.7:443"}])


def test_silence_counts_while_a_board_is_busy() -> None:
    windows = [
        {"gpu": "G", "start_at": 60.0 * k, "end_at": 60.0 * (k + 1), "busy_ms": busy, "covered_ms": 60_000}
        for k, busy in enumerate([60_000] * 10 + [0] * 5)
    ]
    points = [{"obs_lo_at": 0.0, "phase": "train"}]

    assert senses.busy_while_silent_s(windows, points) == 60.0 * 8


def test_longer_steps_are_told_from_the_first_ones() -> None:
    times = [float(k) for k in range(60)] + [60.0 + 1.5 * k for k in range(60)]
    points = [
        {"at": t, "step": k, "samples": None, "tokens": None, "phase": "train", "segment": 0}
        for k, t in enumerate(times)
    ]

    assert senses.longer_steps(points) == pytest.approx(0.5)
    assert senses.longer_steps(points[:30]) == pytest.approx(0.0)


def test_a_tunnel_is_told_as_a_relay_whose_sides_fit() -> None:
    tables = Tables()

    wire.write_network(tables, Place("n0", 100), wire.TUNNEL, 3600.0, Random(1))

    last = tables.rows["relays"][-1]
    assert last["outer_opened"]
    assert last["inner_opened"]
    assert 0 < last["coupled_in_b"] <= last["inner_out_b"]
    assert 0 < last["coupled_out_b"] <= last["inner_in_b"]


# -- rows


def _record(**more: Any) -> Record:
    plain: Record = {
        "part": "diverting", "violation": "", "gpu": "A100", "family": "inproc_mid", "k": 0, "how": "inside",
        "share": 0.25, "hardship": "none", "channels": ["busy", "energy"],
        "diverted_h": 2.0, "unseen_h": 0.0, "work_h": 8.0, "allocated_h": 10.0,
        "names": False, "silent_s": 0.0, "longer": 0.0, "features": [0.5] * 18, "verdict": "REVIEW",
        "lo_h": 1.5, "mid_h": 2.1, "hi_h": 3.0, "guests_h": 0.0, "smallest_h": 0.4, "theta": "own-cheapest",
        "trust": "observed", "no_process": "CLEAR", "no_network": None, "faults": 0,
        "score": -4.0, "hard": False,
    }  # fmt: skip
    return {**plain, **more}


_HONEST = {"part": "honest", "family": "plain", "how": "honest", "share": None, "diverted_h": 0.0}


def test_rows_have_the_same_keys_and_count_what_they_say() -> None:
    clean = [_record(**_HONEST, verdict="CLEAR", lo_h=0.0, mid_h=0.0, k=k) for k in range(9)]
    wrong = _record(**_HONEST, verdict="ALERT", k=9)
    missed = _record(verdict="CLEAR", k=1)
    rows = report.rows([*clean, wrong, _record(), missed], "a")
    by_name = {(row["table"], row["what"]): row for row in rows}

    assert len({tuple(row) for row in rows}) == 1
    alerts = by_name["honest runs that are called ALERT", "all"]
    assert (alerts["hits"], alerts["n"], alerts["met"]) == (1, 10, False)
    inside = by_name["recall above the printed smallest visible diversion", "inside"]
    assert (inside["hits"], inside["n"]) == (1, 2)
    error = by_name["U, the unexplained GPU time", "error for U of an hour and more: all"]
    assert error["value"] == pytest.approx(5.0)
    assert error["met"]


@pytest.mark.parametrize(
    ("guests_h", "verdict", "hits"),
    [(1.9, "NOTE", 1), (0.9, "NOTE", 0), (0.0, "NOTE", 0), (0.0, "REVIEW", 1)],
)
def test_another_users_work_is_found_where_its_hours_are_listed(
    guests_h: float, verdict: str, hits: int
) -> None:
    guest = _record(family="foreign_uid", how="process", guests_h=guests_h, verdict=verdict)
    other = _record(family="second_mid", how="process", guests_h=1.9, verdict="NOTE")

    rows = {(row["table"], row["what"]): row for row in report.rows([guest, other], "a")}

    name = "recall of separate processes, a tenth of the work and more"
    found = rows[name, "families that can be told: flagged, or another user's and named"]
    assert (found["hits"], found["n"]) == (hits, 2)
    assert rows[name, "families that can be told: flagged"]["hits"] == (verdict == "REVIEW")


def test_a_record_has_the_hours_that_the_document_lists_as_other_users() -> None:
    records = play(Order("diverting", "A100", "foreign_uid", 0, "t"))
    own = play(Order("diverting", "A100", "second_mid", 0, "t"))

    assert all(0.6 < r["guests_h"] / r["diverted_h"] < 1.05 for r in records)
    assert all(r["guests_h"] == 0 for r in own)


def test_a_baseline_is_given_the_audits_own_rate_of_false_alarms() -> None:
    honest = [
        _record(**_HONEST, verdict="REVIEW" if k < 2 else "CLEAR", silent_s=float(k)) for k in range(10)
    ]
    other = [_record(silent_s=float(k)) for k in range(10)]

    rows = {row["what"]: row for row in compare.baselines(honest, other, "a")}

    # Two of ten honest runs may be flagged: those above 7; as many of the others lie there.
    assert rows["busy while the log is silent: recall at the audit's false-alarm rate"]["hits"] == 2
    assert rows["audit: recall"]["hits"] == 10


def test_missing_forests_are_said_and_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.detect.forests.is_there", lambda: False)

    rows = compare.baselines([_record(**_HONEST, verdict="CLEAR")], [_record()], "a")

    assert [row["unit"] for row in rows if "forest" in row["what"]] == [forests.MISSING]


def test_the_page_has_every_table_and_keeps_its_words(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- tables: begin -->\nformer\n<!-- tables: end -->\nafter\n", "utf-8")
    rows = [report.rate("a table", "a thing", [True, False], 97), report.rate("a table", "none", [])]

    page.write_page(file, rows, _options("--seed", "x"), (12, 3.0))

    text = file.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "former" not in text
    assert "### A table" in text
    assert "| a thing | 2 | 50.0 % | [1.3, 98.7] | 97 | **no** |" in text


# -- real logs


def _real(counts: list[tuple[float, int]]) -> replay.RealLog:
    log = LogFile(0, "/x.log", "fd", "kv", "", 100, 1, len(counts), 100, 1.0, [], [])
    points = tuple(
        Point(0, "", 0, t, None, None, n, None, None, None, None, "train", 0, []) for t, n in counts
    )
    return replay.RealLog("x", "mlperf", "B200", 1, log, points)


def test_a_real_logs_pace_is_its_load() -> None:
    steady = [(10.0 * k, k) for k in range(20)]
    real = _real([*steady, (400.0, 20)])  # an interval of 210 s: a step, and something else for 200 s

    load = replay.loads_of(real, Random(1))

    assert load(50.0) == load(150.0)
    assert load(195.0) == load(50.0)
    assert load(300.0) != load(50.0)


def test_a_stretched_log_is_longer_behind_the_moment_alone() -> None:
    real = _real([(10.0 * k, k) for k in range(11)])

    slow = replay.stretched(real.points, 50.0, 2.0)

    assert [point.at for point in slow] == [0, 10, 20, 30, 40, 50, 70, 90, 110, 130, 150]


@pytest.mark.shared_data
@pytest.mark.skipif(not _DATA.is_dir(), reason="the folder of real data is not there")
def test_a_real_training_is_no_alert() -> None:
    from bench.detect import real

    path = _DATA / "progress/mlperf_v5.0/llama2_70b_lora/Supermicro__AS-4125GS-TNHR2-LCC/result_1.txt"
    logs = list(real.read(path, "mlperf", "H200", 1))

    judged = real.judged_as_it_is(logs, "test")

    assert [judgement.verdict.value == "ALERT" for _, judgement in judged] == [False]
    assert logs[0].is_parsed
