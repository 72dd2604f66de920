"""The shell half of law 1: whatever happens to the interpreter, status 0, no output, bounded time."""

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.hook_shim import ENV, ROOT, Shim

SILENT = (0, b"", b"")


@pytest.fixture
def shim(tmp_path: Path) -> Iterator[Shim]:
    shim = Shim(tmp_path)
    yield shim
    shim.close()


def _program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("hook", ["prolog", "epilog"])
def test_missing_interpreter_is_status_0_and_a_trace(shim: Shim, hook: str) -> None:
    shim.set(PYTHON="/no/such/python")

    assert shim.run(hook) == SILENT
    if shutil.which("logger"):
        (line,) = shim.heard()
        assert "hook did not run" in line


def test_broken_package_is_status_0_and_a_trace(shim: Shim) -> None:
    shim.set(LIB=str(shim.folder))

    assert shim.run("prolog") == SILENT
    if shutil.which("logger"):
        assert "hook did not run" in shim.heard()[0]


def test_talkative_interpreter_stays_silent(shim: Shim) -> None:
    shim.set(PYTHON=_program(shim.folder / "loud", "echo out; echo err >&2; exit 42"))

    assert shim.run("prolog") == SILENT


def test_interpreter_that_ignores_everything_is_left_after_three_seconds(shim: Shim) -> None:
    shim.set(PYTHON=_program(shim.folder / "deaf", "trap '' TERM HUP INT; exec sleep 30"))

    begin_s = time.monotonic()
    process = shim.start("prolog")
    out, err = process.communicate(timeout=20)
    took_s = time.monotonic() - begin_s
    os.killpg(process.pid, signal.SIGKILL)  # as slurmd does with the group

    assert (process.returncode, out, err) == SILENT
    assert 2.5 < took_s < 6


def test_no_clock_is_left_behind_when_the_hook_is_done(shim: Shim) -> None:
    """On a busy machine the killed clock and the subshell that killed it may outlive the shim by a moment."""
    process = shim.start("prolog")
    process.communicate(timeout=20)
    ended_s = time.monotonic()
    while _group_lives(process.pid) and time.monotonic() - ended_s < 20:
        time.sleep(0.01)

    assert not _group_lives(process.pid)
    assert not list(Path("/proc").glob(f"{process.pid}/task"))


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.root
@pytest.mark.parametrize("hook", ["prolog", "epilog"])
def test_a_shim_that_cannot_fork_is_status_0(shim: Shim, hook: str) -> None:
    def no_forks() -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # of a user: root is not bound by it

    for folder in [shim.folder, *shim.folder.parents]:
        folder.chmod(folder.stat().st_mode | 0o011)

    assert shim.run(hook, user=65534, group=65534, extra_groups=[], preexec_fn=no_forks) == SILENT


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_the_shim_is_status_0(shim: Shim, sent: signal.Signals) -> None:
    shim.set(PYTHON=_program(shim.folder / "slow", "exec sleep 30"))
    process = shim.start("prolog")
    time.sleep(0.3)

    process.send_signal(sent)
    process.communicate(timeout=20)
    os.killpg(process.pid, signal.SIGKILL)

    assert process.returncode == 0


def test_deaf_stdout_of_the_caller_does_not_matter(shim: Shim) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = shim.start("prolog", stdout=writer, stderr=writer)
    os.close(writer)

    assert process.wait(timeout=20) == 0
    assert len(shim.files("tickets")) == 1


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_settings_that_others_may_write_are_not_read(shim: Shim, mode: int) -> None:
    conf = shim.folder / "slurm-guard-hooks.conf"
    conf.write_text(f"RUN_DIR={shim.folder}/elsewhere\n")
    conf.chmod(mode)

    assert shim.run("prolog") == SILENT
    assert not (shim.folder / "elsewhere").exists()
    if shutil.which("logger"):
        assert "ignored" in shim.heard()[0]


@pytest.mark.root
def test_settings_of_another_owner_and_links_are_not_read(shim: Shim) -> None:
    conf, real = shim.folder / "slurm-guard-hooks.conf", shim.folder / "real.conf"
    real.write_text(f"RUN_DIR={shim.folder}/elsewhere\n")
    conf.symlink_to(real)
    assert shim.run("prolog") == SILENT
    conf.unlink()
    shutil.copy(real, conf)
    os.chown(conf, 65534, 65534)
    assert shim.run("prolog") == SILENT

    assert not (shim.folder / "elsewhere").exists()


@pytest.mark.root
def test_settings_of_root_are_read_as_data_and_never_run(shim: Shim) -> None:
    lines = [
        "# comment",
        f"RUN_DIR='{shim.folder}/else where'",
        'SPOOL_DIR="$(touch was-run)`touch was-run`"',
        "exit 3",
        "if then ((",
        "PATH=/nowhere",
        f"CLIENT_DIR={shim.folder}/c;touch was-run",
    ]
    (shim.folder / "slurm-guard-hooks.conf").write_text("\n".join(lines))

    assert shim.run("prolog", cwd=shim.folder) == SILENT
    assert (shim.folder / "else where/n1/tickets").is_dir()
    assert not list(shim.folder.rglob("was-run"))


@pytest.mark.root
@pytest.mark.parametrize("hook", ["prolog", "epilog"])
def test_settings_with_the_line_ends_of_windows_hold(shim: Shim, hook: str) -> None:
    lines = [
        "# by an editor of another system",
        f"SPOOL_DIR='{shim.folder}/else where'",
        "START_SAMPLER=no",
        "",
    ]
    shim.set(SPOOL_DIR=f"{shim.folder}/wrong")
    (shim.folder / "slurm-guard-hooks.conf").write_text("\r\n".join(lines), newline="")

    assert shim.run(hook) == SILENT
    assert len(list((shim.folder / "else where/n1").glob("*/*.json"))) == 1
    assert shim.heard() == []


def test_task_prolog_takes_settings_with_the_line_ends_of_windows(shim: Shim) -> None:
    shim.run("prolog")
    (newest,) = shim.client_dir.glob("77.*/progress.jsonl")
    shim.set(CLIENT_DIR=f"{shim.folder}/wrong")
    (shim.folder / "slurm-guard-hooks.conf").write_text(f'CLIENT_DIR="{shim.client_dir}"\r\n', newline="")

    assert _task_prolog(shim) == (0, f"export SLURM_GUARD_PROGRESS={newest}\n".encode(), b"")


def _task_prolog(shim: Shim, **env: str) -> tuple[int, bytes, bytes]:
    return shim.run("task-prolog", {**ENV, **env})


def test_task_prolog_exports_the_newest_progress_file(shim: Shim) -> None:
    shim.run("prolog")
    shim.run("prolog")
    newest = sorted(shim.client_dir.glob("77.*/progress.jsonl"))[-1]

    assert _task_prolog(shim) == (0, f"export SLURM_GUARD_PROGRESS={newest}\n".encode(), b"")


@pytest.mark.parametrize("job_id", ["78", "", "*", "7*", "77/../77", "77\nexport LD_PRELOAD=/x", "$(id)"])
def test_task_prolog_says_nothing_for_a_job_without_a_file(shim: Shim, job_id: str) -> None:
    shim.run("prolog")

    assert _task_prolog(shim, SLURM_JOB_ID=job_id) == SILENT


@pytest.mark.root
def test_task_prolog_works_as_a_user_without_rights(shim: Shim) -> None:
    shim.run("prolog", {**ENV, "SLURM_JOB_UID": "65534", "SLURM_JOB_GID": "65534"})
    for folder in [shim.folder, *shim.folder.parents]:
        folder.chmod(folder.stat().st_mode | 0o011)
    shim.run("prolog", {**ENV, "SLURM_JOB_UID": "1"})  # a newer one of somebody else's

    status, out, _ = shim.run("task-prolog", user=65534, group=65534, extra_groups=[])
    path = Path(out.decode().strip().partition("=")[2])

    assert status == 0
    assert path.stat().st_uid == 65534
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_uid == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
@pytest.mark.parametrize("name", ["prolog", "epilog"])
def test_shim_does_the_same_under_bash_as_sh(shim: Shim, name: str) -> None:
    shim.run("prolog")
    done = subprocess.run(
        ["bash", "--posix", str(shim.folder / f"slurm-guard-{name}")],
        env=ENV,
        capture_output=True,
        timeout=20,
    )

    assert (done.returncode, done.stdout, done.stderr) == SILENT
    assert shim.heard() == []


def test_shims_differ_in_nothing_but_their_name() -> None:
    prolog = (ROOT / "prolog/slurm-guard-prolog").read_text()
    epilog = (ROOT / "epilog/slurm-guard-epilog").read_text()

    def body(text: str) -> str:
        return text[text.index("\nPATH=") :]

    assert body(prolog) == body(epilog)
    assert "eval" not in prolog
