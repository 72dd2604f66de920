"""What others take for reading the same GPUs at the same rate: nvitop's collector and a gpustat loop.

Both in their cheapest form: nvitop's ResourceMetricCollector for its own process alone, gpustat's query
alone. Neither looks at jobs, sockets or files, and neither writes anything.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import _usage

WARM_S = 5.0
PEERS = ("nvitop", "gpustat")
_ROOT = Path(__file__).resolve().parent.parent


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0, help="wall clock that each is watched for")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between readings")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Each peer in a process of its own."""
    from bench.sampler import boards

    folder = Path(tempfile.mkdtemp(prefix="guard-bench-"))
    try:
        with boards(folder, options.gpus):
            return [watch_peer(name, folder, options.interval, options.seconds) for name in PEERS]
    finally:
        shutil.rmtree(folder)


def watch_peer(name: str, folder: Path, interval_s: float, seconds: float) -> dict[str, Any]:
    """One peer's row."""
    command = [sys.executable, "-I", str(_ROOT / "bench" / "_live_peer.py"), name, str(interval_s)]
    env = {**os.environ, "LD_LIBRARY_PATH": str(folder / "gpu")}
    peer = subprocess.Popen(
        command, cwd=_ROOT, env=env, stderr=subprocess.DEVNULL
    )  # nvitop tells what is missing
    try:
        seen = _usage.watch(peer.pid, WARM_S, seconds)
        if peer.poll() is not None:
            raise RuntimeError(f"{name} ended by itself")
    finally:
        peer.kill()
        peer.wait()
    return {"what": f"{name}, {1 / interval_s:g} Hz", **columns(seen)}


def columns(seen: _usage.Watch) -> dict[str, Any]:
    """What is told of every program that was watched."""
    parts = " ".join(f"{name}:{mib:.1f}" for name, mib in sorted(seen.by_name_mib.items()))
    return {
        "cpu_pct": seen.cpu_pct,
        "pss_mib": seen.pss_mib,
        "alone_mib": seen.alone_mib,
        "rss_mib": seen.rss_mib,
        "pss_of_each": parts,
    }
