"""What of a scan is counted, and what counting costs: real connections between two network namespaces.

A run's program opens connections at a pace and closes each within milliseconds, between two looks of the
sampler; beside it another user's run opens one every 0.2 s, and a service of root's one every 0.5 s. The
sampler's own socket table looks every 10 s and takes in each second what has ended. `counted_pct`: of the
scanner's connections, those in its run's records; `told_pct`: with those that there was no room for, as the
kernel counts; `wrong`: connections of others in its records, and of its own in theirs; `addresses`: as the
records say, of those that were tried. Needs root; traffic stays between the two namespaces.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from slurm_guard import wire
from slurm_guard.config import NetworkConfig
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.sockets import SocketTable
from slurm_guard.sampler.tcpdiag import tcp_diag
from slurm_guard.sampler.writer import Instant

_ROOT = Path(__file__).resolve().parent.parent
_SCANNER, _OTHER = 61_001, 61_002  # users
_OTHERS_AT, _ROOTS_AT = "203.0.250.9", "203.0.251.9"


class _Scan(NamedTuple):
    what: str
    per_s: int
    first: str
    n: int
    port: int
    held: int
    alone: bool


_SCANS = [
    _Scan("answered, 100 a second", 100, "203.0.0.1", 60_000, 80, 4, False),
    _Scan("answered, 1,000 a second", 1000, "203.0.0.1", 60_000, 80, 8, False),
    _Scan("refused, 1,000 a second", 1000, "203.0.0.1", 60_000, 81, 8, False),
    _Scan("refused, 10,000 a second", 10_000, "203.0.0.1", 60_000, 81, 8, False),
    _Scan("answered, 10,000 a second", 10_000, "203.0.0.1", 60_000, 80, 8, False),
    _Scan("no answer, 1,000 a second", 1000, "198.18.0.1", 100_000, 80, 500, False),
    _Scan("no answer, 10,000 a second", 10_000, "198.18.0.1", 100_000, 80, 500, False),
    _Scan("refused, 10 a second, alone", 10, "203.0.0.1", 60_000, 81, 1, True),
]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--seconds", type=float, default=20.0, help="of each scan")
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a scan; each in namespaces of its own."""
    if options.inside:
        return [_inside(_SCANS[int(options.inside)], options.seconds)]
    rows = []
    for k in range(len(_SCANS)):
        words = [sys.executable, "-m", "bench", "scan", "--json", "--inside", str(k)]
        said = subprocess.run(
            ["unshare", "--net", *words, "--seconds", str(options.seconds)],
            stdout=subprocess.PIPE, text=True, cwd=_ROOT, check=True,
        ).stdout  # fmt: skip
        rows.append(json.loads(said.splitlines()[-1]))
    return rows


def _ip(*words: str, inside: int | None = None) -> None:
    there = [] if inside is None else ["nsenter", f"--net=/proc/{inside}/ns/net"]
    subprocess.run([*there, "ip", *words], check=True)


def _join(far: int) -> None:
    """This namespace and the far one; nothing else is reached from either."""
    _ip("link", "set", "lo", "up")
    _ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(far))
    _ip("addr", "add", "10.9.0.1/24", "dev", "near")
    _ip("link", "set", "near", "up")
    _ip("link", "set", "lo", "up", inside=far)
    _ip("addr", "add", "10.9.0.2/24", "dev", "far", inside=far)
    _ip("link", "set", "far", "up", inside=far)
    _ip("route", "add", "local", "203.0.0.0/16", "dev", "lo", inside=far)
    _ip("route", "add", "203.0.0.0/16", "via", "10.9.0.2")
    _ip("route", "add", "198.18.0.0/15", "via", "10.9.0.2")  # which hands nothing on, and says nothing


class _Table:
    """What the socket table needs of the node's process table."""

    def __init__(self, whose: dict[int, str | None]) -> None:
        self.by_pid: dict[int, Process] = {}
        now, proc = Instant(time.time(), time.monotonic()), Proc()
        for pid, run in whose.items():
            stat = proc.stat(pid)
            if stat is not None:
                process = self.by_pid[pid] = Process(stat, now.at, now)
                process.run, process.uid, process.exe = run, proc.ids(pid).uid, proc.link(pid, "exe")


def _inside(scan: _Scan, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/scan"
        subprocess.run(["gcc", "-O1", "-o", program, str(_ROOT / "bench" / "_scan.c")], check=True)
        os.chmod(folder, 0o755)  # noqa: PTH101
        nobody = ["0", "0", "0.0.0.0", "1", "80", "1", "0"]
        far = [_start_far(["unshare", "--net", program, *nobody])]
        try:
            time.sleep(0.3)
            _join(far[0].pid)
            for port in (443, 6817):
                words = ["nsenter", f"--net=/proc/{far[0].pid}/ns/net", program]
                far.append(_start_far([*words, *nobody[:4], str(port), *nobody[5:]]))
            time.sleep(0.3)
            return _watch(scan, seconds, program)
        finally:
            for one in far:
                one.kill()
                one.wait()


def _start_far(words: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _wait_for_user(pid: int, uid: int) -> None:
    """Each begins as root and becomes its user: what is looked up before would be taken for root's."""
    until_s = time.monotonic() + 30.0
    while Proc().ids(pid).uid != uid:
        if time.monotonic() > until_s:
            raise SystemExit(f"the program {pid} did not become user {uid} within 30 s")
        time.sleep(0.02)


def _watch(scan: _Scan, seconds: float, program: str) -> dict[str, Any]:
    def start(per_s: int, first: str, n: int, port: int, held: int, uid: int) -> "subprocess.Popen[str]":
        numbers = [per_s, seconds, first, n, port, held, uid]
        return subprocess.Popen([program, *map(str, numbers)], stdout=subprocess.PIPE, text=True)

    sockets = SocketTable(Proc(), NetworkConfig(), tcp_diag("/proc"))
    empty = _Table({})
    now = Instant(time.time(), time.monotonic())
    told: list[Any] = list(sockets.look(now, empty, set()))  # type: ignore[arg-type]
    scanner = start(scan.per_s, scan.first, scan.n, scan.port, scan.held, _SCANNER)
    whose: dict[int, str | None] = {scanner.pid: "scanner"}
    root = start(2, _ROOTS_AT, 1, 6817, 1, 0)
    whose[root.pid] = None
    others = [root]
    if not scan.alone:
        others.append(start(5, _OTHERS_AT, 1, 443, 1, _OTHER))
        whose[others[-1].pid] = "other"
    _wait_for_user(scanner.pid, _SCANNER)
    for one in others[1:]:
        _wait_for_user(one.pid, _OTHER)
    table, cpu_s, until_s = _Table(whose), 0.0, time.monotonic() + seconds + 2.0
    runs = {run for run in whose.values() if run is not None}
    begun_s, k = time.monotonic(), 0
    while time.monotonic() < until_s:
        before_s = time.thread_time()
        now = Instant(time.time(), time.monotonic())
        if k % 10 == 0:
            told += sockets.look(now, table, runs)  # type: ignore[arg-type]
        sockets.hear(now.mono_s)
        cpu_s += time.thread_time() - before_s
        k += 1
        time.sleep(max(0.0, begun_s + k - time.monotonic()))
    made, n_others = int(scanner.communicate()[0]), [int(one.communicate()[0]) for one in others]
    now = Instant(time.time(), time.monotonic())
    told += sockets.look(now, table, runs)  # type: ignore[arg-type]
    for run in runs:
        told += sockets.end(run, now)
    sockets.close()
    return _row(scan, told, made, sum(n_others), (100 * cpu_s / (seconds + 2.0), sockets.n_unheard))


def _row(scan: _Scan, told: list[Any], made: int, n_others: int, cost: tuple[float, int]) -> dict[str, Any]:
    briefs = [t for t in told if isinstance(t, wire.BriefSeen)]
    mine = [t for t in briefs if t.run == "scanner"]
    n = sum(t.n for t in mine)
    strange = sum(
        p.n for t in briefs for p in t.places
        if (t.run == "scanner") == p.peer.startswith((_OTHERS_AT, _ROOTS_AT))
    )  # fmt: skip
    return {
        "what": scan.what,
        "made": made,
        "counted_pct": 100.0 * n / made,
        "told_pct": 100.0 * (n + cost[1] * made / (made + n_others)) / made,
        "failed_pct": 100.0 * sum(t.n_failed for t in mine) / max(1, n),
        "by": "+".join(sorted({t.how or "-" for t in mine})),
        "wrong": strange,
        "flow_records": sum(isinstance(t, wire.FlowSeen) for t in told),
        "brief_records": len(briefs),
        "addresses": sum(t.n_addresses for t in mine),
        "tried": min(made, scan.n),
        "cpu_pct": cost[0],
    }
