"""Real jobs of an ordinary user, of which record_env.py and record_texts.py keep what Slurm said."""

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.rig import procs, services, users
from tests.rig.layout import NODES, USERS, Rig, RigError
from tests.rig.submit import job_env

USER = USERS[0]


def slurm_version(rig: Rig) -> str:
    """As `26.05.5`; two of them compare as texts."""
    return procs.call(rig, ["sinfo", "--version"]).split()[-1]


def sbatch(rig: Rig, *args: str, wrap: str = "sleep 2") -> int:
    argv = [*users.as_user(USER), "sbatch", "--parsable", f"--chdir={rig.home(USER)}", *args]
    out = _as_user(rig, [*argv, f"--wrap={wrap}"])
    return int(re.split(r"[;\s]", out)[0])


def _as_user(rig: Rig, argv: list[str]) -> str:
    done = subprocess.run(
        argv, env=job_env(rig, USER), cwd="/", capture_output=True, text=True, timeout=180, check=False
    )
    if done.returncode != 0:
        raise RigError(f"{' '.join(argv)}: {done.stderr.strip()[-400:]}")
    return done.stdout


def _wait_for_state(rig: Rig, job: int, state: str) -> None:
    procs.wait_for(
        f"job {job} {state}",
        lambda: state in procs.call(rig, ["squeue", "-h", "-t", "all", "-j", str(job), "-o", "%T"]),
        60.0,
    )


def running(rig: Rig, *args: str, wrap: str = "sleep 600") -> int:
    job = sbatch(rig, *args, wrap=wrap)
    _wait_for_state(rig, job, "RUNNING")
    time.sleep(2.0)
    return job


def _scontrol(rig: Rig, *words: str) -> None:
    """As the job's owner."""
    _as_user(rig, [*users.as_user(USER), "scontrol", *words])


def _batch(rig: Rig) -> None:
    extra = ['--extra=guard={"v":1,"task":"pretrain"}'] if slurm_version(rig) >= "23.02" else []
    comment = "--comment=guard:task=pretrain;target=tokens:2e12"
    sbatch(rig, "--gres=gpu:2", comment, "--output=%j-%x.out", *extra)


def _failed(rig: Rig) -> None:
    sbatch(rig, "--gres=gpu:1", wrap="exit 3")


def _cpu_only(rig: Rig) -> None:
    sbatch(rig)


def _array(rig: Rig) -> None:
    sbatch(rig, "--gres=gpu:1", "--array=0-2%1")


def _het(rig: Rig) -> None:
    script = rig.home(USER) / "het.sbatch"
    script.write_text(
        "#!/bin/sh\n#SBATCH --gres=gpu:1 --nodelist=n1\n#SBATCH hetjob\n"
        "#SBATCH --gres=gpu:2 --nodelist=n2\nsleep 2\n",
        "utf-8",
    )
    argv = [*users.as_user(USER), "sbatch", "--parsable", f"--chdir={rig.home(USER)}", str(script)]
    _as_user(rig, argv)


def _salloc(rig: Rig) -> None:
    _as_user(rig, [*users.as_user(USER), "salloc", "-Q", "-N1", "--gres=gpu:1", "sleep", "2"])


def _salloc_two_nodes(rig: Rig) -> None:
    _as_user(rig, [*users.as_user(USER), "salloc", "-Q", "-N2", "--gres=gpu:1", "sleep", "2"])


def _two_nodes(rig: Rig) -> None:
    sbatch(rig, "-N2", "--gres=gpu:1")


def _requeue(rig: Rig) -> None:
    job = running(rig, "--gres=gpu:1", "--requeue", "--comment=guard:task=x")
    _scontrol(rig, "requeue", str(job))
    _wait_for_state(rig, job, "PENDING")
    time.sleep(2.0)
    procs.call(rig, ["scontrol", "update", f"jobid={job}", "starttime=now"])
    _wait_for_state(rig, job, "RUNNING")
    time.sleep(2.0)
    procs.call(rig, ["scancel", str(job)])


def _edited(rig: Rig) -> None:
    job = running(rig, "--gres=gpu:1", "--comment=guard:task=x")
    _scontrol(rig, "update", f"jobid={job}", "comment=guard:task=y")
    procs.call(rig, ["scancel", str(job)])


def _cleared(rig: Rig) -> None:
    job = running(rig, "--gres=gpu:1", "--comment=guard:task=x")
    _scontrol(rig, "update", f"jobid={job}", "comment=")
    procs.call(rig, ["scancel", str(job)])


def _suspended(rig: Rig) -> None:
    """No hook fires; the sampler's words are what there is to see of it."""
    job = running(rig, "--gres=gpu:1", wrap="sleep 600 & wait")
    procs.call(rig, ["scontrol", "suspend", str(job)])
    time.sleep(6.0)
    procs.call(rig, ["scontrol", "resume", str(job)])
    time.sleep(4.0)
    procs.call(rig, ["scancel", str(job)])


def _resized(rig: Rig) -> None:
    job = running(rig, "-N2", "--gres=gpu:1")
    _scontrol(rig, "update", f"jobid={job}", "numnodes=1")
    time.sleep(4.0)
    procs.call(rig, ["scancel", str(job)])


def _salloc_without_flags(rig: Rig) -> None:
    """As salloc-two-nodes, on a cluster without PrologFlags=Alloc."""
    with _edited_conf(rig, rig.conf, lambda text: text.replace("PrologFlags=Alloc\n", "")):
        _restart(rig)
        _salloc_two_nodes(rig)
        time.sleep(3.0)
    _restart(rig)


def _oversubscribed(rig: Rig) -> None:
    """The partition allows to share, the job asks for it."""
    with _partition(rig, "YES:2"):
        sbatch(rig, "--gres=gpu:2", "--oversubscribe")


def _forced(rig: Rig) -> None:
    """The partition shares everybody's; the job did not ask."""
    with _partition(rig, "FORCE:2"):
        sbatch(rig, "--gres=gpu:2")


def _exclusive(rig: Rig) -> None:
    sbatch(rig, "--gres=gpu:2", "--exclusive")


@contextlib.contextmanager
def _partition(rig: Rig, oversubscribe: str) -> Iterator[None]:
    procs.call(rig, ["scontrol", "update", "partition=gpu", f"oversubscribe={oversubscribe}"])
    try:
        yield
        wait_for_none(rig)
    finally:
        procs.call(rig, ["scontrol", "update", "partition=gpu", "oversubscribe=NO"])


def _mps(rig: Rig) -> None:
    with _parts(rig):
        sbatch(rig, "--gres=mps:50")
        wait_for_none(rig)


def _shard(rig: Rig) -> None:
    with _parts(rig):
        sbatch(rig, "--gres=shard:2")
        wait_for_none(rig)


def wait_for_none(rig: Rig) -> None:
    procs.wait_for("jobs to end", lambda: not procs.call(rig, ["squeue", "-h"]).strip(), 120.0, 0.5)
    time.sleep(1.0)


@contextlib.contextmanager
def _parts(rig: Rig) -> Iterator[None]:
    """Each GPU also as 100 parts by MPS and as 4 shards."""
    gres = rig.path / "etc" / "gres.conf"
    nodes = ",".join(node.name for node in NODES)
    per_node = NODES[0].n_gpus
    more = f"NodeName={nodes} Name=mps Count={100 * per_node}\n"
    more += f"NodeName={nodes} Name=shard Count={4 * per_node}\n"
    with _edited_conf(rig, gres, lambda text: text + more), _edited_conf(rig, rig.conf, _with_parts):
        _restart(rig)
        yield
    _restart(rig)


def _with_parts(text: str) -> str:
    text = text.replace("GresTypes=gpu\n", "GresTypes=gpu,mps,shard\n")
    text = text.replace("AccountingStorageTRES=", "AccountingStorageTRES=gres/mps,gres/shard,")
    more = f",mps:{100 * NODES[0].n_gpus},shard:{4 * NODES[0].n_gpus}"
    return re.sub(r"(Gres=gpu:\S+)", rf"\1{more}", text)


@contextlib.contextmanager
def _edited_conf(rig: Rig, path: Path, edit: Callable[[str], str]) -> Iterator[None]:
    text = path.read_text("utf-8")
    path.write_text(edit(text), "utf-8")
    try:
        yield
    finally:
        path.write_text(text, "utf-8")


def _restart(rig: Rig) -> None:
    """All of Slurm but slurmdbd: what a change of GRES needs."""
    for name in ("slurmctld", *(f"slurmd.{node.name}" for node in NODES)):
        procs.stop(rig, name)
    services.start_slurm(rig)


CASES: dict[str, Callable[[Rig], None]] = {
    "batch": _batch,
    "failed": _failed,
    "cpu-only": _cpu_only,
    "array": _array,
    "het": _het,
    "salloc": _salloc,
    "salloc-two-nodes": _salloc_two_nodes,
    "two-nodes": _two_nodes,
    "requeue": _requeue,
    "edited": _edited,
    "cleared": _cleared,
    "suspended": _suspended,
    "resized": _resized,
    "salloc-without-flags": _salloc_without_flags,
    "oversubscribed": _oversubscribed,
    "forced": _forced,
    "exclusive": _exclusive,
    "mps": _mps,
    "shard": _shard,
}
