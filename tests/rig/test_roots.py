"""The rig inside another Debian (tools/slurm-root): a real one where a root is made, its words elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig import root
from tests.rig.layout import CHECKOUT, RigError
from tests.rig.slurms import Night, made_roots, render

ROOTS = Path(os.environ.get("SLURM_ROOTS", CHECKOUT / ".roots"))
MADE = made_roots(ROOTS)
# Up, a job of an ordinary user, what Slurm shares and what not, down after a crash.
PARTS = "ordinary_users or oversubscribe or suspended or up_twice or after_a_crash"


@pytest.mark.rig
@pytest.mark.root
@pytest.mark.timeout(600)
@pytest.mark.skipif(os.geteuid() != 0, reason="entering a root needs root")
@pytest.mark.parametrize("name", MADE or [pytest.param("none", marks=pytest.mark.skip("no root is made"))])
def test_the_rig_lives_and_dies_on_another_debians_slurm_and_python(name: str) -> None:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/rig/test_night.py", "-k", PARTS]

    done = subprocess.run(
        root.command(ROOTS / name, words), capture_output=True, text=True, timeout=580, check=False
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert f"{(ROOTS / name).resolve()}/" not in Path("/proc/self/mounts").read_text("utf-8")


def test_a_folder_that_is_no_root_is_told_how_to_become_one(tmp_path: Path) -> None:
    with pytest.raises(RigError, match="tools/slurm-root" if os.geteuid() == 0 else "needs root"):
        root.command(tmp_path, ["-c", "pass"])


def test_two_roots_have_rigs_of_different_names(tmp_path: Path) -> None:
    assert root.folder_inside(tmp_path / "a") != root.folder_inside(tmp_path / "b")
    assert root.folder_inside(tmp_path / "a") == root.folder_inside(tmp_path / "x" / ".." / "a")


def test_the_command_says_at_once_what_it_would_enter(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.rig", "--slurm-root", str(tmp_path), "up"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("rig: ")
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_a_row_a_night_oldest_slurm_first_and_every_fault_in_words() -> None:
    good = {
        "slurm": "26.05.5", "python": "3.14.1", "mariadb": "11.8.9", "proctrack": "cgroup2",
        "runs": 8, "as_expected": 8, "worst_sum_ms": 0.4, "faults": [],
    }  # fmt: skip
    bad = {**good, "slurm": "22.05.8", "proctrack": "cgroup", "as_expected": 7, "faults": ["idle: CLEAR"]}
    nights = [Night("sid", "cgroup2", good, 130.2, ""), Night("bookworm", "cgroup", bad, 140.0, "")]
    nights.append(Night("trixie", "cgroup", None, 3.0, "rig: no munge"))

    page = render(nights, 1)

    rows = [line for line in page.splitlines() if line.startswith("| ") and " s |" in line]
    assert [row.split(" | ")[0] for row in rows] == ["| trixie", "| bookworm", "| sid"]
    assert "| sid | 26.05.5 | 3.14.1 | 11.8.9 | v2 | 8 of 8 | 0 ms | no | 130 s |" in rows
    assert "- bookworm, v1: idle: CLEAR" in page
    assert "the night failed: rig: no munge" in page
