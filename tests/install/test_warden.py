"""A test that is killed leaves no sampler of its own behind, and touches nobody else's."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.hooks.launch import command
from slurm_guard.hooks.settings import Settings
from tests.install.warden import guarded, samplers_below
from tests.rig.layout import CHECKOUT
from tests.rig.procs import start_ticks

TEST = """
import sys, time
from pathlib import Path
from tests.install.warden import guarded
with guarded(Path(sys.argv[1])):
    print("under guard", flush=True)
    time.sleep(600)
"""


def _sampler(config: Path) -> subprocess.Popen[bytes]:
    """Something with a sampler's command line, in a session of its own and without the test's environment."""
    words = command(Settings(lib=str(CHECKOUT), config=str(config)), "n1")[1:]
    argv = [sys.executable, "-c", "import time; time.sleep(600)", *words]
    return subprocess.Popen(argv, start_new_session=True, env={}, stdin=subprocess.DEVNULL)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "top"
    folder.mkdir()
    return folder


@pytest.fixture
def samplers(top: Path) -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    """One of the test's own, below a prefix, and one of another folder whose name begins alike."""
    both = _sampler(top / "guard/etc/slurm-guard/guard.toml"), _sampler(Path(f"{top}2/etc/guard.toml"))
    yield both
    for each in both:
        each.kill()
        each.wait()


def _is_gone(process: subprocess.Popen[bytes], limit_s: float = 60.0) -> bool:
    until = time.monotonic() + limit_s
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    return process.poll() is not None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_test_leaves_no_sampler_behind(
    top: Path, samplers: tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    own, others = samplers
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    test = subprocess.Popen(
        [sys.executable, "-P", "-c", TEST, str(top)],
        cwd="/",
        env=env,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert test.stdout is not None
    assert test.stdout.readline() == b"under guard\n"
    assert samplers_below(top) == [own.pid]

    os.killpg(test.pid, number)  # and all that is in its group

    test.wait(30)
    test.stdout.close()
    assert _is_gone(own)
    assert start_ticks(others.pid) is not None


def test_the_end_of_the_block_cleans_as_well(
    top: Path, samplers: tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]
) -> None:
    with guarded(top):
        assert samplers[0].poll() is None

    assert _is_gone(samplers[0], 5.0)
    assert not top.exists()
    assert samplers[1].poll() is None
