"""The real observer and binder around one job: RunFiles with its helper, the opener, the parser, the bracket.

The records' clock runs faster than the machine's. All that the observer saw is put into the records' clock
where it hands it to the reader; nothing else is changed.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from slurm_guard import wire
from slurm_guard.progress.node import Result, read_run
from slurm_guard.progress.opener import Opened, open_files
from slurm_guard.progress.request import Request, parse_request
from slurm_guard.sampler.files import RunFiles
from slurm_guard.sampler.helper import Helper
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.writer import Instant

WRITER = Path(__file__).with_name("writer.py")
USER = 4_242  # an ordinary uid; it needs no account


class Course(NamedTuple):
    """The run's two clocks: `factor` seconds of the records' in one of the machine's, from `t0` on."""

    t0: float
    factor: float
    length_s: float  # of the records' clock
    n: int

    def virtual(self, at: float) -> float:
        """The machine's time in the records' clock."""
        return self.t0 + (at - self.t0) * self.factor


class Job:
    """One program of one behaviour, and who watches it."""

    def __init__(self, folder: Path, plan: str, style: str, course: Course) -> None:
        self.plan, self.style, self.course, self.folder = plan, style, course, folder
        self.user = USER if os.geteuid() == 0 else os.geteuid()
        folder.mkdir(parents=True)
        (folder / "guard").mkdir()
        for path in (folder, folder / "guard"):
            os.chown(path, self.user, -1)
        nulls: dict[str, Any] = dict.fromkeys(wire.Ticket._fields)
        known = {
            "run": f"c/7/n1/{plan}-{style}/{course.t0:.0f}", "job_id": 7, "node": "n1", "why": {},
            "user": "u", "uid": self.user, "gid": self.user, "work_dir": str(folder), "at": course.t0,
            "stdout": str(folder / "slurm-7.out"), "progress_path": str(folder / "guard" / "progress.jsonl"),
        }  # fmt: skip
        self.ticket = wire.Ticket(**{**nulls, **known})
        self.proc, self.helper = Proc(), Helper()
        self.files = RunFiles(self.ticket, self.proc, self.helper, most=64)
        self.program: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin the program as its user."""
        course = self.course
        words = [
            sys.executable, str(WRITER), "--folder", str(self.folder), "--plan", self.plan,
            "--style", self.style, "--n", str(course.n), "--t0", repr(course.t0),
            "--factor", repr(course.factor), "--length", repr(course.length_s),
        ]  # fmt: skip
        rights: dict[str, Any] = (
            {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
        )
        self.program = subprocess.Popen(
            words, cwd=self.folder, env={"TZ": "UTC", "HOME": "/nonexistent"}, **rights
        )

    def look(self) -> None:
        """One look at its open files and their sizes."""
        now = Instant(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))
        members = []
        stat = self.proc.stat(self.program.pid) if self.program is not None else None
        if stat is not None:
            process = Process(stat, now.at, now)
            process.uid = self.user
            members.append(process)
        self.files.scan(members, [], now)
        self.poll()

    def poll(self) -> None:
        """Take what the helper said."""
        self.helper.poll(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))
        self.files.take_told()

    def settle(self) -> None:
        """The last look, after the end."""
        self.files.ask()
        until = time.monotonic() + 5.0
        while self.helper.busy and time.monotonic() < until:
            self.poll()
            time.sleep(0.005)

    def read(self) -> Result:
        """One reading, as the sampler asks for it."""
        course, ended = self.course, self.program is not None and self.program.poll() is not None
        files = self.files.request()
        for file in files:
            file["obs"] = [
                [
                    course.virtual(at),
                    size,
                    ino,
                    None if ctime is None else int(1e9 * course.virtual(ctime / 1e9)),
                ]
                for at, size, ino, ctime in file["obs"]
            ]
        now = course.virtual(time.time())
        request = parse_request(
            json.dumps(
                {
                    "run": self.ticket.run, "node": "n1", "cluster": "c", "uid": self.user, "gid": self.user,
                    "read": 0, "at": now, "ticket_at": course.t0, "ended_at": now if ended else None,
                    "work_dir": str(self.folder), "out": "/nonexistent", "parser_user": "nobody",
                    "limits": {"file_mib": 64, "run_mib": 256, "timeout_s": 120.0}, "pids": [],
                    "files": files,
                }
            ).encode()
        )  # fmt: skip
        return read_run(request, self._open)

    def _open(self, request: Request, deadline_s: float) -> list[Opened]:
        """The real opener; the kernel's times are put into the records' clock."""

        def moved(at: float | None) -> float | None:
            return None if at is None else self.course.virtual(at)

        return [
            one._replace(ctime_at=moved(one.ctime_at), born_at=moved(one.born_at))
            for one in open_files(request, deadline_s)
        ]

    def adopt(self, result: Result) -> None:
        """What the sampler takes from a reading: files that its walk found."""
        self.files.adopt(log.path for log in result.logs if log.how == "walk" and log.size is not None)
