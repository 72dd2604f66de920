"""The wheel is whole: hooks and templates are in it, and it works away from the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CARRIED = [
    "slurm_guard/share/prolog/slurm-guard-prolog",
    "slurm_guard/share/prolog/slurm-guard-task-prolog",
    "slurm_guard/share/epilog/slurm-guard-epilog",
    "slurm_guard/hooks/main.py",
    "slurm_guard/py.typed",
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(out), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    return next(out.glob("*.whl"))


def test_hooks_and_templates_are_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    assert [name for name in CARRIED if name not in names] == []
    assert any(
        name.startswith("slurm_guard/share/reports/") and name.endswith((".html", ".j2")) for name in names
    )
    assert any(name.endswith(".data/data/share/man/man1/slurm-guard-report.1") for name in names)
    assert "slurm_guard/share/schema/audit-1.schema.json" in names
    assert not any(name.startswith(("tests/", "bench/", "tools/")) for name in names)


def test_the_installed_wheel_runs_a_night_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    away = tmp_path / "away"
    away.mkdir()
    code = (
        "import slurm_guard, sys; assert slurm_guard.__file__.startswith(sys.argv.pop(1));"
        "from slurm_guard.cli.app import main; main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(site), "demo", "--out", str(away / "night")],
        cwd=away, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.strip().splitlines()[-1].split()[-1])
    assert page.read_text().startswith("<!")
    home = (away / "night" / ".slurm-guard-demo").read_text()
    if home:  # the jobs' files stood elsewhere, as their users could not enter this folder
        shutil.rmtree(home)
