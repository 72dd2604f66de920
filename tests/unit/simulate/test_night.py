"""A simulated night holds what a real one leaves, and keeps the truth apart."""

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from slurm_guard import wire
from slurm_guard.lake.places import SpoolFile
from slurm_guard.lake.spoolfile import parse_file
from slurm_guard.simulate.night import Night, simulate
from slurm_guard.simulate.scenarios import NODES, build_cast
from slurm_guard.slurm.sacct import SacctFile

SEED = 3
PART = ("gpu05", "gpu08")  # a forged log, a notebook, a leftover; two nodes of one job


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """One share of a night, made once."""
    made = simulate(tmp_path_factory.mktemp("night"), SEED, workers=1, nodes=PART)
    yield made
    shutil.rmtree(made.home)


def _spool(night: Night) -> list[SpoolFile]:
    return [
        SpoolFile(str(path), path.parts[-3], path.parts[-2], path.name)
        for path in sorted(night.spool.glob("*/*/*"))
    ]


def _records(night: Night, kind: str) -> Iterator[dict[str, object]]:
    for path in sorted(night.spool.glob("*/sealed/*")):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if record["k"] == kind:
                yield record


@pytest.mark.slow
def test_ingest_takes_every_file_and_no_segment_is_left_open(night: Night) -> None:
    files = [file for file in _spool(night) if file.kind not in ("open", "chain")]

    for file in files:
        parse_file(file)

    assert {file.kind for file in files} == {"tickets", "ends", "seals", "sealed", "progress"}
    assert [file for file in _spool(night) if file.kind == "open"] == []


def test_accounting_has_each_run_of_the_cast(night: Night) -> None:
    loaded = SacctFile(night.sacct).load_runs(night.from_at, night.until_at)

    cast = [job for job in build_cast(SEED) if job.nodes()[0] in PART]
    assert {(run.job_id, run.name, run.n_gpus) for run in loaded.runs} == {
        (job.job_id, job.name, len(job.places)) for job in cast
    }
    assert loaded.skips == ()


def test_the_truth_is_nowhere_that_the_audit_reads(night: Night) -> None:
    words = {one["scenario"] for one in json.loads(night.truth.read_text())}
    words |= {one["words"] for one in json.loads(night.truth.read_text())}
    seen = [Path(file.path).read_text("utf-8", "replace") for file in _spool(night)]
    seen.append(night.sacct.read_text())

    assert words
    assert [word for word in words for text in seen if str(word) in text] == []
    assert night.truth.stat().st_mode & 0o777 == 0o600
    assert not night.truth.is_relative_to(night.spool)


def test_windows_of_a_run_cover_its_allocation_but_for_the_first_seconds(night: Night) -> None:
    covered: dict[object, int] = {}
    for window in _records(night, "window"):
        covered[window["run"]] = covered.get(window["run"], 0) + int(str(window["covered_ms"]))

    for job in build_cast(SEED):
        if job.nodes()[0] in PART:
            runs = [run for run in covered if run is not None and str(run).split("/")[1] == str(job.job_id)]
            whole = job.run_s * 1000 * len(job.places)
            assert 0.99 * whole <= sum(covered[run] for run in runs) <= whole


def test_sights_of_a_log_end_at_its_size_and_never_shrink(night: Night) -> None:
    sizes: dict[str, list[int]] = {}
    for sight in _records(night, "file"):
        sizes.setdefault(str(sight["path"]), []).append(int(str(sight["size"])))

    assert sizes
    for path, seen in sizes.items():
        assert seen == sorted(seen)
        assert seen[-1] == Path(path).stat().st_size > 0


def test_no_log_is_told_to_have_been_changed_after_its_runs_end(night: Night) -> None:
    readings = list(night.spool.glob("*/progress/*"))

    assert len(readings) == len([job for job in build_cast(SEED) if job.nodes()[0] in PART])
    assert [path.name for path in readings if "changed-after-end" in path.read_text()] == []


def test_a_forged_log_goes_on_while_its_gpus_rest(night: Night) -> None:
    forged = next(job for job in build_cast(SEED) if job.name == "llama-70b-sft")
    busy = [
        int(str(window["busy_ms"]))
        for window in _records(night, "window")
        if window["run"] is not None and str(window["run"]).split("/")[1] == str(forged.job_id)
    ]
    reading = next(night.spool.glob(f"gpu05/progress/demo_{forged.job_id}_*"))
    points = [json.loads(line) for line in reading.read_text().splitlines() if '"k":"point"' in line]

    assert sum(1 for ms in busy if ms == 0) > 12  # nine minutes of two GPUs
    assert len(points) > 100


def test_a_notebook_is_reached_through_a_relay_that_was_accepted(night: Night) -> None:
    told = list(_records(night, "relay"))
    relays = [relay for relay in told if not relay["outer_opened"]]
    flows = list(_records(night, "flow"))

    editors = {relay["exe"] for relay in told if relay["outer_opened"]}
    assert editors == {"/usr/share/code/bin/code-tunnel"}  # its user's editor, by a relay outside
    assert {relay["inner_opened"] for relay in told} == {True}
    assert [relay["gone"] for relay in relays] == [False, True]
    assert {str(flow["pid"]) for flow in flows if flow["opened"] is False} >= {str(relays[0]["pids"][0])}  # type: ignore[index]


def test_a_leftover_works_on_in_the_node_s_own_stream(night: Night) -> None:
    left = [share for w in _records(night, "window") if w["run"] is None for share in w["procs"]]  # type: ignore[attr-defined]

    assert len(left) > 60
    assert all(share["run"] is not None for share in left)  # remembered: it was the job's
    marks = [json.loads(path.read_text()) for path in night.spool.glob("gpu05/ends/*")]
    assert [len(mark["alive"]) for mark in marks if mark["alive"]] == [1]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_night(night: Night, tmp_path: Path) -> None:
    again = simulate(tmp_path, SEED, workers=1, nodes=("gpu08",))
    other = simulate(tmp_path / "other", SEED + 1, workers=1, nodes=("gpu08",))

    def windows(of: Night) -> list[dict[str, object]]:
        return [
            window for window in _records(of, "window") if window["run"] and "/gpu08/" in str(window["run"])
        ]

    assert windows(again) == windows(night)
    assert windows(again) != windows(other)
    for made in (other, again):
        shutil.rmtree(made.home, ignore_errors=True)  # the other's may lie inside


def test_the_cast_is_honest_confusing_and_diverted_over_several_models() -> None:
    cast = build_cast(1)

    assert len(cast) >= 14
    assert sum(1 for job in cast if job.truth.honest) >= 8
    assert sum(1 for job in cast if not job.truth.honest) >= 5
    assert len({node.model for node in NODES}) == 5
    assert all(job.end_s > job.start_s >= 0 for job in cast)
    for node in NODES:  # no GPU is given to two jobs at once
        for gpu in range(node.n_gpus):
            spans = sorted((job.start_s, job.end_s) for job in cast if (node.name, gpu) in job.places)
            assert all(one[1] <= two[0] for one, two in pairwise(spans))


def test_a_run_key_of_the_night_is_a_run_key(night: Night) -> None:
    tickets = [json.loads(path.read_text()) for path in night.spool.glob("*/tickets/*")]

    for ticket in tickets:
        parts = (ticket["cluster"], ticket["job_id"], ticket["node"], ticket["boot_id"], ticket["at"])
        assert ticket["run"] == wire.run_key(*parts)
