"""A site that measures already: exporters' text of a night, and Debian's Prometheus holding it.

The night is of two nodes with four GPUs each, read every 30 s:
    11  every GPU of n1, busy for an hour, its power high
    12  every GPU of n2, held for an hour, idle
    13  two GPUs of n1 after that, by jobstats' word; the other two are nobody's
    14  two GPUs of n2, of which nobody says which they are
"""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slurm_guard.slurm.rows import format_rows

AT = 1_780_002_000.0  # 2026-05-28 21:00 UTC
HOUR = 3600.0
STEP_S = 30.0
NODES = ("n1", "n2")
UUIDS = {
    node: [f"GPU-{k}{n}000000-0000-4000-8000-000000000000" for k in range(4)] for n, node in enumerate(NODES)
}


def find_program(name: str) -> str | None:
    """Debian's, wherever it lies; null: it is not installed."""
    return shutil.which(name)


def busy_of(node: str, gpu: int, at: float) -> float:
    """Percent."""
    if node == "n1" and at < AT + HOUR:
        return 93.0
    return 80.0 if (node == "n1" and gpu < 2) or (node == "n2" and gpu < 2 and at >= AT + HOUR) else 0.0


def holder_of(node: str, gpu: int, at: float) -> int:
    """As jobstats' prolog would have written it on n1; on n2 nobody did."""
    if node == "n1" and at < AT + HOUR:
        return 11
    return 13 if node == "n1" and gpu < 2 else 0


def openmetrics(hole: tuple[float, float] = (0.0, 0.0), until_s: float = 2 * HOUR) -> str:
    """What two nodes' exporters say in the night, for promtool; nothing of n1 within the hole."""
    parts: dict[str, list[str]] = {}
    energy = dict.fromkeys(((node, k) for node in NODES for k in range(4)), 5e9)
    for n in range(int(until_s / STEP_S) + 1):
        at = AT + n * STEP_S
        for node, k in energy:
            busy = busy_of(node, k, at)
            energy[node, k] += (60.0 + 6.0 * busy) * STEP_S * 1000
            if node == "n1" and hole[0] <= at < hole[1]:
                continue
            for name, labels, value in _series(node, k, busy, energy[node, k]):
                parts.setdefault(name, []).append(f"{name}{{{labels}}} {value:.0f} {at:.3f}")
            if node == "n1":
                own = f'minor_number="{k}",uuid="{UUIDS[node][k]}",name="H100",instance="n1:9445",job="gpus"'
                row = f"nvidia_gpu_jobId{{{own}}} {holder_of(node, k, at)} {at:.3f}"
                parts.setdefault("nvidia_gpu_jobId", []).append(row)
    lines = [line for name, rows in parts.items() for line in (f"# TYPE {name} gauge", *rows)]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _series(node: str, k: int, busy: float, energy: float) -> list[tuple[str, str, float]]:
    labels = (
        f'gpu="{k}",UUID="{UUIDS[node][k]}",device="nvidia{k}",modelName="NVIDIA H100 80GB HBM3",'
        f'Hostname="{node}.example.org",instance="{node}:9400",job="dcgm"'
    )
    return [
        ("DCGM_FI_DEV_GPU_UTIL", labels, busy),
        ("DCGM_FI_DEV_POWER_USAGE", labels, 60.0 + 6.0 * busy),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", labels, energy),
        ("DCGM_FI_DEV_FB_USED", labels, 40_000.0 if busy else 4.0),
    ]


def sacct_text() -> str:
    """Accounting of the same night."""
    rows = [
        _row(11, "n1", 0, HOUR, 4),
        _row(12, "n2", 0, HOUR, 4),
        _row(13, "n1", HOUR, 2 * HOUR, 2),
        _row(14, "n2", HOUR, 2 * HOUR, 2),
    ]
    return format_rows(rows)


def _row(job: int, node: str, since_s: float, until_s: float, gpus: int) -> dict[str, str]:
    start, end = int(AT + since_s), int(AT + until_s)
    return {
        "JobIDRaw": str(job), "JobID": str(job), "Cluster": "c", "State": "COMPLETED",
        "Submit": str(start - 60), "Start": str(start), "End": str(end), "ElapsedRaw": str(end - start),
        "Suspended": "00:00:00", "NNodes": "1", "NodeList": node, "User": "ann", "UID": "1000",
        "Account": "lab", "Partition": "gpu", "QOS": "normal", "JobName": "train", "WorkDir": "/home/ann",
        "AllocTRES": f"billing=1,cpu=1,gres/gpu={gpus},node=1",
    }  # fmt: skip


@contextmanager
def prometheus(folder: Path, text: str) -> Iterator[str]:
    """The address of a server that holds these readings. Needs prometheus and promtool."""
    server, tool = find_program("prometheus"), find_program("promtool")
    assert server is not None
    assert tool is not None
    (folder / "metrics.txt").write_text(text)
    (folder / "empty.yml").write_text("global: {}\n")
    blocks = ["tsdb", "create-blocks-from", "openmetrics", str(folder / "metrics.txt"), str(folder / "data")]
    subprocess.run([tool, *blocks], check=True, capture_output=True, timeout=120)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--web.listen-address=127.0.0.1:{port}", f"--config.file={folder / 'empty.yml'}"]
    options += [f"--storage.tsdb.path={folder / 'data'}", "--storage.tsdb.retention.time=100y"]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen([server, *options], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, child, folder / "log")
        yield url
    finally:
        child.terminate()
        child.wait(timeout=30)


def _wait(url: str, child: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(300):
        if child.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])


def answer(text: str, query: str, at: float) -> bytes:
    """What the HTTP API says to `metric[seconds s]` at an instant, by the same text."""
    name, _, span = query.removesuffix("s]").partition("[")
    found: dict[str, list[list[object]]] = {}
    for line in text.splitlines():
        if line.startswith(f"{name}{{"):
            labels, _, (value, when) = (*line.removeprefix(name).partition("} ")[:2], line.split()[-2:])
            if at - float(span) <= float(when) <= at:
                found.setdefault(labels[1:], []).append([float(when), value])
    result = [
        {"metric": dict(re.findall(r'(\w+)="([^"]*)"', labels)), "values": rows}
        for labels, rows in found.items()
    ]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()
