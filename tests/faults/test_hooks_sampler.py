"""The sampler that a prolog starts: once, taking nothing along, outliving the prolog's process group."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.hook_shim import ENV, NODE, ROOT, Shim, end_process, is_running, stub_sampler

SILENT = (0, b"", b"")


@pytest.fixture
def shim(tmp_path: Path) -> Iterator[Shim]:
    shim = Shim(tmp_path)
    shim.set(START_SAMPLER="yes", SAMPLER_PYTHON=str(stub_sampler(tmp_path)), CONFIG="/etc/%n/guard.toml")
    yield shim
    shim.close()


def _written(path: Path) -> str:
    """What the stub wrote down, once it has."""
    for _ in range(300):
        if path.exists() and path.read_text():
            break
        time.sleep(0.01)
    return path.read_text()


def _pid(shim: Shim) -> int:
    pid = shim.sampler_pid()
    assert pid is not None
    return pid


def test_sampler_gets_its_own_session_and_nothing_of_the_callers(shim: Shim) -> None:
    shim.set(SAMPLER_LD_LIBRARY_PATH="/gpu/%n")
    reader, writer = os.pipe()
    env = {**ENV, "SECRET": "x", "LD_LIBRARY_PATH": "/of/the/caller", "TZ": "UTC"}
    process = shim.start("prolog", env, pass_fds=(writer,))
    os.close(writer)
    process.communicate(timeout=20)
    sid = int(_written(shim.folder / "sid"))

    assert select.select([reader], [], [], 5)[0] == [reader]
    assert os.read(reader, 1) == b""  # the last holder of the pipe is gone
    os.close(reader)
    assert is_running(_pid(shim))
    targets = {line.split()[-1] for line in _written(shim.folder / "fds").splitlines()[1:]}
    of_the_stub = {str(shim.folder / name) for name in ("stub-python", "fds")}  # its script, its listing
    assert targets - of_the_stub == {"/dev/null"}
    assert sid not in {os.getsid(0), process.pid}
    assert _written(shim.folder / "cwd") == "/\n"
    names = {line.partition("=")[0] for line in _written(shim.folder / "env").splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "LANG", "TZ", "LD_LIBRARY_PATH"}
    assert f"LD_LIBRARY_PATH=/gpu/{NODE}" in _written(shim.folder / "env")


def test_sampler_is_told_where_and_for_whom(shim: Shim) -> None:
    shim.run("prolog")

    words = _written(shim.folder / "started").split()
    entry = str(ROOT / "slurm_guard/hooks/sampler_main.py")
    log = str(shim.log_path)  # its words go where the hooks' do, where that is not /dev/log
    assert words == ["-I", entry, "--config", f"/etc/{NODE}/guard.toml", "--node", NODE, "--log", log]


@pytest.mark.parametrize("attempt", range(5))
def test_sampler_survives_the_kill_of_the_prologs_group(shim: Shim, attempt: int) -> None:
    process = shim.start("prolog", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.wait(timeout=20)
    for sent in (signal.SIGTERM, signal.SIGKILL):  # slurmd does just this, 10 ms apart
        try:
            os.killpg(process.pid, sent)
        except ProcessLookupError:
            pass
    time.sleep(0.05)

    assert is_running(_pid(shim))


def test_second_prolog_finds_the_first_ones_sampler(shim: Shim) -> None:
    shim.run("prolog")
    first = _pid(shim)
    shim.run("prolog")

    assert _pid(shim) == first
    assert len(_written(shim.folder / "started").splitlines()) == 1


def test_dead_sampler_is_started_again(shim: Shim) -> None:
    shim.run("prolog")
    first = _pid(shim)
    end_process(first)
    shim.run("prolog")

    assert _pid(shim) != first
    assert is_running(_pid(shim))


def test_another_process_with_the_samplers_pid_is_not_taken_for_it(shim: Shim) -> None:
    folder = shim.run_dir / NODE
    folder.mkdir(parents=True)
    (folder / "sampler.pid").write_text(f"{os.getpid()} 1\n")  # alive, but started at another time
    shim.run("prolog")

    assert _pid(shim) != os.getpid()
    assert is_running(_pid(shim))


@pytest.mark.parametrize("text", ["", "garbage", "1", "-1 -1", "9" * 60, "\x00\xff"])
def test_unreadable_pid_file_is_replaced(shim: Shim, text: str) -> None:
    folder = shim.run_dir / NODE
    folder.mkdir(parents=True)
    (folder / "sampler.pid").write_text(text, encoding="latin-1")

    assert shim.run("prolog") == SILENT
    assert is_running(_pid(shim))


def test_many_prologs_at_once_start_one_sampler(shim: Shim) -> None:
    ids = [str(n) for n in range(100, 108)]
    processes = [shim.start("prolog", {**ENV, "SLURM_JOB_ID": job_id}) for job_id in ids]
    for process in processes:
        process.communicate(timeout=30)

    assert [process.returncode for process in processes] == [0] * 8
    assert len(shim.files("tickets")) == 8
    time.sleep(0.2)
    assert len(_written(shim.folder / "started").splitlines()) == 1


def test_missing_sampler_program_is_one_line_and_the_ticket_stands(shim: Shim) -> None:
    shim.set(SAMPLER_PYTHON="/no/such/python")

    assert shim.run("prolog") == SILENT
    (line,) = shim.heard()
    assert "sampler not started" in line
    assert "No such file" in line
    assert len(shim.files("tickets")) == 1


def test_epilog_starts_no_sampler(shim: Shim) -> None:
    assert shim.run("epilog") == SILENT
    assert shim.sampler_pid() is None
