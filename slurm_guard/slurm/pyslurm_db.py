"""Accounting through PySlurm, where it is installed. Optional: sacct is the reference.

PySlurm runs in a child: importing it without a usable slurm.conf ends the interpreter (libslurm's fatal),
and it prints to stdout. It cannot ask for duplicates, so runs before a requeue are missing: said as a skip,
with how many the restart counts show. It says 0 as null (`_raw_time`, `u32_parse` in 25.11), names a user
as this machine knows the uid, and leaves out SLUID.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, GuardError
from slurm_guard.model import Skip
from slurm_guard.slurm.accounting import LoadedRuns
from slurm_guard.slurm.group import run_group
from slurm_guard.slurm.rows import FIELDS, draw_delimiter, format_rows
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
        loaded = runs_of_text(
            format_rows(rows, FIELDS, draw_delimiter()), self.cluster, (from_at, until_at), "pyslurm"
        )
        skips = [*loaded.skips, _no_duplicates(rows)]
        if loaded.runs and not any(run.n_gpus for run in loaded.runs):
            why = "no run has a GPU among its resources; PySlurm before 25.11.1 does not give them"
            skips.append(Skip("accounting", "no-gpu-tres", why))
        return replace(loaded, skips=tuple(skips))

    def _ask(self, from_at: int, until_at: int) -> list[dict[str, str]]:
        command = [
            sys.executable,
            "-m",
            "slurm_guard.slurm.pyslurm_db",
            str(from_at),
            str(until_at),
            self.cluster,
        ]
        # Nothing may be imported from wherever the audit was started.
        env = {**os.environ, "PYSLURM_DISABLE_AUTO_INIT": "1", "PYTHONSAFEPATH": "1", "TZ": "UTC"}
        try:
            done = run_group(command, env, self.timeout_s, "/")
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


def _no_duplicates(rows: Sequence[Mapping[str, str]]) -> Skip:
    """Always said: a restart count of zero does not show that no run is missing."""
    counts = [int(row["Restarts"]) for row in rows if row.get("Restarts", "").isdigit()]
    n_runs, n_jobs = sum(counts), sum(count > 0 for count in counts)
    seen = f"; {n_runs} of {n_jobs} requeued jobs at least" if n_runs else "; no job here was requeued"
    why = f"PySlurm cannot ask for duplicates: runs before a requeue are missing{seen}; sacct has them"
    return Skip("accounting", "no-duplicates", why)


def _tres(job: Any) -> str:
    """Allocated GRES as sacct writes them, shards too; the counts are objects of PySlurm's own."""
    tres = getattr(job, "allocated_tres", None)
    gres = getattr(tres, "gres", None) or {}
    return ",".join(f"{one.type_and_name}={one.count}" for one in gres.values())


def _job_id(job: Any) -> str:
    """As sacct shows it. Task 0 and offset 0 come as null; a row that has run always has a task."""
    if job.array_id:
        return f"{job.array_id}_{job.array_task_id or 0}"
    if job.heterogeneous_id:
        return f"{job.heterogeneous_id}+{job.heterogeneous_offset or 0}"
    return str(job.id)


def _span(seconds: int | None) -> str:
    """`HH:MM:SS`, as sacct's Suspended."""
    minutes, rest = divmod(seconds or 0, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"


def _row(job: Any) -> dict[str, str]:
    """One pyslurm.db.Job under sacct's names, and `Restarts`."""
    values = {
        "JobIDRaw": job.id,
        "JobID": _job_id(job),
        "Cluster": job.cluster,
        "State": job.state,
        "Submit": job.submit_time,
        "Start": job.start_time,
        "End": job.end_time,
        "ElapsedRaw": job.elapsed_time or 0,
        "Suspended": _span(job.suspended_time),
        "AllocTRES": _tres(job),
        "NNodes": job.num_nodes,
        "NodeList": job.nodelist,
        "User": job.user_name,
        "UID": job.user_id,
        "Account": job.account,
        "Partition": job.partition,
        "QOS": job.qos,
        "AdminComment": getattr(job, "admin_comment", None),
        "StdOut": getattr(job, "standard_output", None),
        "WorkDir": job.working_directory,
        "JobName": job.name,
        "Extra": job.extra,
        "Comment": job.comment,
        "Restarts": job.requeue_count,
    }
    return {name: "" if (value := values.get(name)) is None else str(value) for name in (*FIELDS, "Restarts")}


def _main(from_at: int, until_at: int, cluster: str) -> None:
    import pyslurm

    pyslurm.slurm_init()  # 25.11.1 or later, as PYSLURM_DISABLE_AUTO_INIT is
    chosen = {"clusters": [cluster]} if cluster else {}
    wanted = pyslurm.db.JobFilter(start_time=from_at, end_time=until_at, **chosen)
    print("\n" + _MARK + json.dumps([_row(job) for job in pyslurm.db.Jobs.load(wanted).values()]))


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
