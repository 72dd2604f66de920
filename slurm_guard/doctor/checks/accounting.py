"""What accounting has to hold, who may read it, and how Slurm tells a job of its GPUs."""

from collections.abc import Iterator
from shlex import quote

from slurm_guard.doctor.checks.values import value, version, words
from slurm_guard.doctor.facts import Facts
from slurm_guard.doctor.finding import BOTH, HEAD, NODE, Check, Said, Unseen, ok, problem, seen, warning
from slurm_guard.hostlist import expand

_RESTART = "in slurm.conf, then restart slurmctld"
_PRIVATE = frozenset({"jobs", "usage", "all"})
_MAY_SEE = ("operator", "administrator")
_AS_AUDITOR = "run it as root or as the user that audits, where sacct and sacctmgr answer"


def _type(facts: Facts) -> Iterator[Said]:
    kind = value(facts, "AccountingStorageType").lower()
    if kind != "accounting_storage/slurmdbd":
        yield problem(
            f"AccountingStorageType is {kind or 'unset'}, and without slurmdbd there is no night to audit",
            f"AccountingStorageType=accounting_storage/slurmdbd   # {_RESTART}",
        )


def _tres(facts: Facts) -> Iterator[Said]:
    held = words(facts, "AccountingStorageTRES")
    if "gres/gpu" not in held:
        listed = ",".join(word for word in held if word.startswith(("gres/", "license/")))
        yield problem(
            "AccountingStorageTRES lacks gres/gpu, so that no job's GPUs are accounted, now or afterwards",
            f"AccountingStorageTRES={listed + ',' if listed else ''}gres/gpu   # {_RESTART}",
        )


def _flags(facts: Facts) -> Iterator[Said]:
    flags = words(facts, "AccountingStoreFlags")
    wanted = ["job_comment"]
    if (version(facts) or (0, 0)) >= (23, 2):
        wanted.append("job_extra")
    missing = [word for word in wanted if word not in flags]
    if missing:
        line = ",".join([*flags, *missing])
        yield warning(
            f"AccountingStoreFlags lacks {' and '.join(missing)}: an intent that is edited goes unnoticed",
            f"AccountingStoreFlags={line}   # in slurm.conf, then: scontrol reconfigure",
        )


def _extra(facts: Facts) -> Iterator[Said]:
    if "extra_constraints" in words(facts, "SchedulerParameters"):
        yield warning(
            "SchedulerParameters=extra_constraints takes an intent in --extra for a constraint of the job",
            "tell users to declare by --comment; --extra is not for them here",
        )


def _private(facts: Facts) -> Iterator[Said]:
    private = sorted(_PRIVATE & set(words(facts, "PrivateData")))
    if not private:
        yield ok("PrivateData hides no jobs")
        return
    auditor, database = seen(facts.auditor), seen(facts.database)
    slurm_user = value(facts, "SlurmUser").partition("(")[0]
    if auditor.uid != 0 and auditor.name != slurm_user and not database.admin.startswith(_MAY_SEE):
        known = (
            f"modify user {auditor.name} set" if database.admin else f"add user {auditor.name} account=root"
        )
        yield problem(
            f"PrivateData={','.join(private)} hides other users' jobs from {auditor.name}, who audits",
            f"sacctmgr {known} adminlevel=operator",
        )
    else:
        yield ok(f"{auditor.name}, who audits, may see jobs that PrivateData hides")


def _database(facts: Facts) -> Iterator[Said]:
    if isinstance(facts.database, Unseen):
        yield problem(
            f"slurmdbd does not answer {_auditor_name(facts)}: {facts.database.why}",
            "sacctmgr show cluster   # as that user, and look at slurmdbd's log",
        )
        return
    cluster = value(facts, "ClusterName").lower()
    if cluster and cluster not in (known.lower() for known in facts.database.clusters):
        yield problem(
            f"slurmdbd has no cluster {cluster}, so that its jobs are not accounted",
            f"sacctmgr add cluster {cluster}",
        )
    if "gres/gpu" not in facts.database.tres:
        yield problem(
            "slurmdbd knows no gres/gpu: none of the cluster's GPU-hours were ever accounted",
            f"AccountingStorageTRES=gres/gpu   # {_RESTART}",
        )


def _auditor_name(facts: Facts) -> str:
    return "us" if isinstance(facts.auditor, Unseen) else facts.auditor.name


def _sacct(facts: Facts) -> Iterator[Said]:
    if isinstance(facts.accounting, Unseen):
        yield problem(
            f"the last day cannot be read from sacct: {facts.accounting.why}",
            f"sacct -a -X -S now-1day   # as {_auditor_name(facts)}; a slow slurmdbd: raise slurm.timeout_s",
        )
    elif facts.accounting.n_bad_rows:
        yield warning(
            f"{facts.accounting.n_bad_rows} of sacct's rows of the last day are not understood: "
            f"{facts.accounting.example}",
            "slurm-guard audit   # its skips name them; send us such a row",
        )
    else:
        yield ok(f"{facts.accounting.n_runs} runs of the last day were read from sacct")


def _gres_types(facts: Facts) -> Iterator[Said]:
    if "gpu" not in words(facts, "GresTypes"):
        yield problem(
            "GresTypes lacks gpu: Slurm knows of no GPU on this cluster",
            f"GresTypes={','.join([*words(facts, 'GresTypes'), 'gpu'])}   # {_RESTART}",
        )


def _gres_files(facts: Facts) -> Iterator[Said]:
    gres = seen(facts.gres)
    if gres.lines is None:
        yield problem(
            f"there is no {gres.path}, so that Slurm counts GPUs and tells no job which are its own",
            f"echo AutoDetect=nvml > {gres.path}   # or Name=gpu File=/dev/nvidia[0-3]",
        )
        return
    detected = [line.fields.get("autodetect", "off").lower() for line in gres.lines]
    if any(word not in ("off", "none") for word in detected):
        return
    boards = [line for line in gres.lines if line.fields.get("name", "").lower() == "gpu"]
    for line in boards:
        if not line.files:
            yield problem(
                f"{gres.path}:{line.number} counts GPUs and names no File=: SLURM_JOB_GPUS stays unset",
                "Name=gpu File=/dev/nvidia[0-3]   # on that line, with the node's own device files",
            )
    if not boards:
        yield problem(
            f"{gres.path} has no line Name=gpu and no AutoDetect=: SLURM_JOB_GPUS stays unset",
            f"echo AutoDetect=nvml >> {gres.path}",
        )


def _gres_devices(facts: Facts) -> Iterator[Said]:
    for line in seen(facts.gres).lines or ():
        if not _speaks_of(line.fields.get("nodename", ""), facts.host):
            continue
        if line.plain:
            yield problem(
                f"gres.conf:{line.number}: {line.plain[0]} is no device, and slurmd refuses it",
                "File=/dev/nvidia[0-3]   # on that line, with the node's own device files",
            )
        if line.missing:
            yield problem(
                f"gres.conf:{line.number}: {line.missing[0]} is not there, and slurmd waits for it or fails",
                "ls -l /dev/nvidia*   # is the driver loaded? nvidia-modprobe -u -c=0",
            )


def _speaks_of(nodes: str, host: str) -> bool:
    """Whether a line of gres.conf is about this machine; one that names no node is about every one."""
    try:
        return not nodes or host in expand(nodes)
    except ValueError:
        return False


def _drained(facts: Facts) -> Iterator[Said]:
    for node in seen(facts.slurm_nodes):
        reason = node.reason.lower()
        if "drain" in node.state and ("prolog error" in reason or "epilog error" in reason):
            which = "prolog" if "prolog error" in reason else "epilog"
            yield problem(
                f"the node was drained for its {which}: {node.reason}",
                f"ssh {quote(node.name)} slurm-guard doctor --role node   # then resume it",
                node.name,
            )


CHECKS = (
    Check(
        "accounting-type",
        "`AccountingStorageType` is slurmdbd",
        "The audit sets what was seen against what Slurm charged; without accounting it has no jobs.",
        "`AccountingStorageType=accounting_storage/slurmdbd`",
        BOTH,
        "accounting goes to slurmdbd",
        _type,
    ),
    Check(
        "accounting-tres",
        "`AccountingStorageTRES` holds `gres/gpu`",
        "Without it accounting has jobs and no GPUs; it cannot be made up for afterwards.",
        "`AccountingStorageTRES=gres/gpu`",
        BOTH,
        "GPUs are accounted",
        _tres,
    ),
    Check(
        "accounting-flags",
        "`AccountingStoreFlags` holds `job_comment`, from 23.02 on also `job_extra`",
        "The hooks keep what a job declared when it began; against what accounting has, an edit shows.",
        "`AccountingStoreFlags=job_comment,job_extra`",
        BOTH,
        "declared intents are kept by accounting",
        _flags,
    ),
    Check(
        "extra-constraints",
        "`SchedulerParameters=extra_constraints`",
        "Slurm then reads `--extra` as a constraint: JSON is refused, and `guard=1` waits for ever.",
        "declare by `--comment`",
        BOTH,
        "an intent may stand in --comment or --extra",
        _extra,
    ),
    Check(
        "slurmdbd",
        "whether slurmdbd answers, has the cluster, and knows `gres/gpu`",
        "It is asked each night, as the user that audits.",
        "look at slurmdbd",
        HEAD,
        "slurmdbd answers, and knows the cluster and its GPUs",
        _database,
        _AS_AUDITOR,
    ),
    Check(
        "sacct",
        "whether a day of `sacct` is read as the audit reads it",
        "A field that is missing, times in another form or rows that break end the night's audit.",
        "run sacct by hand as the same user",
        HEAD,
        "",
        _sacct,
        _AS_AUDITOR,
    ),
    Check(
        "private-data",
        "`PrivateData` beside the rights of the user that audits",
        "Hidden jobs are missing without a word, and their GPU work looks like nobody's.",
        "`sacctmgr add user … adminlevel=operator`",
        HEAD,
        "",
        _private,
        _AS_AUDITOR,
    ),
    Check(
        "gres-types",
        "`GresTypes` holds `gpu`",
        "Else no job can ask for one.",
        "`GresTypes=gpu`",
        BOTH,
        "Slurm knows GPUs",
        _gres_types,
    ),
    Check(
        "gres-files",
        "gres.conf names device files, or finds them (`AutoDetect=`)",
        "GPUs that are only counted have no index, so that nobody tells the hooks which of them a job has.",
        "`AutoDetect=nvml`, or `File=/dev/nvidia[0-3]`",
        BOTH,
        "Slurm tells each job which GPUs are its own",
        _gres_files,
        "run it as root, where gres.conf lies",
    ),
    Check(
        "gres-devices",
        "the device files that gres.conf names for this node",
        "slurmd refuses what is no device, and does not start without those that it was told of.",
        "mend gres.conf, or load the driver",
        NODE,
        "the devices of gres.conf are there",
        _gres_devices,
        "run it as root, where gres.conf lies",
    ),
    Check(
        "drained-nodes",
        "nodes that Slurm drained for a prolog or an epilog",
        "One hook that cannot be run takes a node away at the next job; nobody's hook may do that.",
        "`slurm-guard doctor --role node` on that node",
        HEAD,
        "no node is drained for a prolog or an epilog",
        _drained,
    ),
)
