"""The configuration files of the rig's Slurm: text from the rig's numbers, nothing else."""

import os
import socket
from pathlib import Path

from tests.rig import unified
from tests.rig.layout import NODES, Rig

CPUS = 16  # what slurmd is told it has; the jobs here mostly wait
_FREEZER = Path("/sys/fs/cgroup/freezer")


def write_all(rig: Rig, db_password: str) -> None:
    """slurm.conf, gres.conf, cgroup.conf and slurmdbd.conf in etc/."""
    etc = rig.path / "etc"
    (etc / "slurm.conf").write_text(slurm_conf(rig), "utf-8")
    (etc / "gres.conf").write_text(gres_conf(rig), "utf-8")
    (etc / "cgroup.conf").write_text(cgroup_conf(rig), "utf-8")
    secret = etc / "slurmdbd.conf"
    secret.touch(0o600)
    secret.chmod(0o600)  # slurmdbd refuses to start on a file that others can read
    secret.write_text(slurmdbd_conf(rig, db_password), "utf-8")


def slurm_conf(rig: Rig) -> str:
    """slurm.conf. Prolog and Epilog are the project's own shims, unchanged."""
    host = socket.gethostname().split(".")[0]
    root, libexec = rig.root, rig.path / "libexec"
    types = ",".join(f"gres/gpu:{node.gres_type}" for node in NODES)
    lines = [
        f"ClusterName={rig.cluster}",
        f"SlurmctldHost={host}(127.0.0.1)",
        "SlurmUser=root",
        "SlurmdUser=root",
        f"SlurmctldPort={rig.ports['slurmctld']}",
        "AuthType=auth/munge",
        # A requeued job waits until its old credential has expired: two minutes by default (AuthInfo).
        f"AuthInfo=socket={munge_socket(rig)},cred_expire=30",
        "CryptoType=crypto/munge",
        f"StateSaveLocation={root}/state",
        f"SlurmdSpoolDir={root}/slurmd/%n",
        f"SlurmctldPidFile={root}/pid/slurmctld.own",
        f"SlurmdPidFile={root}/pid/slurmd.%n.own",
        f"SlurmctldLogFile={root}/log/slurmctld.log",
        f"SlurmdLogFile={root}/log/slurmd.%n.log",
        "SlurmctldDebug=info",
        "SlurmdDebug=info",
        f"ProctrackType=proctrack/{rig.proctrack.removesuffix('2')}",
        "TaskPlugin=task/none",
        "JobAcctGatherType=jobacct_gather/none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core",
        "SchedulerType=sched/backfill",
        # Het jobs are started by the backfill loop alone, which else comes round twice a minute.
        "SchedulerParameters=bf_interval=3",
        "SlurmdParameters=config_overrides",
        "ReturnToService=2",
        "MpiDefault=none",
        "MailProg=/bin/true",
        "KillWait=5",
        # Generous: two cores carry everything, and a slow answer must not look like a dead node.
        "MessageTimeout=60",
        "SlurmdTimeout=300",
        "BatchStartTimeout=60",
        f"FirstJobId={rig.first_job_id}",
        "GresTypes=gpu",
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        f"AccountingStoragePort={rig.ports['slurmdbd']}",
        # Slurm takes the munge socket for slurmdbd from here, not from AuthInfo.
        f"AccountingStoragePass={munge_socket(rig)}",
        f"AccountingStorageTRES=gres/gpu,{types}",
        "AccountingStoreFlags=job_comment",
        "PrologFlags=Alloc",
        "PrologEpilogTimeout=30",
        f"Prolog={libexec}/slurm-guard-prolog",
        f"Epilog={libexec}/slurm-guard-epilog",
        f"TaskProlog={libexec}/task-prolog",
    ]
    lines += [
        f"NodeName={node.name} NodeHostname={host} NodeAddr=127.0.0.1 Port={rig.ports[node.name]} "
        f"CPUs={CPUS} RealMemory=16000 Gres=gpu:{node.gres_type}:{node.n_gpus}"
        for node in NODES
    ]
    names = ",".join(node.name for node in NODES)
    lines.append(f"PartitionName=gpu Nodes={names} Default=YES MaxTime=INFINITE OverSubscribe=NO State=UP")
    return "\n".join(lines) + "\n"


def gres_conf(rig: Rig) -> str:
    """gres.conf: device nodes that the rig made, so that the hooks are told the GPUs' indices."""
    lines = ["AutoDetect=off"]
    for node in NODES:
        files = f"{rig.root}/dev/nvidia[0-{node.n_gpus - 1}]"
        lines.append(f"NodeName={node.name} Name=gpu Type={node.gres_type} File={files}")
    return "\n".join(lines) + "\n"


def cgroup_conf(rig: Rig) -> str:
    """cgroup.conf for v1's freezer, mounted by the system or by the rig, or for v2; neither for linuxproc."""
    plugin = ""
    if rig.proctrack == "cgroup":
        plugin = f"CgroupPlugin=cgroup/v1\nCgroupMountpoint={freezer_parent(rig)}\n"
    elif rig.proctrack == "cgroup2":
        plugin = f"CgroupPlugin=cgroup/v2\nCgroupMountpoint={unified.mount()}\nIgnoreSystemd=yes\n"
    return plugin + "ConstrainCores=no\nConstrainDevices=no\nConstrainRAMSpace=no\n"


def slurmdbd_conf(rig: Rig, db_password: str) -> str:
    """slurmdbd.conf; holds the database's password."""
    return (
        f"AuthType=auth/munge\nAuthInfo=socket={munge_socket(rig)}\n"
        f"DbdHost=localhost\nDbdAddr=127.0.0.1\nDbdPort={rig.ports['slurmdbd']}\n"
        f"SlurmUser=root\nLogFile={rig.root}/log/slurmdbd.log\nPidFile={rig.root}/pid/slurmdbd.own\n"
        "DebugLevel=info\nStorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\n"
        f"StoragePort={rig.ports['mariadb']}\nStorageUser=slurm\nStoragePass={db_password}\nStorageLoc=slurm_acct\n"
    )


def munge_socket(rig: Rig) -> Path:
    """The rig's own munge."""
    return rig.path / "munge" / "munge.socket"


def freezer_parent(rig: Rig) -> Path:
    """The folder whose `freezer` is a cgroup v1 hierarchy: the system's, or one in the rig."""
    return _FREEZER.parent if os.path.ismount(_FREEZER) else rig.path / "cgroup"
