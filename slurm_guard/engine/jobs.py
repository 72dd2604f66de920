"""Slurm's programs as the engine calls them: sbatch, squeue, scancel; in bounded time, as any user may."""

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slurm_guard.errors import GuardError
from slurm_guard.slurm.group import run_group

_CALL_S = 120.0  # longest that one call may take: Slurm's own MessageTimeout allows a hundred. Judgement
_TRIES, _WAIT_S = 4, 5.0  # of an sbatch that could not reach slurmctld, and the pause. Judgement
# Words of 22.05 to 26.05 for a slurmctld that is busy or starts anew.
_PASSING = (
    "unable to contact slurm controller",
    "socket timed out",
    "try again",
    "temporarily",
    "unreachable",
)
_ENDED = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"}
    | {"REVOKED", "TIMEOUT"}
)
_NOT_HANDED_ON = ("AWS_", "SQUEUE_", "SCANCEL_")
# Reasons for which a task waits until somebody lets it go; nobody would.
_HELD = ("jobheld", "launch failed", "launch_failed", "badconstraints")


@dataclass(frozen=True, slots=True)
class Line:
    """A task of an array. `state`: Slurm's word."""

    state: str
    reason: str

    @property
    def ended(self) -> bool:
        """Whether it will never run again of itself."""
        return self.state in _ENDED

    @property
    def held(self) -> bool:
        """Whether it waits for a person."""
        return self.state == "PENDING" and self.reason.lower().startswith(_HELD)


def submit(script: str, n: int, name: str, out: str, options: Sequence[str]) -> str:
    """An array of `n` tasks; its job's number. `options`: the site's. Raises GuardError engine-sbatch."""
    command = ["sbatch", "--parsable", f"--array=0-{n - 1}", f"--job-name={name}", f"--output={out}"]
    command += ["--open-mode=append", "--chdir=/", "--ntasks=1", "--cpus-per-task=1", *options, script]
    for left in range(_TRIES - 1, -1, -1):
        done = _call(command)
        said = _last(done.stderr)
        if done.returncode == 0:
            break
        if left == 0 or not any(words in said.lower() for words in _PASSING):
            verb = "refused" if left else f"did not take, asked {_TRIES} times,"
            raise _refused(f"sbatch {verb} the audit's job array of {n} tasks: {said}", said)
        time.sleep(_WAIT_S)
    number = done.stdout.decode("utf-8", "replace").strip().partition(";")[0]
    if not re.fullmatch(r"[0-9]+", number):
        raise _refused(f"sbatch printed {number[:100]!a} where a job's number was expected", "")
    return number


def lines_of(job: str) -> Mapping[int, Line] | None:
    """Every task of the array that slurmctld still knows; null: it did not answer."""
    done = _call(["squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%K|%T|%r"])
    if done.returncode != 0:
        return {} if b"nvalid job id" in done.stderr else None  # ended so long ago that it is forgotten
    found = {}
    said = done.stdout.decode("utf-8", "replace").strip()
    for line in said.splitlines():
        index, _, rest = line.strip().partition("|")
        state, _, reason = rest.partition("|")
        if index.isascii() and index.isdigit():
            found[int(index)] = Line(state, reason.strip("()"))
    return found if found or not said else None  # a wrapper's own words are no answer


def cancel(*what: str) -> None:
    """Jobs by number, or `--name=`. That it could not be is no reason to say anything else."""
    try:
        _call(["scancel", "--quiet", *what])
    except GuardError:
        pass


def _call(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return run_group(command, _environment(), _CALL_S)
    except subprocess.TimeoutExpired:
        said = f"{command[0]} did not answer within {_CALL_S:g} s: socket timed out".encode()
        return subprocess.CompletedProcess(list(command), 1, b"", said)
    except OSError as error:
        raise GuardError(
            "engine-sbatch",
            f"{command[0]} cannot be started: {error.strerror}; nothing was published",
            "run the audit where Slurm's programs are, or on this machine alone: --engine local",
        ) from None


def _environment() -> dict[str, str]:
    """sbatch hands its own on to the job: the store's keys stay here. What filters squeue's answer for a
    person would hide tasks from us."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_HANDED_ON)}
    return {**kept, "LC_ALL": "C"}


def _refused(sentence: str, said: str) -> GuardError:
    hint = "look at [engine] sbatch: partition, account, memory and time are the site's"
    if any(words in said.lower() for words in _PASSING):
        hint = "look at slurmctld (scontrol ping), then audit the night again"
    elif "array" in said.lower():
        hint = "give fewer --shards than MaxArraySize in slurm.conf"
    return GuardError(
        "engine-sbatch",
        f"{sentence}; nothing was published",
        f"{hint}; or --engine local audits on this machine",
    )


def _last(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    last = lines[-1].removeprefix("sbatch: error: ")[:300] if lines else "no message"
    return "".join(c if c.isprintable() else "?" for c in last)
