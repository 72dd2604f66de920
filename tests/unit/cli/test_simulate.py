"""`slurm-guard simulate`: what it writes can be audited as it says, and the planted runs are found."""

import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from slurm_guard.cli.audit import audit
from slurm_guard.cli.simulate import simulate
from slurm_guard.errors import EXIT_USAGE, GuardError

BEGIN, END = "1760400000", "1760486400"
ASKS = ("ALERT", "REVIEW")
MOST_HONEST = 0.01  # of honest runs that may ask for a look


def test_a_folder_that_holds_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("of three years")

    with pytest.raises(GuardError) as refused:
        simulate(tmp_path, gpus=8)

    assert refused.value.slug == "simulate-out"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_is_no_number_of_whole_nodes_is_refused_and_not_rounded(tmp_path: Path) -> None:
    with pytest.raises(GuardError, match="12 is no number of whole nodes, which have 8 GPUs") as refused:
        simulate(tmp_path / "new", gpus=12)

    assert (refused.value.slug, refused.value.exit_code) == ("simulate-gpus", EXIT_USAGE)
    assert refused.value.hint == "say 8 or 16"
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_said() -> None:
    with pytest.raises(GuardError, match="No such file") as refused:
        simulate(Path("/proc/nights"), gpus=8, jobs=5)

    assert refused.value.slug == "simulate-out"


def test_it_says_what_was_written_and_how_it_is_audited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(tmp_path / "new", gpus=8, jobs=10)

    said = capsys.readouterr().out
    assert (tmp_path / "new" / "lake" / "v1" / "windows").is_dir()
    assert f"--since {BEGIN} --until {END} -o {tmp_path / 'new' / 'audit.json'}" in said
    assert pl.read_parquet(tmp_path / "new" / "truth.parquet").height > 0


@pytest.mark.slow
@pytest.mark.patient
def test_a_night_of_200_gpus_is_judged_as_it_was(tmp_path: Path) -> None:
    """Each planted run is called as its kind is; of the honest ones at most a hundredth asks for a look."""
    simulate(tmp_path / "new", gpus=200, jobs=400, seed="judged", planted=0.3)
    out = tmp_path / "audit.json"

    audit(
        since=BEGIN,
        until=END,
        lake=tmp_path / "new" / "lake",
        sacct_file=tmp_path / "new" / "sacct.txt",
        output=out,
    )

    truth = {row["job_id"]: row for row in pl.read_parquet(tmp_path / "new" / "truth.parquet").to_dicts()}
    judged = json.loads(out.read_text())["judgements"]
    planted = [(truth[j["run"]["job_id"]], j) for j in judged if not truth[j["run"]["job_id"]]["honest"]]
    assert {true["scenario"] for true, _ in planted} == {"beside", "tail", "foreign"}
    assert [(true, j["verdict"]) for true, j in planted if j["verdict"] not in true["expect"]] == []
    for true, j in planted:
        least, most = (j["unexplained"][end] / 1000 for end in ("lo_gpu_ms", "hi_gpu_ms"))
        assert 0.8 * least <= true["diverted_gpu_s"] <= 1.35 * most, (true, j["unexplained"])
    counts = Counter(j["verdict"] for j in judged if truth[j["run"]["job_id"]]["honest"])
    assert sum(counts[word] for word in ASKS) <= MOST_HONEST * sum(counts.values())
    assert counts["CLEAR"] > sum(counts.values()) / 2
