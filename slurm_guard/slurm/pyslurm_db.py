"""Accounting through PySlurm, where it is installed. Optional: sacct is the reference.

PySlurm runs in a child: importing it without a usable slurm.conf ends the interpreter (libslurm's fatal),
and it prints to stdout. It cannot ask for duplicates, so runs before a requeue are missing: said as a skip.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, GuardError
from slurm_guard.model import Skip
from slurm_guard.slurm.accounting import LoadedRuns
from slurm_guard.slurm.group import run_group
from slurm_guard.slurm.rows import FIELDS, format_rows
from slurm_guard.slurm.sacct import runs_of_text

_MARK = "slurm-guard-rows:"  # PySlurm prints unknown TRES to stdout; our line is told apart by its beginning


@dataclass(frozen=True, slots=True)
class PyslurmDb:
    """`pyslurm.db` of this interpreter, 25.11.1 or later (earlier ones know no TRES)."""

    timeout_s: float = 600.0
    cluster: str = ""

    def load_runs(self, from_at: float, until_at: float) -> LoadedRuns:
        """See Accounting. Raises GuardError no-accounting when PySlurm or slurmdbd is not there."""
        rows = self._ask(int(from_at), -int(-until_at // 1))
        loaded = runs_of_text(format_rows(rows), self.cluster, (from_at, until_at), "pyslurm")
        why = "PySlurm cannot ask for duplicates: runs before a requeue are missing; sacct has them"
        skips = [*loaded.skips, Skip("accounting", "no-duplicates", why)]
        if loaded.runs and not any(run.n_gpus for run in loaded.runs):
            why = "no run has a GPU among its resources; PySlurm before 25.11.1 does not give them"
            skips.append(Skip("accounting", "no-gpu-tres", why))
        return LoadedRuns(loaded.runs, tuple(skips), loaded.cluster, loaded.backend)

    def _ask(self, from_at: int, until_at: int) -> list[dict[str, str]]:
        command = [
            sys.executable,
            "-m",
            "slurm_guard.slurm.pyslurm_db",
            str(from_at),
            str(until_at),
            self.cluster,
        ]
        env = {**os.environ, "PYSLURM_DISABLE_AUTO_INIT": "1", "TZ": "UTC"}
        try:
            done = run_group(command, env, self.timeout_s)
        except subprocess.TimeoutExpired:
            why = f"PySlurm did not answer within {self.timeout_s:g} s"
            raise GuardError("accounting-timeout", why, "use sacct") from None
        for line in done.stdout.decode("utf-8", "replace").split("\n"):
            if line.startswith(_MARK):
                rows: list[dict[str, str]] = json.loads(line[len(_MARK) :])
                return rows
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        last = said[-1][:300] if said else f"it ended with {done.returncode}"
        raise GuardError("no-accounting", f"PySlurm: {last}", "use sacct", EXIT_NOTHING_TO_AUDIT)


def _text(value: Any) -> str:
    """As a cell of a row: one line, no delimiter, so that no user's text can make a row of its own."""
    return "" if value is None else "".join(char if char.isprintable() else " " for char in str(value))


def _row(job: Any) -> dict[str, str]:
    """One pyslurm.db.Job under sacct's names."""
    tres = getattr(job, "allocated_tres", None)
    gpus = getattr(job, "gpus", None) or {}
    named = ",".join(f"gres/{name}={count}" for name, count in gpus.items())
    array = getattr(job, "array_id", None)
    values = {
        "JobIDRaw": job.id,
        "JobID": f"{array}_{job.array_task_id}" if array else job.id,
        "Cluster": getattr(job, "cluster", ""),
        "State": job.state,
        "Submit": job.submit_time,
        "Start": job.start_time,
        "End": job.end_time,
        "ElapsedRaw": job.elapsed_time,
        "AllocTRES": named if tres is not None else "",
        "NodeList": job.nodelist,
        "User": job.user_name,
        "UID": job.user_id,
        "Account": job.account,
        "Partition": job.partition,
        "QOS": job.qos,
        "StdOut": getattr(job, "standard_output", None),
        "WorkDir": job.working_directory,
        "JobName": job.name,
        "Extra": job.extra,
        "Comment": job.comment,
    }
    return {name: _text(values.get(name)) for name in FIELDS}


def _main(from_at: int, until_at: int, cluster: str) -> None:
    import pyslurm

    if hasattr(pyslurm, "init"):
        pyslurm.init()
    chosen = {"clusters": [cluster]} if cluster else {}
    wanted = pyslurm.db.JobFilter(start_time=from_at, end_time=until_at, **chosen)
    print("\n" + _MARK + json.dumps([_row(job) for job in pyslurm.db.Jobs.load(wanted).values()]))


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
