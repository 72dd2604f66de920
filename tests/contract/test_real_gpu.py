"""What a real H100 gave (tests/fixtures/gpu/h100, docs/gpu-measurements.md), read by today's code."""

import gzip
import json
from pathlib import Path

import pytest

from bench.gpu import judge
from slurm_guard.sampler.plausible import Plausibility, believe
from slurm_guard.sampler.reading import GpuReading, silence

NIGHT = Path(__file__).resolve().parents[1] / "fixtures" / "gpu" / "h100"
HONEST = ("honest", "honest-trainer", "honest-stalls")
SLACK_PCT = 2.0  # a second of a minute: Slurm counts whole seconds


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, judge.Row]:
    return {row["job"]: row for row in judge.judge(NIGHT, tmp_path_factory.mktemp("night") / "judged")}


def test_honest_trainings_are_clear_and_nothing_is_held_against_them(judged: dict[str, judge.Row]) -> None:
    assert {name: (judged[name]["verdict"], judged[name]["low_pct"]) for name in HONEST} == dict.fromkeys(
        HONEST, ("CLEAR", 0.0)
    )


@pytest.mark.parametrize("job", ["cotenant-25", "cotenant-50", "printer-busy"])
def test_diverted_hours_raise_an_alert(judged: dict[str, judge.Row], job: str) -> None:
    assert judged[job]["verdict"] == "ALERT"


def test_work_inside_of_the_training_process_is_noticed(judged: dict[str, judge.Row]) -> None:
    """A rise that stays is no part of the lower bound: recomputation or a larger teacher looks the same."""
    assert judged["in-process-25"]["verdict"] != "CLEAR"
    assert judged["in-process-25"]["low_pct"] == 0
    assert judged["in-process-25"]["mid_pct"] > 5


def test_steps_that_are_printed_beside_hashing_are_denied_by_the_pipes(judged: dict[str, judge.Row]) -> None:
    assert "no-arithmetic" in judged["printer-busy"]["checks"]
    assert judged["printer-busy"]["low_pct"] > 90


def test_the_bounds_hold_what_truly_ran(judged: dict[str, judge.Row]) -> None:
    outside = []
    for row in judged.values():
        least, most = sorted(
            (row["gained_pct"], row["gained_pct"] if row["lost_pct"] is None else row["lost_pct"])
        )
        if most < row["low_pct"] - SLACK_PCT or least > row["high_pct"] + SLACK_PCT:
            outside.append(row)
    assert outside == []


def test_a_real_boards_meters_are_believed() -> None:
    follows, n = Plausibility(), 0
    with gzip.open(NIGHT / "trace.jsonl.gz", "rt") as lines:
        for line in lines:
            row = json.loads(line)
            empty = silence(row["at"], row["mono_s"], "")._replace(why={})
            reading = empty._replace(**{name: row[name] for name in GpuReading._fields if name in row})
            assert believe(reading, 81559) == reading
            follows.add(reading, 700_000)
            assert follows.verdict() == {}
            n += 1
    assert n > 5000
