"""Ten writers in each of two jobs, and another user's files beside them: each file goes to its own run."""

import json
import os
import pwd
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.rig import cluster, procs, services
from tests.rig.jobs import wait_for_jobs, wait_for_seals
from tests.rig.layout import USERS, WORKLOADS, Rig
from tests.rig.submit import submit

pytestmark = [
    pytest.mark.rig,
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="the rig needs root"),
    pytest.mark.skipif(bool(services.missing_packages()), reason=f"missing: {services.missing_packages()}"),
]
SECONDS = 25  # of each job
FIRST = {"one": 1_000_000, "two": 2_000_000}  # which job's counters are which
FOREIGN = 7_777_777  # a step that stands in another user's files alone
TEN = {
    "train.log": "keyvalue", "progress.csv": "csv", "run-ten.wandb": "wandb", "tfevents": "tfevents",
    "metrics.jsonl": "jsonl", "metrics/loss": "mlflow", "log.txt": "mllog", "progress.txt": "megatron",
    "progress.jsonl": "guard", ".out": "megatron",
}  # fmt: skip


class Reading(NamedTuple):
    """The last reading of one run."""

    logs: list[dict[str, Any]]
    points: list[dict[str, Any]]

    def of(self, name: str) -> list[dict[str, Any]]:
        """The points of the file whose path ends so."""

        def fits(path: str) -> bool:
            return name in path if name == "tfevents" else path.endswith(name)

        files = {log["file"] for log in self.logs if fits(log["path"])}
        return [point for point in self.points if point["file"] in files]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """A rig of its own, ended whatever happens."""
    path = Path(tempfile.mkdtemp(prefix="rig-", dir="/var/tmp"))
    path.chmod(0o755)
    try:
        yield cluster.up(path / "r", seed=12)
    finally:
        cluster.down(path / "r")
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def readings(rig: Rig) -> dict[str, Reading]:
    """A job of each of two users, with folders side by side; the second user's files also in the first."""
    shared = rig.path / "home" / "together"
    shared.mkdir()
    shared.chmod(0o777)
    script = rig.path / "ten.sbatch"
    script.write_text(
        "#!/bin/sh\n#SBATCH --gres=gpu:1\nexport OPENBLAS_NUM_THREADS=1\n"
        'exec "$RIG_PYTHON" -u "$RIG_WORKLOADS/ten_writers.py" "$@"\n',
        "utf-8",
    )
    script.chmod(0o755)
    jobs: dict[str, int] = {}
    for name, user in (("one", USERS[0]), ("two", USERS[1])):
        folder = shared / name
        folder.mkdir()
        folder.chmod(0o777)
        jobs[name] = submit(
            rig,
            str(script),
            user,
            [str(folder), str(SECONDS), str(FIRST[name])],
            options=[f"--chdir={folder}"],
        )
    _foreign_files(shared / "one")
    wait_for_jobs(rig, jobs.values(), 150.0)
    assert wait_for_seals(rig, jobs.values(), time.time(), 60.0) == []
    return {name: _last_reading(rig, job) for name, job in jobs.items()}


def _foreign_files(folder: Path) -> None:
    """Logs of known names that belong to the other user, made while the job runs."""
    procs.wait_for("the job's first record", lambda: (folder / "train.log").exists(), 60.0, 0.2)
    time.sleep(1.0)
    other = pwd.getpwnam(USERS[1])
    for name in ("training.log", "metrics.csv", "train.jsonl", "events.out.tfevents.1785568777.n1.42.0"):
        path = folder / name
        path.write_text(
            f"step,loss\n{FOREIGN},2.5\n" if name.endswith("csv") else f'{{"step": {FOREIGN}, "loss": 2.5}}\n'
        )
        os.chown(path, other.pw_uid, other.pw_gid)
        path.chmod(0o644)


def _last_reading(rig: Rig, job: int) -> Reading:
    """What the sampler's reader wrote of this run after its end."""
    until = time.monotonic() + 60.0
    while True:
        paths = sorted(rig.path.glob(f"spool/*/progress/*_{job}_*.jsonl"))
        if paths or time.monotonic() > until:
            break
        time.sleep(0.5)
    time.sleep(2.0)
    paths = sorted(rig.path.glob(f"spool/*/progress/*_{job}_*.jsonl"))
    rows = [json.loads(line) for line in paths[-1].read_text("utf-8").splitlines()]
    return Reading([row for row in rows if row["k"] == "log"], [row for row in rows if row["k"] == "point"])


def test_the_workload_is_where_the_rig_looks_for_it() -> None:
    assert (WORKLOADS / "ten_writers.py").exists()


@pytest.mark.parametrize("name", sorted(FIRST))
@pytest.mark.parametrize("file", sorted(TEN))
def test_each_of_ten_writers_is_found_and_read(readings: dict[str, Reading], name: str, file: str) -> None:
    reading = readings[name]
    steps = [point["step"] if point["step"] is not None else point["samples"] for point in reading.of(file)]

    assert len(steps) >= 0.8 * SECONDS * 4 * 0.5, [log for log in reading.logs if file in log["path"]]
    assert min(steps) == FIRST[name] + 1


@pytest.mark.parametrize("name", sorted(FIRST))
def test_no_point_of_one_run_stands_in_another(readings: dict[str, Reading], name: str) -> None:
    counters = [p["step"] if p["step"] is not None else p["samples"] for p in readings[name].points]

    assert counters
    assert all(FIRST[name] < counter < FIRST[name] + 100_000 for counter in counters if counter is not None)


def test_another_users_files_are_named_and_not_read(readings: dict[str, Reading]) -> None:
    foreign = [log for log in readings["one"].logs if "foreign-owner" in " ".join(log["problems"])]

    assert {Path(log["path"]).name for log in foreign} == {
        "training.log", "metrics.csv", "train.jsonl", "events.out.tfevents.1785568777.n1.42.0",
    }  # fmt: skip
    assert all(log["read_b"] == 0 and log["source"] is None for log in foreign)
    assert not any(FOREIGN in (point["step"], point["samples"]) for point in readings["one"].points)


@pytest.mark.parametrize("name", sorted(FIRST))
def test_files_held_open_have_brackets_narrower_than_the_run(readings: dict[str, Reading], name: str) -> None:
    for file in ("train.log", "progress.csv", "run-ten.wandb"):
        points = readings[name].of(file)
        widths = [p["obs_hi_at"] - p["obs_lo_at"] for p in points if p["obs_lo_at"] is not None]

        assert len(widths) == len(points)
        assert sorted(widths)[len(widths) // 2] < SECONDS / 2
