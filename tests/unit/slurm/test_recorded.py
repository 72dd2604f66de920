"""What real Slurms said of real jobs (tests/rig/record_texts.py), read by the product."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.model import Run
from slurm_guard.sampler.cgroups import JobRef, parse_cgroup, parse_title
from slurm_guard.slurm.accounting import LoadedRuns
from slurm_guard.slurm.sacct import runs_of_text

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "slurm"
VERSIONS = sorted(path.name for path in FIXTURES.iterdir())
TREES = sorted(FIXTURES.glob("*/cgroup*.json"))
DAY = 1_780_000_000


def load(version: str) -> LoadedRuns:
    text = (FIXTURES / version / "sacct.txt").read_text("utf-8")
    return runs_of_text(text, "", (float(DAY - 60), float(DAY + 86_400)), "sacct-file")


def of_state(loaded: LoadedRuns, state: str) -> Run:
    (run,) = [run for run in loaded.runs if run.state == state]
    return run


def next_of(loaded: LoadedRuns, run: Run) -> Run:
    (other,) = [other for other in loaded.runs if other.job_id == run.job_id and other.id != run.id]
    return other


@pytest.mark.parametrize("version", VERSIONS)
def test_every_row_is_a_run_and_no_two_are_one(version: str) -> None:
    loaded = load(version)

    assert loaded.cluster == "c1"
    assert {skip.reason for skip in loaded.skips} == {"shared-gpu-tres"}  # the jobs with MPS and shards
    assert len({run.id for run in loaded.runs}) == len(loaded.runs) >= 20


@pytest.mark.parametrize("version", VERSIONS)
def test_no_gpu_second_of_a_job_is_in_two_runs(version: str) -> None:
    runs = sorted(load(version).runs, key=lambda run: (run.job_id, run.from_at))

    for one, other in pairwise(runs):
        assert one.job_id != other.job_id or one.until_at <= other.from_at, (one.id, other.id)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_resized_job_is_two_runs_without_a_gap_and_each_has_its_gpus(version: str) -> None:
    loaded = load(version)

    before = of_state(loaded, "RESIZING")
    after = next_of(loaded, before)
    assert before.until_at == after.from_at
    assert (before.nodes, before.n_gpus) == (("n1", "n2"), 2)
    assert (after.nodes, after.n_gpus) == (("n1",), 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_requeued_run_stands_beside_the_one_that_followed(version: str) -> None:
    loaded = load(version)

    first = of_state(loaded, "REQUEUED")
    assert next_of(loaded, first).start_at > first.until_at
    assert first.comment == "guard:task=x"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_suspended_runs_charge_leaves_the_suspension_out(version: str) -> None:
    (run,) = [run for run in load(version).runs if run.suspended_s]

    assert run.suspended_s in (6, 7)
    assert run.until_at - run.from_at - run.suspended_s == 6


@pytest.mark.parametrize("version", VERSIONS)
def test_arrays_and_het_jobs_keep_the_users_number_beside_the_raw_one(version: str) -> None:
    jobs = {run.job: run.job_id for run in load(version).runs}

    (last,) = [name for name in jobs if name.endswith("_2")]
    (leader,) = [name for name in jobs if name.endswith("+0")]
    assert jobs[last] == int(last.partition("_")[0])
    assert jobs[leader.replace("+0", "+1")] == jobs[leader] + 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_comment_with_delimiters_and_a_second_line_is_whole(version: str) -> None:
    (run,) = [run for run in load(version).runs if run.name == "a|b"]

    assert run.comment == 'odd | "quoted"\nand a second line \x1f guard:task=x'


@pytest.mark.parametrize("version", VERSIONS)
def test_a_gpus_model_is_known_and_parts_of_gpus_are_none(version: str) -> None:
    loaded = load(version)
    parts = {skip.subject for skip in loaded.skips if skip.reason == "shared-gpu-tres"}

    assert {run.n_gpus for run in loaded.runs if run.id in parts} == {0}
    assert {run.gpu_type for run in loaded.runs if run.n_gpus} == {"h100", "a100", "a100+h100"}


def processes(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["processes"]
    return found


@pytest.mark.parametrize("path", TREES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_each_process_of_a_step_is_found_by_its_control_group(path: Path) -> None:
    found = [(row["title"], parse_cgroup(row["cgroup"])) for row in processes(path)]

    assert all(ref is not None and ref.node == "n1" for _, ref in found)
    jobs = {(ref.job_id, ref.sluid) for _, ref in found if ref is not None}
    assert len(jobs) == 1
    assert {ref.step for title, ref in found if title is None and ref is not None} == {"batch", "0"}
    ((job_id, sluid),) = jobs
    by_sluid = path.stem == "cgroup2" and path.parent.name >= "26.05"
    assert (job_id is None, sluid is not None) == (by_sluid, by_sluid)


@pytest.mark.parametrize("path", TREES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_slurmstepds_title_names_the_job_by_number_in_every_release(path: Path) -> None:
    titles = [row["title"] for row in processes(path) if row["title"] is not None]

    refs = [parse_title(title) for title in titles]
    (job_id,) = {ref.job_id for ref in refs if ref is not None}
    assert refs == [JobRef(job_id, None, None, step) for step in ("batch", "0")]
