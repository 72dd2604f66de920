"""Accounting of a simulated night, as sacct prints it, and the truth, which goes elsewhere."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from slurm_guard.simulate.physics import MODELS
from slurm_guard.simulate.scene import Job, NodeSpec
from slurm_guard.slurm.rows import format_rows


class Outcome(NamedTuple):
    """What the judge knows of one run. Seconds are GPU-seconds held; `outside_s`: after the run's end."""

    job_id: int
    name: str
    start_at: int
    scenario: str
    honest: bool
    expect: tuple[str, ...]
    words: str
    gpu_s: float
    diverted_s: float
    outside_s: float


def sacct_text(jobs: Sequence[Job], nodes: Sequence[NodeSpec], cluster: str, begin_at: float) -> str:
    """One row a run, in order of start, as `sacct -X -P -D` with epoch times."""
    models = {node.name: node.model for node in nodes}
    order = sorted(jobs, key=lambda job: (job.start_s, job.job_id))
    return format_rows(_row(job, models, cluster, begin_at) for job in order)


def _row(job: Job, models: dict[str, str], cluster: str, begin_at: float) -> dict[str, str]:
    start, end = int(begin_at + job.start_s), int(begin_at + job.end_s)
    n, names = len(job.places), job.nodes()
    gpu = MODELS[models[names[0]]].key
    tres = f"billing={8 * n},cpu={8 * n},gres/gpu:{gpu}={n},gres/gpu={n},mem={64 * n}G,node={len(names)}"
    return {
        "JobIDRaw": str(job.job_id),
        "JobID": str(job.job_id),
        "Cluster": cluster,
        "State": job.state,
        "Submit": str(start - 40),
        "Start": str(start),
        "End": str(end),
        "ElapsedRaw": str(end - start),
        "Suspended": "00:00:00",
        "AllocTRES": tres,
        "NNodes": str(len(names)),
        "NodeList": ",".join(names),
        "User": job.user,
        "UID": str(job.uid),
        "Account": job.account,
        "Partition": gpu,
        "QOS": "normal",
        "StdOut": f"/home/{job.user}/{job.name}/slurm.out",
        "WorkDir": f"/home/{job.user}/{job.name}",
        "JobName": job.name,
        "Extra": "",
        "Comment": job.comment,
    }


def outcome(job: Job, begin_at: float, held_s: dict[str, float]) -> Outcome:
    """The truth about one run; `held_s` has the keys diverted and outside."""
    truth = job.truth
    return Outcome(
        job.job_id,
        job.name,
        int(begin_at + job.start_s),
        truth.scenario,
        truth.honest,
        truth.expect,
        truth.words,
        round(job.run_s * len(job.places), 1),
        round(held_s.get("diverted", 0.0), 1),
        round(held_s.get("outside", 0.0), 1),
    )


def truth_text(outcomes: Sequence[Outcome]) -> str:
    """truth.json: a list, in order of start."""
    rows = sorted(outcomes, key=lambda one: (one.start_at, one.job_id))
    return json.dumps([one._asdict() for one in rows], indent=1) + "\n"
