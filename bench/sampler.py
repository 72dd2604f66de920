"""The sampler's own cost: CPU share of one core and peak memory, beside what others take for less.

A real loop over real /proc, real sockets and NVML's library through pynvml. The library is the rig's,
with a real driver's latencies: calls sleep 3 to 140 µs, a process list 4.5 ms. They sleep, as a call
that waits for the driver does: they make rounds long, and cost the CPU time of the call and the sleep
alone.

Rows by the wall clock watch a program with all its processes, from outside; each is begun by a few lines
that import next to nothing. `pss_mib` is the sum of their proportional sizes on this machine; `alone_mib`
counts private pages and the shared ones once: what it would take if nothing else ran Python; `rss_mib`
counts shared pages once for each process. `below_both` says for CPU and each of these whether ours is
lower than every other. Rows by a turned clock live through `--turned` seconds in a moment, with NVML in
the same process, to show what grows with time; `cpu_pct` there is of the turned time. The last row is the
first with `--many` connections, of which the table follows 512 of each job.
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

from bench import _live_sampler

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
    parser.add_argument("--many", type=int, default=5000, help="connections of a row of its own; 0: none")
    parser.add_argument("--seconds", type=float, default=60.0, help="wall clock that each is watched for")
    parser.add_argument("--turned", type=float, default=1800.0, help="turned time to live through; 0: none")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Each row in a process of its own, so that peak memory is its own."""
    folder = Path(tempfile.mkdtemp(prefix="guard-bench-"))
    try:
        with boards(folder, options.gpus):
            with _jobs(options.procs, options.sockets) as pids:
                rows = _usual(folder, pids, options)
            if options.many > 0:
                with _jobs(options.procs, options.many) as pids:
                    _load(folder / "gpu" / "loads", pids, options.gpus)
                    rows.append(_wall(folder, "many", pids, options))
                    rows[-1]["what"] += f", {options.many:,} connections"
    finally:
        shutil.rmtree(folder)
    heads = list(dict.fromkeys(head for row in rows for head in row))
    return [{head: row.get(head) for head in heads} for row in rows]


def _usual(folder: Path, pids: list[int], options: argparse.Namespace) -> list[dict[str, Any]]:
    """The row of the budget, those of others beside it, and those by a turned clock."""
    from bench import peers

    _load(folder / "gpu" / "loads", pids, options.gpus)
    rows = [_wall(folder, "usual", pids, options)]
    rows += [peers.watch_peer(name, folder, 1.0, options.seconds) for name in peers.PEERS]
    rows[0]["below_both"] = _below(rows)
    if options.turned > 0:
        rows += [_turned(folder, name, pids, options) for name in _SCALES]
    return rows


def _below(rows: list[dict[str, Any]]) -> str:
    """In what the first row is lower than every other."""
    ours, *others = rows
    heads = ("cpu_pct", "pss_mib", "alone_mib", "rss_mib")
    below = {head: all(ours[head] < row[head] for row in others) for head in heads}
    return " ".join(f"{head.partition('_')[0]}:{'yes' if is_so else 'NO'}" for head, is_so in below.items())


def _load(loads: Path, pids: list[int], n_gpus: int) -> None:
    """Two of the jobs' processes at work on each GPU, as the rig's boards understand it."""
    for place, pid in enumerate(pids[: 2 * n_gpus]):
        wish = {"gpus": [place % n_gpus], "kind": "train", "demand": 0.4, "mem_mib": 20000}
        (loads / f"new.{pid}x").write_text(json.dumps(wish))
        (loads / f"new.{pid}x").rename(loads / str(pid))


def _wall(base: Path, name: str, pids: list[int], options: argparse.Namespace) -> dict[str, Any]:
    """The sampler as a prolog starts it, watched from outside."""
    from bench import _usage, peers

    jobs, folder = _jobs_of(pids, options.gpus), base / name
    folder.mkdir()
    (folder / "pids").write_text("".join(f"{pid} {job}\n" for pid, job in jobs.items()))
    _put_tickets(folder / "run" / "n", options.gpus, time.time())
    node = {"run_dir": str(folder / "run"), "spool_dir": str(folder / "spool"), **_node(options.gpus)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in node.items()]
    (folder / "guard.toml").write_text("\n".join(["[node]", *lines]) + "\n")
    sampler = _start_live(folder, base / "gpu")
    assert sampler.stdout is not None
    try:
        seen = _usage.watch(sampler.pid, peers.WARM_S, options.seconds)
        if sampler.poll() is not None:
            raise RuntimeError("the sampler ended by itself")
        sampler.terminate()
        longest_ms, n_procs, n_flows = sampler.stdout.read().split()
    finally:
        sampler.kill()
        sampler.wait()
        sampler.stdout.close()
    followed = {"longest_round_ms": float(longest_ms), "procs": int(n_procs), "flows": int(n_flows)}
    return {"what": "slurm-guard, 1 Hz, wall clock", **peers.columns(seen), **followed}


def _start_live(folder: Path, library: Path) -> "subprocess.Popen[str]":
    """The command and environment of the prolog's, with a program of ours in the place of its entry."""
    from slurm_guard.hooks import launch
    from slurm_guard.hooks.settings import Settings

    known = {"sampler_python": sys.executable, "config": str(folder / "guard.toml")}
    settings = Settings(sampler_ld_library_path=str(library), lib="LIB", **known)
    program = [str(_ROOT / "bench" / "_live_sampler.py"), str(folder / "pids")]
    command = []
    for word in launch.command(settings, "n"):
        command += program if word.startswith("LIB/") else [word]
    env = launch.sampler_env(settings, "n")
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd="/", env=env)


def _turned(folder: Path, scale: str, pids: list[int], options: argparse.Namespace) -> dict[str, Any]:
    own = {"folder": str(folder / scale.split()[0]), "scale": scale, "jobs": _jobs_of(pids, options.gpus)}
    env = {**os.environ, "LD_LIBRARY_PATH": str(folder / "gpu")}
    said = subprocess.run(
        [sys.executable, "-m", "bench.sampler"],
        input=json.dumps({**own, **vars(options)}),
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        env=env,
        check=True,
    ).stdout
    row: dict[str, Any] = json.loads(said)
    return {"what": f"turned clock, {scale}", **row}


def _jobs_of(pids: list[int], n_gpus: int) -> dict[str, int]:
    return {str(pid): 1 + place % n_gpus for place, pid in enumerate(pids)}


@contextmanager
def boards(folder: Path, n: int) -> Iterator[None]:
    """The rig's board process with its NVML library, which takes its time as a driver does."""
    gpu = folder / "gpu"
    command = [sys.executable, "-m", "tests.rig.gpu", "--dir", str(gpu), "--count", str(n), "--seed", "1"]
    boards = subprocess.Popen(command, cwd=_ROOT)
    try:
        until = time.monotonic() + 30
        while not (gpu / "ready").exists():
            if time.monotonic() > until or boards.poll() is not None:
                raise RuntimeError("the boards did not start")
            time.sleep(0.1)
        (gpu / "knobs").write_text("latency 1\n")
        yield
    finally:
        boards.terminate()
        boards.wait()


@contextmanager
def _jobs(n_procs: int, n_sockets: int) -> Iterator[list[int]]:
    """Idle processes that stand for the jobs'; the first ones hold the connections, 50 each or more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 3 * n_sockets + 1024)), hard))
    each = max(50, -(-n_sockets // n_procs))
    server = socket.create_server(("127.0.0.1", 0), backlog=n_sockets)
    kept = []
    children = []
    try:
        for place in range(n_procs):
            mine = [
                socket.create_connection(server.getsockname()) for _ in range(_share(place, n_sockets, each))
            ]
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


def _share(place: int, n_sockets: int, each: int) -> int:
    return max(0, min(each, n_sockets - each * place))


# -- the process with a turned clock


def _live(order: dict[str, Any]) -> dict[str, Any]:
    """One sampler over a turned time."""
    from slurm_guard.clock import FakeClock
    from slurm_guard.config import Config, NodeConfig
    from slurm_guard.sampler.loop import Loop, Place
    from slurm_guard.sampler.nvml import NvmlReader
    from slurm_guard.sampler.procfs import Proc
    from slurm_guard.sampler.runs import Folders

    _live_sampler.put_into_jobs(order["jobs"])
    proc, clock = Proc(), FakeClock(time.time())
    clock.sleep(time.clock_gettime(time.CLOCK_BOOTTIME) - clock.mono_s())  # start times stay right
    clock.step_s(time.time() - clock.now_at())
    folders = Folders(f"{order['folder']}/run", f"{order['folder']}/spool")
    _put_tickets(Path(folders.run), order["gpus"], clock.now_at())
    config = Config(node=NodeConfig(**_node(order["gpus"]), **_SCALES[order["scale"]]))
    reader = NvmlReader(clock.mono_s, clock.now_at)
    loop = Loop(config, Place("n", proc.boot_id(), folders), clock, reader, proc)
    loop.start()
    row = _turn(loop, clock, order["turned"])
    size = sum(path.stat().st_size for path in Path(folders.spool).rglob("*.jsonl"))
    return {**row, "spool_kib_per_gpu_h": size / 1024 / order["gpus"] / (order["turned"] / 3600)}


def _node(n_gpus: int) -> dict[str, Any]:
    """The simulated boards have no device files."""
    return {"disabled": "/nonexistent", "gres_devices": [f"/dev/nvidia{gpu}" for gpu in range(n_gpus)]}


def _put_tickets(run: Path, n_gpus: int, now_at: float) -> None:
    """One job of ours on each GPU."""
    from slurm_guard.sampler.procfs import Proc

    (run / "tickets").mkdir(parents=True)
    for gpu in range(n_gpus):
        _put_ticket(run / "tickets", gpu, now_at - 60, Proc().boot_id())


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
    procs, flows = _live_sampler.count(loop)
    loop.stop("bench")
    return {
        "cpu_pct": 100 * spent_s / seconds,
        "longest_round_ms": 1000 * longest_s,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "procs": procs,
        "flows": flows,
    }


if __name__ == "__main__":
    json.dump(_live(json.load(sys.stdin)), sys.stdout)
