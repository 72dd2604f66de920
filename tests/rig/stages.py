"""Runs slurm-guard as the unprivileged auditor, who cannot see the tests, the loads or the truth."""

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.rig import procs, users
from tests.rig.layout import AUDITOR, CHECKOUT, NODES, Rig, RigError


def run_guard(rig: Rig, args: Sequence[str], limit_s: float = 120.0) -> str:
    """`slurm-guard ARGS --config …` behind the curtain; its output. RigError when it does not end well."""
    program = Path(rig.python).parent / "slurm-guard"
    done = _behind_curtain(rig, [str(program), *args, "--config", str(rig.guard_toml)], limit_s)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()[-1500:]
        raise RigError(f"slurm-guard {args[0]} ended with status {done.returncode}: {words}")
    return done.stdout


def check_curtain(rig: Rig) -> list[str]:
    """What the auditor could read although he must not; empty: nothing. Tried, not assumed."""
    secrets = [CHECKOUT / "tests" / "rig" / "expected.toml", CHECKOUT / "tests" / "rig" / "scenarios.py"]
    for node in NODES:
        folder = rig.gpu_dir(node.name)
        secrets += [folder / "truth.jsonl", folder / "loads", folder / "grants", folder / "boards.state"]
    script = 'for f; do if cat "$f" >/dev/null 2>&1 || ls "$f/" >/dev/null 2>&1; then echo "$f"; fi; done'
    missing = [str(path) for path in secrets if not path.exists()]
    if missing:
        raise RigError(f"the curtain cannot be tried: {missing} do not exist")
    done = _behind_curtain(rig, ["sh", "-c", script, "sh", *map(str, secrets)], 30.0)
    # The trial itself must have run, or an error would look like a closed curtain.
    alive = _behind_curtain(rig, ["cat", str(rig.guard_toml)], 30.0)
    if done.returncode != 0 or alive.returncode != 0:
        raise RigError(f"the curtain cannot be tried: {done.stderr or alive.stderr}")
    return done.stdout.split()


def _behind_curtain(rig: Rig, argv: list[str], limit_s: float) -> subprocess.CompletedProcess[str]:
    hidden = [CHECKOUT / "tests", rig.path / "nodes"]
    mounts = [f"mount -t tmpfs -o size=4k,mode=000 none {shlex.quote(str(path))}" for path in hidden]
    command = shlex.join([*users.as_user(AUDITOR), *argv])
    script = "set -e; " + "; ".join(mounts) + f"; exec {command}"
    env = {**procs.base_env(rig), "HOME": str(rig.home(AUDITOR)), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        env=env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
