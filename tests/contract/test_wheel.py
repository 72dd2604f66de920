"""The wheel is whole: hooks and templates are in it. That it works elsewhere is test_packages.py's."""

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
