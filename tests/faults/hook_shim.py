"""A copy of the shims, set as an installer would set them, with a syslog socket that keeps what it hears."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from slurm_guard import wire

ROOT = Path(__file__).resolve().parents[2]
NODE = "n1"
ENV = {
    "SLURMD_NODENAME": NODE,
    "SLURM_CLUSTER_NAME": "c1",
    "SLURM_JOB_ID": "77",
    "SLURM_JOB_UID": str(os.getuid()),
    "SLURM_JOB_GID": str(os.getgid()),
    "SLURM_JOB_GPUS": "0,2",
    "SLURM_JOB_COMMENT": "guard:task=pretrain",
    "SLURM_JOB_RESTART_COUNT": "0",
}


class Shim:
    """Prolog, epilog and TaskProlog in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir, self.spool_dir = folder / "run", folder / "spool"
        self.client_dir, self.log_path = folder / "client", folder / "log"
        self._log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._log.bind(str(self.log_path))
        self.settings = {
            "PYTHON": os.path.realpath(sys.executable),
            "LIB": str(ROOT),
            "RUN_DIR": str(self.run_dir),
            "SPOOL_DIR": str(self.spool_dir),
            "CLIENT_DIR": str(self.client_dir),
            "START_SAMPLER": "no",
            "SYSLOG": str(self.log_path),
            "DISABLED": str(folder / "disabled"),
        }
        for path in (
            "prolog/slurm-guard-prolog",
            "prolog/slurm-guard-task-prolog",
            "epilog/slurm-guard-epilog",
        ):
            shutil.copy(ROOT / path, folder)
        self.set()

    def set(self, **settings: str) -> None:
        """Fix settings at the top of the shims."""
        self.settings.update(settings)
        for shim in self.folder.glob("slurm-guard-*log"):
            lines = shim.read_text().splitlines()
            head = lines.index("# ---")
            for i, line in enumerate(lines[:head]):
                name = line.partition("=")[0]
                lines[i] = f"{name}='{self.settings[name]}'" if name in self.settings else line
            shim.write_text("\n".join(lines) + "\n")

    def start(self, name: str, env: dict[Any, Any] | None = None, **options: Any) -> subprocess.Popen[bytes]:
        """Start `slurm-guard-<name>` as slurmd does: a process group of its own, no stdin."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True, **options}
        return subprocess.Popen(
            [str(self.folder / f"slurm-guard-{name}")],
            env=ENV if env is None else env,
            stdin=subprocess.DEVNULL,
            **options,
        )

    def run(self, name: str, env: dict[Any, Any] | None = None, **options: Any) -> tuple[int, bytes, bytes]:
        """Run it to its end: status, stdout, stderr."""
        process = self.start(name, env, **options)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def heard(self, *, of_sampler: bool = False) -> list[str]:
        """Syslog lines since the last call, without their header. Most of these tests let no sampler run, of
        which each hook speaks: `of_sampler` brings that line too."""
        lines = []
        while True:
            try:
                lines.append(self._log.recv(65_536).decode().split("]: ", 1)[-1])
            except BlockingIOError:
                return [line for line in lines if of_sampler or not line.startswith("no sampler runs")]

    def files(self, kind: str, *, spool: bool = True) -> list[Path]:
        """`tickets` or `ends` in the spool or the run folder, oldest first."""
        root = self.spool_dir if spool else self.run_dir
        return sorted((root / NODE / kind).glob("*.json"))

    def sampler_pid(self) -> int | None:
        """What `sampler.pid` says, null when there is none."""
        path = self.run_dir / NODE / "sampler.pid"
        return int(path.read_text().split()[0]) if path.exists() else None

    def close(self) -> None:
        """End the sampler that a test let start, and hang up."""
        self._log.close()
        pid = self.sampler_pid()
        if pid is not None:
            end_process(pid)


def end_process(pid: int) -> None:
    """Kill one process that the test started and wait until it is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    for _ in range(200):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether the process lives (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


STUB = """#!/bin/sh
# stands for the sampler's interpreter: writes down what it got, then lives on
echo "$@" >>{folder}/started
ls -l /proc/$$/fd >{folder}/fds
env >{folder}/env
pwd >{folder}/cwd
ps -o sid= -p $$ >{folder}/sid
exec sleep 60
"""


def stub_sampler(folder: Path) -> Path:
    """A program in the place of the sampler's interpreter."""
    path = folder / "stub-python"
    path.write_text(STUB.format(folder=folder))
    path.chmod(0o755)
    return path


def fields_of(path: Path) -> dict[str, Any]:
    """One record file as a dict; the line is checked for the shape that `wire` promises."""
    import json

    lines = path.read_text(encoding="ascii").splitlines()
    assert len(lines) == 1
    body: dict[str, Any] = json.loads(lines[0])
    shape = wire.KINDS[body.pop("k")]
    assert list(body) == list(shape._fields)  # type: ignore[attr-defined]
    return body
