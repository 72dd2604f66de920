"""What others take for reading the same GPUs at the same rate: nvitop's collector and a gpustat loop.

Both in their cheapest form: nvitop's ResourceMetricCollector for its own process alone, gpustat's query
alone. Neither looks at jobs, sockets or files, and neither writes anything.
"""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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
    command = [sys.executable, "-m", "bench.peers", name, str(interval_s)]
    env = {**os.environ, "LD_LIBRARY_PATH": str(folder / "gpu")}
    peer = subprocess.Popen(command, cwd=_ROOT, env=env)
    try:
        seen = _usage.watch(peer.pid, WARM_S, seconds)
        if peer.poll() is not None:
            raise RuntimeError(f"{name} ended by itself")
    finally:
        peer.kill()
        peer.wait()
    return {
        "what": f"{name}, {1 / interval_s:g} Hz",
        "cpu_pct": seen.cpu_pct,
        "pss_mib": seen.pss_mib,
        "alone_mib": seen.alone_mib,
    }


def _nvitop(interval_s: float) -> None:
    nvitop: Any = importlib.import_module("nvitop")
    collector = nvitop.ResourceMetricCollector(nvitop.Device.all(), interval=interval_s)
    with collector(tag="bench"):
        _every(interval_s, collector.collect)


def _gpustat(interval_s: float) -> None:
    gpustat: Any = importlib.import_module("gpustat")
    _every(interval_s, gpustat.new_query)


def _every(interval_s: float, call: Callable[[], object]) -> None:
    """At the rate that is asked for, however long the call takes."""
    next_s = time.monotonic()
    while True:
        call()
        next_s = max(next_s + interval_s, time.monotonic())
        time.sleep(max(0.0, next_s - time.monotonic()))


if __name__ == "__main__":
    {"nvitop": _nvitop, "gpustat": _gpustat}[sys.argv[1]](float(sys.argv[2]))
