"""The systemd unit: its keys, what systemd says of it, and that its capabilities are enough and no more."""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "packaging" / "systemd"
UNIT = FOLDER / "slurm-guardd.service"
USER = 12_345

# Run with the unit's rights alone: what the sampler and its helper do beside a job of another user.
PROGRAM = """
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
from slurm_guard.sampler.helper import Ask, Helper
from slurm_guard.sampler.procfs import Proc
pid, path, uid, request = int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
proc = Proc()
seen = {"exe": proc.link(pid, "exe"), "fds": len(proc.names(pid, "fd"))}
seen["written_b"] = proc.moved(pid).written_b
helper = Helper()
helper.submit(Ask(path, None, uid, uid, [uid]), lambda answer: seen.update(size=answer.size))
fd = (pid, proc.stat(pid).start_ticks, 3)
helper.submit(Ask(path, fd, None, None, []), lambda answer: seen.update(by_fd=answer.size))
until_s = time.monotonic() + 60
while helper.busy and time.monotonic() < until_s:
    helper.poll(time.time(), time.monotonic())
    time.sleep(0.01)
helper.close()
import socket
from slurm_guard.sampler.tcpdiag import tcp_diag
from slurm_guard.sampler.tcpends import SO_RCVBUFFORCE
diag = tcp_diag("/proc")
if diag is not None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()), server.accept()[0]:
            pass
    time.sleep(0.1)
    seen["ends"] = diag.hears_ends and len(diag.closed(lambda _: False)) >= 2
try:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as asked:
        asked.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
    seen["has_room"] = True
except PermissionError:
    seen["has_room"] = False
from slurm_guard.progress.node import main
with open(request, "rb") as body:
    os.dup2(body.fileno(), 0)
seen["rc"] = main()
print(json.dumps(seen))
"""


def keys() -> dict[str, list[str]]:
    """Every key of the unit with its values, in order."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_says_what_the_sampler_relies_on() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read(UNIT)
    unit, service = parser["Unit"], parser["Service"]

    assert unit["Before"] == "slurmd.service"
    assert "Requires" not in unit
    assert (service["Type"], service["Restart"]) == ("notify", "always")
    assert service["ExecStart"].endswith("--wait")
    assert int(service["WatchdogSec"]) >= 60  # six beats
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["RuntimeDirectoryPreserve"] == "yes"  # else a restart would remove the tickets
    assert (service["PrivateTmp"], service["ProtectHome"]) == ("no", "no")
    assert {"Slice", "Nice", "MemoryMax", "CPUQuota", "CapabilityBoundingSet"} <= set(service)
    assert all(value.endswith(" rw") for value in keys()["DeviceAllow"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text()
    mine = tmp_path / UNIT.name
    mine.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/sh", text, flags=re.MULTILINE))

    done = subprocess.run(
        ["systemd-analyze", "verify", str(mine)], capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


@pytest.mark.root
@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="no systemd-tmpfiles here")
def test_the_folders_and_accounts_are_made_as_written(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        (tmp_path / "etc" / name).write_text(
            "root:x:0:0::/root:/bin/sh\n" if name == "passwd" else "root:x:0:\n"
        )
    environ = {**os.environ, "SYSTEMD_LOG_LEVEL": "warning"}
    for tool, name in (("systemd-sysusers", "sysusers"), ("systemd-tmpfiles", "tmpfiles")):
        more = ["--create"] if name == "tmpfiles" else []
        shutil.copy(FOLDER / f"slurm-guard.{name}", tmp_path / f"{name}.conf")
        command = [tool, *more, f"--root={tmp_path}", str(tmp_path / f"{name}.conf")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environ)
        assert (done.returncode, done.stderr) == (0, "")

    modes = {
        str(path.relative_to(tmp_path)): path.stat().st_mode & 0o7777
        for path in (tmp_path / "run" / "slurm-guard", *(tmp_path / "var" / "lib").rglob("*"))
    }
    assert modes == {
        "run/slurm-guard": 0o711,
        "var/lib/slurm-guard": 0o755,
        "var/lib/slurm-guard/spool": 0o2750,
        "var/lib/slurm-guard/progress": 0o755,
    }
    assert "slurm-guard-parser" in (tmp_path / "etc" / "passwd").read_text()


@pytest.fixture
def job() -> Iterator[tuple[int, Path]]:
    """Another user's process, and the log that it has open as descriptor 3."""
    home = Path(f"/var/tmp/sg-rights-{os.getpid()}")  # the user must be able to pass through
    home.mkdir(mode=0o700)
    log = home / "train.log"
    log.write_text("".join(f"step={n} loss={1 / n:.4f}\n" for n in range(1, 200)))
    for path in (home, log):
        os.chown(path, USER, USER)
    log.chmod(0o600)
    words = "import os, sys, time; os.dup2(os.open(sys.argv[1], os.O_WRONLY), 3); time.sleep(300)"
    child = subprocess.Popen(
        [sys.executable, "-c", words, str(log)], user=USER, group=USER, extra_groups=[], close_fds=True
    )
    until_s = time.monotonic() + 60
    while not Path(f"/proc/{child.pid}/fd/3").exists() and time.monotonic() < until_s:
        time.sleep(0.02)
    yield child.pid, log
    child.kill()
    child.wait()
    shutil.rmtree(home)


CAPABILITIES = keys()["CapabilityBoundingSet"][0].split()


def is_enough(seen: dict[str, Any], log: Path) -> bool:
    """Whether everything about the other user's job was seen."""
    size = log.stat().st_size
    looked = (seen.get("exe"), seen.get("size"), seen.get("by_fd"), seen.get("rc"))
    return (
        looked == (os.path.realpath(sys.executable), size, size, 0)
        and seen["fds"] >= 4
        and seen["written_b"] is not None
        and seen["points"] == 199
        and seen.get("ends", True)  # a kernel without the diagnostics has none to tell
        and seen["has_room"]
    )


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="not root: there are no rights to take away")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv here")
@pytest.mark.parametrize("left_out", [None, *CAPABILITIES])
def test_the_units_capabilities_are_enough_to_watch_another_users_job_and_none_is_too_many(
    left_out: str | None, job: tuple[int, Path], tmp_path: Path
) -> None:
    capabilities = [name for name in CAPABILITIES if name != left_out]

    seen = _watch(job[0], job[1], tmp_path, capabilities)

    assert is_enough(seen, job[1]) == (left_out is None), seen


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="not root: there are no rights to take away")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv here")
def test_connections_that_end_are_heard_without_the_right_to_more_room(
    job: tuple[int, Path], tmp_path: Path
) -> None:
    seen = _watch(job[0], job[1], tmp_path, [name for name in CAPABILITIES if name != "CAP_NET_ADMIN"])

    assert (seen.get("ends", True), seen["has_room"]) == (True, False)


def _watch(pid: int, log: Path, tmp_path: Path, capabilities: list[str]) -> dict[str, Any]:
    """What a sampler with these rights alone sees; empty: it broke on the lack of one."""
    out = tmp_path / "progress"
    out.mkdir()
    limits = {"file_mib": 64, "run_mib": 256, "timeout_s": 60.0}
    file = {"path": str(log), "how": "fd", "dev": None, "ino": None, "pids": [pid], "obs": []}
    request = {
        "run": "c/7/n1/abcdef01/123", "node": "n1", "cluster": "c", "job_id": 7, "uid": USER, "gid": USER,
        "at": time.time(), "ticket_at": time.time() - 60, "ended_at": None, "work_dir": None, "pids": [],
        "files": [file], "read": 0, "out": str(out), "parser_user": "nobody", "limits": limits,
    }  # fmt: skip
    (tmp_path / "request").write_text(json.dumps(request))
    names = [name.lower().replace("cap_", "+") for name in capabilities]
    command = [
        "setpriv", f"--bounding-set=-all,{','.join(names)}", "--inh-caps=-all", "--no-new-privs",
        sys.executable, "-c", PROGRAM, str(ROOT), str(pid), str(log), str(USER), str(tmp_path / "request"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    if done.returncode != 0:
        return {}
    rows = [json.loads(line) for path in out.iterdir() for line in path.read_text().splitlines()]
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    seen["points"] = sum(row["k"] == "point" for row in rows)
    return seen
