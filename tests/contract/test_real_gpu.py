"""What real boards gave (tests/fixtures/gpu, docs/gpu-measurements.md), read by today's code."""

import gzip
import json
from pathlib import Path

import pytest

from bench.gpu import judge
from slurm_guard.sampler.plausible import Plausibility, believe
from slurm_guard.sampler.reading import GpuReading, silence

NIGHTS = Path(__file__).resolve().parents[1] / "fixtures" / "gpu"
SLACK_PCT = 2.0  # a second of a minute: Slurm counts whole seconds

HONEST = {
    "h100": ("honest", "honest-trainer", "honest-stalls"),
    "h200": ("honest-fp32", "honest-rl", "honest-evaluates", "honest-small"),
}
# Known and open: a flat load that computes is not denied, whatever it computes; and the driver's times of two
# processes in one GPU do not stand to each other as their work does.
A_MISS = pytest.mark.xfail(strict=True, reason="nothing denies printed steps beside matrix products")
TOO_HIGH = pytest.mark.xfail(strict=True, reason="NVML's process times: half of the work, it was a quarter")
CASES = [
    ("h100", "cotenant-25"),
    ("h100", "cotenant-50"),
    ("h100", "printer-busy"),
    ("h200", "cotenant-25-memory"),
    ("h200", "printer-memory"),
]
Judged = dict[str, dict[str, judge.Row]]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    out = tmp_path_factory.mktemp("night")
    return {name: {row["job"]: row for row in judge.judge(NIGHTS / name, out / name)} for name in HONEST}


@pytest.mark.parametrize("night", HONEST)
def test_honest_trainings_are_clear_and_nothing_is_held_against_them(judged: Judged, night: str) -> None:
    names = HONEST[night]
    found = {name: (judged[night][name]["verdict"], judged[night][name]["low_pct"]) for name in names}
    assert found == dict.fromkeys(names, ("CLEAR", 0.0))


@pytest.mark.parametrize(("night", "job"), CASES)
def test_diverted_hours_raise_an_alert(judged: Judged, night: str, job: str) -> None:
    assert judged[night][job]["verdict"] == "ALERT"


@pytest.mark.parametrize(
    "job",
    ["in-process-30-memory", "cotenant-30-training", pytest.param("printer-products", marks=A_MISS)],
)
def test_diverted_hours_are_at_least_asked_about(judged: Judged, job: str) -> None:
    assert judged["h200"][job]["verdict"] in ("REVIEW", "ALERT")


@pytest.mark.parametrize(("night", "job"), [("h100", "in-process-25"), ("h200", "in-process-30-memory")])
def test_work_inside_of_the_training_process_is_noticed(judged: Judged, night: str, job: str) -> None:
    """A rise that stays is no part of the lower bound: recomputation or a larger teacher looks the same."""
    row = judged[night][job]
    assert row["verdict"] != "CLEAR"
    assert row["low_pct"] == 0
    assert row["mid_pct"] > 5


@pytest.mark.parametrize(("night", "job"), [("h100", "printer-busy"), ("h200", "printer-memory")])
def test_steps_that_are_printed_beside_mining_are_denied_by_the_pipes(
    judged: Judged, night: str, job: str
) -> None:
    assert "no-arithmetic" in judged[night][job]["checks"]
    assert judged[night][job]["low_pct"] > 90


def _truth(row: judge.Row) -> tuple[float, float]:
    lost = row["gained_pct"] if row["lost_pct"] is None else row["lost_pct"]
    return min(row["gained_pct"], lost), max(row["gained_pct"], lost)


@pytest.mark.parametrize("night", HONEST)
def test_no_more_was_diverted_than_the_upper_bound(judged: Judged, night: str) -> None:
    outside = [row for row in judged[night].values() if _truth(row)[0] > row["high_pct"] + SLACK_PCT]
    assert outside == []


@pytest.mark.parametrize("night", HONEST)
def test_no_less_was_diverted_than_the_lower_bound(judged: Judged, night: str) -> None:
    rows = [row for name, row in judged[night].items() if name != "cotenant-25-memory"]
    assert [row for row in rows if _truth(row)[1] < row["low_pct"] - SLACK_PCT] == []


@TOO_HIGH
def test_no_less_was_diverted_by_reads_beside_a_training_than_the_lower_bound(judged: Judged) -> None:
    row = judged["h200"]["cotenant-25-memory"]
    assert _truth(row)[1] >= row["low_pct"] - SLACK_PCT


@pytest.mark.parametrize("night", HONEST)
def test_a_real_boards_meters_are_believed(night: str) -> None:
    measured = json.loads((NIGHTS / night / "measured.json").read_text("utf-8"))
    total_mib, follows, n = measured["facts"][0]["mem_total_mib"], Plausibility(), 0
    with gzip.open(NIGHTS / night / "trace.jsonl.gz", "rt") as lines:
        for line in lines:
            row = json.loads(line)
            empty = silence(row["at"], row["mono_s"], "")._replace(why={})
            reading = empty._replace(**{name: row[name] for name in GpuReading._fields if name in row})
            assert believe(reading, total_mib) == reading
            follows.add(reading, 700_000)
            assert follows.verdict() == {}
            n += 1
    assert n > 5000
