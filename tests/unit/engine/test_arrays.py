"""Parts made by job arrays: a Slurm of our own, whose tasks are real processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard.audit.facts import Facts
from slurm_guard.engine import arrays, jobs, run
from slurm_guard.engine.arrays import Cluster, share
from slurm_guard.engine.folder import open_folder
from slurm_guard.engine.plan import Part
from slurm_guard.engine.run import Means
from slurm_guard.engine.shard import make_share
from slurm_guard.engine.tasks import Task
from slurm_guard.errors import GuardError
from tests.unit.engine.nights import FEW, NODE_H, WHOLE_H, outcome, several, write_lake

FAKE = Path(__file__).with_name("fake_slurm.py")
SLURM = Means(cluster=Cluster(shards=2))
Slurm = Callable[[str], Path]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Facts, Path, tuple[str, str]]:
    facts = several(FEW)
    lake = tmp_path_factory.mktemp("arrays") / "lake"
    write_lake(dict(facts.frames), lake)
    return facts, lake, outcome(facts, lake, WHOLE_H)[:2]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """Puts Slurm's programs on the path, in a mood; its folder, with all calls in `calls`."""
    folder, programs = tmp_path / "slurm", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    for name in ("sbatch", "squeue", "scancel"):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} -S {FAKE} {folder} {name} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    monkeypatch.setattr(arrays, "_SETTLE_S", 0.5)
    monkeypatch.setattr(arrays, "_SLOWEST_S", 0.5)
    monkeypatch.setattr(arrays, "_ASKED_S", 0.5)
    monkeypatch.setattr(jobs, "_WAIT_S", 0.1)

    def feel(mood: str) -> Path:
        (folder / "mood").write_text(mood)
        return folder

    return feel


def means_in(folder: Path, cluster: Cluster = Cluster(shards=2)) -> Means:  # noqa: B008 - frozen
    return Means(folder=folder / "parts", cluster=cluster)


def calls(folder: Path, program: str) -> list[str]:
    lines = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    return [line for line in lines if line.startswith(program + " ")]


@pytest.mark.slow
@pytest.mark.parametrize(("mood", "n_arrays"), [("", 3), ("kill-1", 4), ("twice", 3)])
def test_an_array_gives_the_bytes_of_one_look_whatever_becomes_of_its_tasks(
    mood: str, n_arrays: int, night: tuple[Facts, Path, tuple[str, str]], slurm: Slurm, tmp_path: Path
) -> None:
    facts, lake, whole = night
    folder = slurm(mood)

    done = outcome(facts, lake, NODE_H, means=means_in(tmp_path))[:2]

    assert done == whole
    assert len(calls(folder, "sbatch")) == n_arrays
    assert not [path for path in (tmp_path / "parts").glob("*/*") if path.name.startswith(("run-", "."))]


@pytest.mark.slow
def test_ended_jobs_that_slurm_has_forgotten_are_no_loss_and_one_shard_may_have_all(
    night: tuple[Facts, Path, tuple[str, str]], slurm: Slurm, tmp_path: Path
) -> None:
    facts, lake, whole = night
    folder = slurm("forget")

    done = outcome(facts, lake, NODE_H, means=means_in(tmp_path, Cluster(shards=1)))[:2]

    assert done == whole
    assert [line.split()[2] for line in calls(folder, "sbatch")] == ["--array=0-0"] * 3


@pytest.mark.slow
def test_tasks_that_are_always_killed_end_the_audit_and_the_next_goes_on(
    night: tuple[Facts, Path, tuple[str, str]], slurm: Slurm, tmp_path: Path
) -> None:
    facts, lake, whole = night
    folder = slurm("")
    broken = tmp_path / "slurm-guard"
    broken.write_text("#!/bin/sh\necho slurm-guard: out of luck\necho hint: find a clover\nexit 1\n")
    broken.chmod(0o755)

    with pytest.raises(
        GuardError, match="3 of 3 parts were not made by 3 job arrays: Slurm says FAILED"
    ) as lost:
        outcome(facts, lake, NODE_H, means=means_in(tmp_path, Cluster(2, program=str(broken))))
    n_before = len(calls(folder, "sbatch"))
    done = outcome(facts, lake, NODE_H, means=means_in(tmp_path))[:2]

    assert lost.value.slug == "engine-lost"
    assert "out of luck" in lost.value.sentence
    assert lost.value.hint.startswith("find a clover; what the tasks wrote is in ")
    assert lost.value.sentence.count("nothing was published") == 1
    assert n_before == 3
    assert done == whole


def test_a_refused_array_says_what_sbatch_said(
    night: tuple[Facts, Path, tuple[str, str]], slurm: Slurm, tmp_path: Path
) -> None:
    facts, lake, _ = night
    folder = slurm("refuse")

    with pytest.raises(GuardError, match="Invalid partition name") as refused:
        outcome(facts, lake, NODE_H, means=means_in(tmp_path, Cluster(4, ("--partition=nowhere",))))

    assert refused.value.slug == "engine-sbatch"
    assert "[engine] sbatch" in refused.value.hint
    (said,) = calls(folder, "sbatch")
    assert "--parsable --array=0-2 " in said  # no more tasks than parts
    assert " --partition=nowhere " in said


def test_no_sbatch_says_so(
    night: tuple[Facts, Path, tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, lake, _ = night
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(GuardError, match="sbatch cannot be started: No such file") as refused:
        outcome(facts, lake, NODE_H, means=means_in(tmp_path))

    assert refused.value.slug == "engine-sbatch"


@pytest.mark.parametrize("mood", ["cancel", "held"])
def test_what_an_admin_cancelled_or_holds_is_submitted_twice_more_and_no_more(
    mood: str, night: tuple[Facts, Path, tuple[str, str]], slurm: Slurm, tmp_path: Path
) -> None:
    facts, lake, _ = night
    folder = slurm(mood)

    with pytest.raises(GuardError, match="Slurm says CANCELLED") as lost:
        outcome(facts, lake, NODE_H, means=means_in(tmp_path))

    assert lost.value.slug == "engine-lost"
    assert len(calls(folder, "sbatch")) == 3


def test_a_pass_that_takes_too_long_is_cancelled(
    night: tuple[Facts, Path, tuple[str, str]], slurm: Slurm, tmp_path: Path
) -> None:
    facts, lake, _ = night
    folder = slurm("held")

    with pytest.raises(GuardError, match="job 1 was cancelled") as late:
        outcome(facts, lake, NODE_H, means=means_in(tmp_path, Cluster(timeout_s=0.01)))

    assert late.value.slug == "engine-late"
    assert [line.split()[-1] for line in calls(folder, "scancel")][-1].startswith("--name=slurm-guard-audit-")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_audit_that_is_stopped_cancels_its_arrays(
    number: signal.Signals, slurm: Slurm, tmp_path: Path
) -> None:
    folder = slurm("")
    script = tmp_path / "head.py"
    script.write_text(
        "from pathlib import Path\n"
        "from tests.unit.engine.nights import *\n"
        "from slurm_guard.engine.arrays import Cluster\n"
        f"here = Path({str(tmp_path)!r})\n"
        "facts = several(FEW[:2])\n"
        "write_lake(dict(facts.frames), here / 'lake')\n"
        "program = here / 'sleep'\n"
        "program.write_text('#!/bin/sh\\nexec sleep 100\\n')\n"
        "program.chmod(0o755)\n"
        "means = Means(folder=here / 'parts', cluster=Cluster(program=str(program)))\n"
        "outcome(facts, here / 'lake', NODE_H, means=means)\n"
    )
    head = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    running = folder / "job-1" / "state-0"
    until_s = time.monotonic() + 120
    while not (running.exists() and running.read_text() == "RUNNING") and time.monotonic() < until_s:
        assert head.poll() is None
        time.sleep(0.1)

    head.send_signal(number)
    head.wait(60)

    assert running.read_text() == "CANCELLED"
    task = Path("/proc") / (folder / "job-1" / "pid-0").read_text()
    while task.exists() and time.monotonic() < until_s:
        time.sleep(0.1)
    assert not task.exists()


def test_a_slurmctld_that_does_not_answer_for_long_ends_the_audit(
    night: tuple[Facts, Path, tuple[str, str]],
    slurm: Slurm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts, lake, _ = night
    slurm("held")
    monkeypatch.setattr(jobs, "lines_of", lambda _: None)
    monkeypatch.setattr(arrays, "_SILENT_S", 0.1)

    with pytest.raises(GuardError, match="squeue has not said") as silent:
        outcome(facts, lake, NODE_H, means=means_in(tmp_path))

    assert silent.value.slug == "engine-silent"


@pytest.mark.parametrize(("said", "lines"), [("welcome", None), ("", {}), ("CLUSTER: c\n0|RUNNING|None", 1)])
def test_words_that_are_no_answer_of_squeue_do_not_end_a_job(
    said: str, lines: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeue = tmp_path / "squeue"
    squeue.write_text(f"#!/bin/sh\necho '{said}'\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    found = jobs.lines_of("7")

    assert (found if not found else len(found)) == lines


def test_what_sbatch_says_does_not_reach_a_terminal_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\nprintf 'no \\033[31mway' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(GuardError) as refused:
        jobs.submit("x.sh", 1, "n", "out", [])

    assert "no ?[31mway" in refused.value.sentence


def test_keys_of_the_store_are_not_handed_to_jobs_nor_a_persons_filter_to_squeue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sbatch", "squeue"):
        (tmp_path / name).write_text(f"#!/bin/sh\nenv > {tmp_path}/{name}.env\necho 7\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("SQUEUE_PARTITION", "hidden")
    monkeypatch.setenv("SBATCH_ACCOUNT", "shown")

    jobs.submit("x.sh", 1, "n", "out", [])
    jobs.lines_of("7")

    told = [(tmp_path / f"{name}.env").read_text() for name in ("sbatch", "squeue")]
    assert not ["hidden" for each in told if "hidden" in each]
    assert "SBATCH_ACCOUNT=shown" in told[0]


def test_a_slurmctld_that_is_away_is_not_blamed_on_the_sites_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho sbatch: error: Socket timed out on send/recv operation >&2\nexit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(jobs, "_WAIT_S", 0)

    with pytest.raises(GuardError, match="asked 4 times") as refused:
        jobs.submit("x.sh", 1, "n", "out", [])

    assert "slurmctld" in refused.value.hint
    assert "partition" not in refused.value.hint


def test_a_folder_that_nodes_cannot_share_is_refused_and_the_hint_is_of_its_reason(
    night: tuple[Facts, Path, tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, lake, _ = night

    with pytest.raises(GuardError) as no_nights:
        outcome(facts, lake, NODE_H, means=replace(SLURM, nights=0))
    monkeypatch.setattr(run, "own_folder", lambda _: None)
    with pytest.raises(GuardError) as another_s:
        outcome(facts, lake, NODE_H, means=SLURM)

    assert (no_nights.value.slug, another_s.value.slug) == ("engine-unshared", "engine-unshared")
    assert "nights is 0" in no_nights.value.sentence
    assert "folder" not in no_nights.value.hint
    assert "this user's" in another_s.value.sentence
    assert "[engine] folder" in another_s.value.hint


@pytest.mark.slow
def test_a_file_that_goes_while_an_array_runs_begins_the_night_again_and_asks_for_no_second_array(
    night: tuple[Facts, Path, tuple[str, str]], slurm: Slurm, tmp_path: Path
) -> None:
    facts, _, _ = night
    folder = slurm("")
    lake = tmp_path / "lake"
    shutil.copytree(night[1], lake)
    gone = min((lake / "v1" / "windows").rglob("*.parquet"))
    program = tmp_path / "slurm-guard"
    own = f"{sys.executable} -c 'from slurm_guard.cli.app import main; main()'"
    program.write_text(f'#!/bin/sh\nrm -f "{gone}"\nexec {own} "$@"\n')
    program.chmod(0o755)

    done = outcome(facts, lake, NODE_H, means=means_in(tmp_path, Cluster(2, program=str(program))))[:2]

    assert done == outcome(facts, lake, WHOLE_H)[:2] != night[2]
    assert len(calls(folder, "sbatch")) == 4  # the first pass twice


def test_shares_are_the_same_in_any_order_and_of_about_one_size() -> None:
    tasks = [_task(k, 1 + k % 7) for k in range(40)]

    shares = share(tasks, 4)

    assert shares == share(tasks[::-1], 4)
    assert sorted(t.name for each in shares for t in each) == sorted(t.name for t in tasks)
    sizes = [sum(t.size for t in each) for each in shares]
    assert max(sizes) - min(sizes) <= 7
    assert [len(each) for each in share(tasks[:2], 9)] == [1, 1]


def _task(k: int, n: int) -> Task:
    return Task("survey", f"t{k}", (), Part((), (), frozenset(), frozenset()), size=float(n))


def test_a_task_outside_of_an_array_or_without_its_files_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    with pytest.raises(GuardError, match="one task of a job array") as alone:
        make_share(tmp_path, "survey-0", print)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    run = open_folder(tmp_path / "parts").below("run-1")
    with pytest.raises(GuardError, match="not the folder of an audit") as gone:
        make_share(run.path, "survey-0", print)

    assert (alone.value.slug, gone.value.slug) == ("shard-alone", "shard-gone")
