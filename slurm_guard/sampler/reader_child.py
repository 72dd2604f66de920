"""Starts the progress reader for a run: a program of its own, niced, with a deadline, at most two at once."""

from __future__ import annotations

import os
import sys

from slurm_guard import wire
from slurm_guard.light import TYPE_CHECKING, Any, NamedTuple, deque, to_plain_json
from slurm_guard.sampler import children
from slurm_guard.sampler.children import Child

if TYPE_CHECKING:
    from slurm_guard.config import ProgressConfig

MOST_AT_ONCE = 2
MOST_QUEUED = 64  # judgement: a node has tens of runs, not hundreds
MOST_TRIES = 3  # of one reading that was killed or could not be started; one that hung is not tried again
RETRY_S = 5.0  # judgement
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


class _Wanted(NamedTuple):
    """A reading that is asked for. `due_s`: not before this monotonic second."""

    run: str
    read: int
    body: bytes
    tries: int = 1
    due_s: float = float("-inf")


class _Under(NamedTuple):
    wanted: _Wanted
    child: Child
    until_s: float


class Readers:
    """Queue, start, watch. `poll` never waits."""

    def __init__(self, out: str, config: ProgressConfig, module: str = MODULE) -> None:
        self.out, self.config, self.module = out, config, module
        self._queue: deque[_Wanted] = deque()
        self._under: list[_Under] = []
        self._killed: list[Child] = []  # until the kernel lets them go
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
            "patterns": self.config.patterns,
            "limits": limits,
        }
        self._queue = deque(wanted for wanted in self._queue if wanted.run != run)
        if len(self._queue) >= MOST_QUEUED:
            return False
        self._queue.append(_Wanted(run, read, to_plain_json(body).encode("ascii")))
        return True

    def _next_read(self, run: str) -> int:
        """One more than the last, also across restarts."""
        if run not in self._reads:
            try:
                names = os.listdir(self.out)
            except OSError:
                names = []
            self._reads[run] = max((_read_of(name, wire.stem(run)) for name in names), default=-1)
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
            status = under.child.poll()
            if status is not None:
                if status != 0:
                    code = os.waitstatus_to_exitcode(status)
                    failures.append(self._fail(under.wanted, f"exit status {code}", mono_s))
            elif mono_s > under.until_s:
                under.child.kill()
                self._killed.append(under.child)
                failures.append(Failure(under.wanted.run, under.wanted.read, "stopped at its deadline"))
            else:
                still.append(under)
        self._under = still
        self._killed = [child for child in self._killed if child.poll() is None]
        for wanted in [wanted for wanted in self._queue if wanted.due_s <= mono_s]:
            if len(self._under) >= MOST_AT_ONCE:
                break
            self._queue.remove(wanted)
            reason = self._start(wanted, mono_s)
            if reason is not None:
                failures.append(self._fail(wanted, reason, mono_s))
        return failures

    def _fail(self, wanted: _Wanted, reason: str, mono_s: float) -> Failure:
        """Told, and tried again unless it was tried enough or a later reading of the run waits."""
        waits = any(other.run == wanted.run for other in self._queue)
        if wanted.tries < MOST_TRIES and not waits:
            self._queue.append(wanted._replace(tries=wanted.tries + 1, due_s=mono_s + RETRY_S))
        return Failure(wanted.run, wanted.read, reason)

    def _start(self, wanted: _Wanted, mono_s: float) -> str | None:
        """The request goes through a memory file: a pipe would make us wait for a slow reader."""
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        command = [sys.executable, "-I", "-c", _PROGRAM.format(self.module), root]
        try:
            os.makedirs(self.out, mode=0o750, exist_ok=True)
            with os.fdopen(os.memfd_create("request"), "r+b") as request:
                request.write(wanted.body)
                request.flush()
                request.seek(0)
                child = children.start(command, request.fileno(), nice=19)
        except OSError as error:
            return f"not started: {error.strerror}"
        self._under.append(_Under(wanted, child, mono_s + self.config.timeout_s + MARGIN_S))
        return None

    def close(self) -> None:
        """Leave running readers to their own limits; collect those that are done."""
        for child in [*self._killed, *(under.child for under in self._under)]:
            child.poll()  # one that runs on is init's to collect
        self._under, self._killed = [], []


def _read_of(name: str, stem: str) -> int:
    """The number of the reading in a file's name, `<stem>.<six digits>.jsonl`; -1: another file."""
    number = name.removeprefix(f"{stem}.").removesuffix(".jsonl")
    is_one = name == f"{stem}.{number}.jsonl" and len(number) == 6 and number.isdecimal()
    return int(number) if is_one else -1
