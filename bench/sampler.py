"""The sampler's own cost: CPU share of one core and peak memory, at production and at the rig's time scales.

A real loop over real /proc, real sockets and NVML's library through pynvml (the rig's simulated boards: the
latencies of a real driver are not in these numbers). Only its clock is turned by hand, so that an hour takes
seconds. The helper and the progress reader are processes of their own, not counted.
"""

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_SCALES: dict[str, dict[str, Any]] = {
    "production (1 Hz, tables 10 s, files 60 s)": {},
    "rig (4 Hz, tables 1 s, files 2 s)": {
        "sample_interval_s": 0.25,
        "window_s": 5.0,
        "table_interval_s": 1.0,
        "file_interval_s": 2.0,
        "segment_s": 30.0,
    },
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--procs", type=int, default=200, help="processes of the jobs")
    parser.add_argument("--sockets", type=int, default=500, help="established connections of the jobs")
    parser.add_argument("--seconds", type=float, default=1800.0, help="time that the loop lives through")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Each scale in a process of its own, so that peak memory is its own."""
    folder = Path(tempfile.mkdtemp(prefix="guard-bench-"))
    try:
        with _boards(folder, options.gpus), _jobs(options.procs, options.sockets) as pids:
            return [_child(folder, name, pids, options) for name in _SCALES]
    finally:
        shutil.rmtree(folder)


def _child(folder: Path, scale: str, pids: list[int], options: argparse.Namespace) -> dict[str, Any]:
    order = {"folder": str(folder / scale.split()[0]), "scale": scale, "pids": pids, **vars(options)}
    done = subprocess.run(
        [sys.executable, "-m", "bench.sampler"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=True,
        cwd=_ROOT,
        env={**os.environ, "LD_LIBRARY_PATH": str(folder / "gpu")},
    )
    row: dict[str, Any] = json.loads(done.stdout)
    return row


@contextmanager
def _boards(folder: Path, n: int) -> Iterator[None]:
    """The rig's board process with its NVML library."""
    gpu = folder / "gpu"
    command = [sys.executable, "-m", "tests.rig.gpu", "--dir", str(gpu), "--count", str(n), "--seed", "1"]
    boards = subprocess.Popen(command, cwd=_ROOT)
    try:
        until = time.monotonic() + 30
        while not (gpu / "ready").exists():
            if time.monotonic() > until or boards.poll() is not None:
                raise RuntimeError("the boards did not start")
            time.sleep(0.1)
        yield
    finally:
        boards.terminate()
        boards.wait()


@contextmanager
def _jobs(n_procs: int, n_sockets: int) -> Iterator[list[int]]:
    """Idle processes that stand for the jobs'; the first ones hold the connections, 50 each."""
    server = socket.create_server(("127.0.0.1", 0), backlog=n_sockets)
    kept = []
    children = []
    try:
        for place in range(n_procs):
            mine = [socket.create_connection(server.getsockname()) for _ in range(_share(place, n_sockets))]
            kept += [server.accept()[0] for _ in mine]
            fds = [part.fileno() for part in mine]
            children.append(subprocess.Popen(["sleep", "3600"], pass_fds=fds, stdout=subprocess.DEVNULL))
            for part in mine:
                part.close()
        yield [child.pid for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
        for part in kept:
            part.close()
        server.close()


def _share(place: int, n_sockets: int) -> int:
    return max(0, min(50, n_sockets - 50 * place))


# -- the measured process


def _live(order: dict[str, Any]) -> dict[str, Any]:
    """One sampler over `seconds` of turned time."""
    from slurm_guard.clock import FakeClock
    from slurm_guard.config import Config, NodeConfig
    from slurm_guard.sampler.loop import Loop, Place
    from slurm_guard.sampler.nvml import NvmlReader
    from slurm_guard.sampler.procfs import Proc
    from slurm_guard.sampler.runs import Folders

    paths = {
        pid: f"0::/system.slice/slurmstepd.scope/job_{1 + place % order['gpus']}/step_0/user/task_0\n"
        for place, pid in enumerate(order["pids"])
    }

    class JobProc(Proc):
        """/proc, but the benchmark's processes say the cgroup of one of the jobs."""

        def read(self, pid: int | str, name: str, limit: int = 1 << 16) -> str | None:
            text = super().read(pid, name, limit)
            return paths.get(pid, text) if name == "cgroup" and isinstance(pid, int) else text

    proc, clock = JobProc(), FakeClock(time.time())
    clock.sleep(time.clock_gettime(time.CLOCK_BOOTTIME) - clock.mono_s())  # start times stay right
    clock.step_s(time.time() - clock.now_at())
    folders = Folders(f"{order['folder']}/run", f"{order['folder']}/spool")
    Path(folders.run, "tickets").mkdir(parents=True)
    for gpu in range(order["gpus"]):
        _put_ticket(Path(folders.run, "tickets"), gpu, clock.now_at() - 60, proc.boot_id())
    files = [f"/dev/nvidia{gpu}" for gpu in range(order["gpus"])]  # the simulated boards have no device files
    config = Config(node=NodeConfig(disabled="/nonexistent", gres_devices=files, **_SCALES[order["scale"]]))
    reader = NvmlReader(clock.mono_s, clock.now_at)
    loop = Loop(config, Place("n", proc.boot_id(), folders), clock, reader, proc)
    loop.start()
    return {"what": order["scale"], **_turn(loop, clock, order["seconds"]), **_written(folders.spool, order)}


def _put_ticket(folder: Path, gpu: int, at: float, boot_id: str) -> None:
    """One job of ours on one GPU."""
    from slurm_guard import wire

    run = wire.run_key("c", gpu + 1, "n", boot_id, at)
    nulls: dict[str, Any] = dict.fromkeys(wire.Ticket._fields)
    known = {"run": run, "at": at, "node": "n", "cluster": "c", "job_id": gpu + 1, "boot_id": boot_id}
    ours = {"uid": os.getuid(), "gid": os.getgid(), "gpus": [gpu], "why": {}, "format": wire.FORMAT}
    ticket = wire.Ticket(**{**nulls, **known, **ours})
    (folder / f"{wire.stem(run)}.json").write_text(wire.encode(ticket))


def _turn(loop: Any, clock: Any, seconds: float) -> dict[str, Any]:
    until_s = clock.mono_s() + seconds
    cpu_s = time.process_time()
    longest_s = 0.0
    while clock.mono_s() < until_s and loop.stop_reason is None:
        begun_s = time.perf_counter()
        loop.tick()
        longest_s = max(longest_s, time.perf_counter() - begun_s)
        clock.sleep(max(0.0, loop._wait_s()))
    spent_s = time.process_time() - cpu_s
    members = sum(1 for process in loop.tables.processes.by_pid.values() if process.run is not None)
    flows = len(loop.tables.sockets._flows)
    loop.stop("bench")
    return {
        "cpu_pct": 100 * spent_s / seconds,
        "longest_round_ms": 1000 * longest_s,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "procs": members,
        "flows": flows,
    }


def _written(spool: str, order: dict[str, Any]) -> dict[str, Any]:
    size = sum(path.stat().st_size for path in Path(spool).rglob("*.jsonl"))
    return {"spool_kib_per_gpu_h": size / 1024 / order["gpus"] / (order["seconds"] / 3600)}


if __name__ == "__main__":
    json.dump(_live(json.load(sys.stdin)), sys.stdout)
