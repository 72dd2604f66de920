"""The sampler as a process on a machine without NVML: one per node, told to stop, killed, started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


class _Site:
    """A configuration in a temporary folder, and samplers started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "guard.toml"
        self.config.write_text(
            f'[node]\nrun_dir = "{folder}/run"\nspool_dir = "{folder}/spool"\nsample_interval_s = 0.1\n'
            f'table_interval_s = 0.3\nwindow_s = 1.0\ndisabled = "{folder}/disabled"\n'
        )
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", str(ROOT / "slurm_guard" / "sampler" / "__main__.py")]
        child = subprocess.Popen([*command, "--config", str(self.config), "--node", "n1", *more])
        self.started.append(child)
        return child

    def records(self) -> list[dict[str, Any]]:
        spool = self.folder / "spool" / "n1"
        paths = sorted([*spool.glob("sealed/*"), *spool.glob("open/*")], key=lambda p: p.name)
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    def wait_for(self, name: str, n: int = 1) -> list[dict[str, Any]]:
        until = time.monotonic() + 15
        while time.monotonic() < until:
            found = [r for r in self.records() if r.get("name") == name]
            if len(found) >= n:
                return found
            time.sleep(0.05)
        raise AssertionError(f"no {name}")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[_Site]:
    site = _Site(tmp_path)
    yield site
    for child in site.started:
        child.kill()
        child.wait()


def test_told_to_stop_it_says_why_and_leaves_nothing_open(site: _Site) -> None:
    child = site.start()
    site.wait_for("sampler-started")

    child.terminate()

    assert child.wait(10) == 0
    assert [r["detail"]["reason"] for r in site.wait_for("sampler-stopped")] == ["SIGTERM"]
    assert not list((site.folder / "spool" / "n1" / "open").iterdir())
    assert [r["reason"] for r in site.records() if r["k"] == "tail"] == ["sampler-stopped"]


def test_a_second_sampler_of_the_node_leaves_at_once_and_quietly(site: _Site) -> None:
    site.start()
    site.wait_for("sampler-started")
    pid = (site.folder / "run" / "n1" / "sampler.pid").read_text()

    second = site.start()

    assert second.wait(15) == 0
    assert (site.folder / "run" / "n1" / "sampler.pid").read_text() == pid
    assert len(site.wait_for("sampler-started")) == 1


def test_killed_it_is_taken_up_by_the_next_one_without_a_hole_in_the_chain(site: _Site) -> None:
    first = site.start()
    site.wait_for("sampler-started")
    first.send_signal(signal.SIGKILL)
    first.wait()

    site.start()

    (recovered,) = site.wait_for("segment-recovered")
    assert recovered["detail"]["file"].startswith("node_")
    heads = [r for r in site.records() if r["k"] == "head"]
    tails = [r for r in site.records() if r["k"] == "tail"]
    assert [h["seq"] for h in heads] == [0, 1]
    assert (tails[0]["reason"], heads[1]["prev_sha256"]) == ("recovered", tails[0]["sha256"])


def test_it_holds_nothing_of_its_parents_and_no_secret_mode(site: _Site) -> None:
    child = site.start()
    site.wait_for("sampler-started")
    pid, start_ticks = (site.folder / "run" / "n1" / "sampler.pid").read_text().split()

    stat = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    assert (int(pid), int(start_ticks)) == (child.pid, int(stat[19]))
    for path in (site.folder / "spool" / "n1").rglob("*"):
        assert path.stat().st_mode & 0o027 == 0


@pytest.mark.parametrize("words", [["--nod", "n1"], ["--node"], ["--node", "../x"]])
def test_wrong_words_are_a_usage_error(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-m", "slurm_guard.sampler", *words]

    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=30, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage:")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")
    config = tmp_path / "guard.toml"
    config.write_text(f'[node]\nrun_dir = "{tmp_path}/run"\nspool_dir = "{tmp_path}/spool"\n')
    command = [sys.executable, "-I", "-m", "slurm_guard.sampler", "--config", str(config), "--node", "n1"]

    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=30, check=False)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert os.fspath(tmp_path) in done.stderr
