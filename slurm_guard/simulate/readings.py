"""The job's folder on disk, the sampler's sights of its logs, and the real progress reader run on them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from slurm_guard import wire
from slurm_guard.simulate.logs import Growth
from slurm_guard.simulate.scene import Job

_TIMEOUT_S = 90.0


@dataclass
class Folder:
    """One job's log files as they stand on this machine; sights as a sampler on `node` has them."""

    job: Job
    run: str
    node: str
    home: Path
    client: Path
    sights: dict[str, list[list[float | int | None]]] = field(default_factory=dict)
    _inodes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def path_of(self, log: Growth) -> Path:
        """Where a log lies: the guard's file in the client folder, others with the user."""
        if log.how == "guard":
            return self.client / f"{self.job.job_id}.{self.run.rsplit('/', 1)[1]}" / log.path
        return self.home / self.job.user / f"{self.job.name}.{self.job.restart_count}" / log.path

    def make(self) -> None:
        """Create the files, empty, so that their inodes are known."""
        for log in self.job.logs:
            path = self.path_of(log)
            for parent in reversed(path.parents):
                if not parent.exists():
                    parent.mkdir(exist_ok=True)  # the other share of the night may be quicker
                    parent.chmod(0o711)
            path.write_bytes(b"")
            info = path.stat()
            self._inodes[log.path] = info.st_dev, info.st_ino

    def look(self, at: float) -> list[wire.FileSeen]:
        """What the sampler sees of the files at an instant."""
        seen = []
        for log in self.job.logs:
            dev, ino = self._inodes[log.path]
            size, changed_at = log.size_at(at)
            ctime_ns = int((changed_at if changed_at is not None else at) * 1e9)
            pids = self._holders(log, at)
            path = str(self.path_of(log))
            self.sights.setdefault(log.path, []).append([at, size, ino, ctime_ns])
            writer = pids[0] if pids else None
            seen.append(
                wire.FileSeen(self.run, at, path, log.how, dev, ino, size, ctime_ns, writer, pids, {})
            )
        return seen

    def _holders(self, log: Growth, at: float) -> list[int]:
        """Who has it open: everybody inherits stdout, other logs are the first rank's."""
        procs = [proc for proc in self.job.procs if proc.node == self.node and proc.in_job]
        return sorted(proc.pid for proc in procs if log.how == "stdout" or proc.writes_log)[:16]

    def write(self) -> None:
        """The files' contents; as root they become another user's, as a job's would be."""
        for log in self.job.logs:
            path = self.path_of(log)
            path.write_bytes(log.content())
            if os.geteuid() == 0:
                os.chown(path, self.job.uid, self.job.uid)


def read_logs(folder: Folder, spool: Path, ended_at: float, ticket_at: float) -> None:
    """Run the real reader as the sampler does at a run's end. Raises CalledProcessError with its words."""
    job = folder.job
    paths = {log.path: log for log in job.logs}
    out = spool / folder.node / "progress"
    out.mkdir(parents=True, exist_ok=True)
    request = {
        "run": folder.run,
        "node": folder.node,
        "cluster": folder.run.split("/", 1)[0],
        "job_id": job.job_id,
        "uid": job.uid,
        "gid": job.uid,
        "read": 0,
        "at": ended_at + 2.0,
        "ticket_at": ticket_at,
        "ended_at": ended_at,
        "work_dir": None,
        "out": str(out),
        "parser_user": "nobody",
        "limits": {"file_mib": 64, "run_mib": 256, "timeout_s": 60},
        "pids": [[proc.pid, proc.start_ticks] for proc in job.procs if proc.in_job],
        "files": [
            {
                "path": str(folder.path_of(log)),
                "how": log.how,
                "pids": folder._holders(log, ended_at),
                "obs": folder.sights.get(name, []),
            }
            for name, log in paths.items()
        ],
    }
    command = [sys.executable, "-I", "-m", "slurm_guard.simulate.reader"]
    subprocess.run(
        command, input=json.dumps(request).encode(), check=True, capture_output=True, timeout=_TIMEOUT_S
    )
