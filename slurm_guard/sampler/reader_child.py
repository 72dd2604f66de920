"""Starts the progress reader for a run: a program of its own, niced, with a deadline, at most two at once."""

import json
import os
import re
import subprocess
import sys
from collections import deque
from typing import Any, NamedTuple

from slurm_guard import wire
from slurm_guard.config import ProgressConfig

MOST_AT_ONCE = 2
MOST_QUEUED = 64  # judgement: a node has tens of runs, not hundreds
MARGIN_S = 30.0  # beyond the reader's own time limit, for its start and its writing: judgement
_PROGRAM = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('{}', run_name='__main__')"
)
MODULE = "slurm_guard.progress.node"


class Failure(NamedTuple):
    """A reading that did not come about."""

    run: str
    read: int
    reason: str


class _Under(NamedTuple):
    run: str
    read: int
    child: subprocess.Popen[bytes]
    until_s: float


class Readers:
    """Queue, start, watch. `poll` never waits."""

    def __init__(self, out: str, config: ProgressConfig, module: str = MODULE) -> None:
        self.out, self.config, self.module = out, config, module
        self._queue: deque[tuple[str, int, bytes]] = deque()
        self._under: list[_Under] = []
        self._killed: list[subprocess.Popen[bytes]] = []  # until the kernel lets them go
        self._reads: dict[str, int] = {}

    @property
    def busy(self) -> bool:
        """Whether readings wait or run."""
        return bool(self._queue or self._under)

    def submit(self, run: str, request: dict[str, Any]) -> bool:
        """Queue a reading; a waiting one of the same run is replaced. False: the queue is full."""
        read = self._next_read(run)
        limits = {
            "file_mib": self.config.max_file_mib,
            "run_mib": self.config.max_run_mib,
            "timeout_s": self.config.timeout_s,
        }
        body = {
            **request,
            "read": read,
            "out": self.out,
            "parser_user": self.config.parser_user,
            "limits": limits,
        }
        self._queue = deque(item for item in self._queue if item[0] != run)
        if len(self._queue) >= MOST_QUEUED:
            return False
        self._queue.append((run, read, json.dumps(body).encode("ascii")))
        return True

    def _next_read(self, run: str) -> int:
        """One more than the last, also across restarts."""
        if run not in self._reads:
            pattern = re.compile(re.escape(wire.stem(run)) + r"\.(\d{6})\.jsonl")
            try:
                names = os.listdir(self.out)
            except OSError:
                names = []
            found = (pattern.fullmatch(name) for name in names)
            self._reads[run] = max((int(match[1]) for match in found if match), default=-1)
        self._reads[run] += 1
        return self._reads[run]

    def forget(self, run: str) -> None:
        """The run is over: no more readings will come."""
        self._reads.pop(run, None)

    def poll(self, mono_s: float) -> list[Failure]:
        """Collect children, stop those past their deadline, start waiting ones."""
        failures: list[Failure] = []
        still: list[_Under] = []
        for under in self._under:
            rc = under.child.poll()
            if rc is not None:
                if rc != 0:
                    failures.append(Failure(under.run, under.read, f"exit status {rc}"))
            elif mono_s > under.until_s:
                under.child.kill()
                self._killed.append(under.child)
                failures.append(Failure(under.run, under.read, "stopped at its deadline"))
            else:
                still.append(under)
        self._under = still
        self._killed = [child for child in self._killed if child.poll() is None]
        while self._queue and len(self._under) < MOST_AT_ONCE:
            run, read, body = self._queue.popleft()
            failure = self._start(run, read, body, mono_s)
            if failure is not None:
                failures.append(failure)
        return failures

    def _start(self, run: str, read: int, body: bytes, mono_s: float) -> Failure | None:
        """The request goes through a memory file: a pipe would make us wait for a slow reader."""
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        command = [sys.executable, "-I", "-c", _PROGRAM.format(self.module), root]
        try:
            os.makedirs(self.out, mode=0o750, exist_ok=True)
            with os.fdopen(os.memfd_create("request"), "r+b") as stdin:
                stdin.write(body)
                stdin.flush()
                stdin.seek(0)
                child = subprocess.Popen(
                    command,
                    stdin=stdin,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    preexec_fn=_be_nice,  # safe: the sampler has one thread
                )
        except OSError as error:
            return Failure(run, read, f"not started: {error.strerror}")
        self._under.append(_Under(run, read, child, mono_s + self.config.timeout_s + MARGIN_S))
        return None

    def close(self) -> None:
        """Leave running readers to their own limits; collect those that are done."""
        for child in [*self._killed, *(under.child for under in self._under)]:
            if child.poll() is None:
                child.returncode = 0  # not ours to wait for any more; init collects it
        self._under, self._killed = [], []


def _be_nice() -> None:
    os.nice(19)
