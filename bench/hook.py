"""Whole starts of the prolog and epilog shims, fsync included, beside bare interpreters in the same run.

A sampler counts as running (a pid file that names a living process), as on any node but for its first job.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_NODE = "bench"
_ENV = {
    "SLURMD_NODENAME": _NODE,
    "SLURM_CLUSTER_NAME": "bench",
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_USER": "somebody",
    "SLURM_JOB_UID": str(os.getuid() or 65534),
    "SLURM_JOB_GID": str(os.getgid() or 65534),
    "SLURM_JOB_GPUS": "0,1,2,3",
    "SLURM_JOB_COMMENT": "guard:task=pretrain;target=tokens:2e12",
    "SLURM_JOB_WORK_DIR": "/home/somebody/run",
    "SLURM_JOB_RESTART_COUNT": "0",
    "SLURM_JOB_NODELIST": "bench[1-64]",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--n", type=int, default=500, help="starts of each program")
    parser.add_argument("--dir", type=Path, help="where run folder and spool go; default: a temporary folder")
    parser.add_argument("--python", default=os.path.realpath(sys.executable), help="interpreter of the hooks")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Start each program in turn, n times; milliseconds of wall time per start."""
    folder = Path(tempfile.mkdtemp(prefix="guard-bench-", dir=options.dir))
    try:
        programs = _programs(folder, options.python)
        times: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(options.n):
            for name, argv in programs.items():
                times[name].append(_time_s(argv))
        _check(folder, options.n)
        return [_row(name, values) for name, values in times.items()]
    finally:
        shutil.rmtree(folder)


def _programs(folder: Path, python: str) -> dict[str, list[str]]:
    settings = {
        "PYTHON": python,
        "LIB": _ROOT,
        "RUN_DIR": folder / "run",
        "SPOOL_DIR": folder / "spool",
        "CLIENT_DIR": folder / "client",
        "SYSLOG": folder / "no-log",
        "DISABLED": folder / "disabled",
    }
    for name in ("prolog/slurm-guard-prolog", "epilog/slurm-guard-epilog"):
        shutil.copy(_ROOT / name, folder)
    (folder / "slurm-guard-hooks.conf").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
    (folder / "run" / _NODE).mkdir(parents=True)
    start_ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    (folder / "run" / _NODE / "sampler.pid").write_text(f"{os.getpid()} {start_ticks}\n")
    return {
        "sh -c :": ["/bin/sh", "-c", ":"],
        "python -IS -c pass": [python, "-IS", "-c", "pass"],
        "prolog": [str(folder / "slurm-guard-prolog")],
        "epilog": [str(folder / "slurm-guard-epilog")],
    }


def _time_s(argv: list[str]) -> float:
    """Wall seconds of one start, in slurmd's way: no stdin, an environment of our own."""
    begin_s = time.perf_counter()
    subprocess.run(argv, env=_ENV, stdin=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin_s


def _check(folder: Path, n: int) -> None:
    """A hook that gave up early would look fast."""
    for kind in ("tickets", "ends"):
        found = len(list((folder / "spool" / _NODE / kind).glob("*.json")))
        if found != n:
            raise RuntimeError(f"{found} {kind} after {n} starts")


def _row(name: str, values_s: list[float]) -> dict[str, Any]:
    ordered = sorted(values_s)
    quantile = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99)]
    p50, p99 = (value * 1e3 for value in quantile)
    return {"what": name, "n": len(ordered), "p50_ms": p50, "p99_ms": p99, "worst_ms": ordered[-1] * 1e3}
