"""doctor runs on nodes, where the audit's packages are not installed."""

import subprocess
import sys
from pathlib import Path

HEAVY = ("polars", "jinja2", "typer", "markupsafe", "css_inline", "apprise", "pynvml", "pyslurm")


def test_nothing_of_the_audit_is_needed() -> None:
    code = (
        "import sys, slurm_guard.doctor.collect, slurm_guard.doctor.registry, slurm_guard.doctor.show\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "[]\n"
