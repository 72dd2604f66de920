"""Facts of a healthy cluster, to be spoilt one at a time."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from slurm_guard.config import Config, MailConfig
from slurm_guard.doctor.facts import (
    Accounting,
    Auditor,
    Control,
    Database,
    Facts,
    Folder,
    Gres,
    Guard,
    HookFile,
    HookLine,
    HookSettings,
    Interpreter,
    Library,
    MailTry,
    Night,
    NodeData,
    Nvml,
    Quarantine,
    SamplerState,
    Skew,
    SlurmNode,
    Spool,
)
from slurm_guard.doctor.fromhooks import KEYS
from slurm_guard.doctor.fromslurm import parse_gres
from slurm_guard.doctor.fromstore import StoreState
from slurm_guard.doctor.shut import Shut
from slurm_guard.doctor.timer import Timer
from slurm_guard.model import NodeCoverage
from slurm_guard.slurm.conf import SlurmConf, read_slurm_conf
from slurm_guard.slurm.running import Running, parse_running

NOW_AT = 1_800_000_000.0
LIBEXEC = "/usr/libexec/slurm-guard"
NODES = (SlurmNode("n1", "gpu:h100:4", "idle", "none"), SlurmNode("n2", "gpu:4", "mixed", "none"))
CONFIG = replace(Config(), mail=MailConfig(to=["ops@example.org"]))
RECORDED = (Path(__file__).parents[2] / "fixtures/slurm/22.05/config.txt").read_text()


def running(release: str = "22.05.8", **values: str) -> Running:
    """The recorded answer with other values; an empty one is unset."""
    found = parse_running(RECORDED)
    changed = {key.lower(): (value,) if value else () for key, value in values.items()}
    return Running(release, {**found.values, **changed})


def conf(text: str) -> SlurmConf:
    """A slurm.conf of these lines."""
    return read_slurm_conf(Path("/etc/slurm/slurm.conf"), lambda _: text.encode())


def gres(text: str) -> Gres:
    """A gres.conf of these lines."""
    return Gres("/etc/slurm/gres.conf", parse_gres(text.encode()))


def file(path: str, **other: Any) -> HookFile:
    """A hook as it should be."""
    whole = {
        "exists": True,
        "regular": True,
        "executable": True,
        "world_runs": True,
        "ours": True,
        "shim": path,
    }
    return HookFile(path, **{**whole, **other})


def line(key: str, value: str = "", *files: HookFile) -> HookLine:
    """A line of slurm.conf with what it stands for; by default our own shim."""
    value = value or f"{LIBEXEC}/{KEYS[key]}"
    return HookLine(key, value, "/etc/slurm/slurm.conf:9", "*" in value, files or (file(value),))


def hooks(*lines: HookLine) -> tuple[HookLine, ...]:
    """All three keys, those given in place of the right ones."""
    given = {one.key for one in lines}
    return (*lines, *(line(key) for key in KEYS if key not in given))


def settings(**values: str) -> HookSettings:
    """slurm-guard-hooks.conf."""
    right = {
        "PYTHON": "/usr/bin/python3",
        "LIB": "/usr/lib/slurm-guard",
        "RUN_DIR": CONFIG.node.run_dir,
        "SPOOL_DIR": CONFIG.node.spool_dir,
        "CLIENT_DIR": CONFIG.progress.client_dir,
        "CONFIG": "/etc/slurm-guard/guard.toml",
        "SAMPLER_PYTHON": "/opt/slurm-guard/bin/python3",
        "START_SAMPLER": "yes",
        "DISABLED": CONFIG.node.disabled,
    }
    return HookSettings("/etc/slurm-guard/slurm-guard-hooks.conf", {**right, **values})


def python(path: str = "/usr/bin/python3", **other: Any) -> Interpreter:
    """An interpreter that does its work."""
    whole = {"exists": True, "executable": True, "script": False, "unsafe": (), "tried": True}
    return Interpreter(path, **{**whole, "version": (3, 11), **other})


def folder(path: str, mode: int, **other: Any) -> Folder:
    """A folder with room."""
    whole = {"exists": True, "is_dir": True, "owner": "root", "group": "sgship", "gid": 990}
    room = {"free_b": 1 << 40, "n_free": 1 << 20, "n_inodes": 1 << 21}
    return Folder(path, **{**whole, **room, "mode": mode, **other})


def folders(**spoilt: Folder) -> Mapping[str, Folder]:
    """Those of a node."""
    return {
        "run": folder("/run/slurm-guard", 0o711),
        "spool": folder("/var/lib/slurm-guard/spool", 0o2750),
        "progress": folder("/var/lib/slurm-guard/progress", 0o755),
        **spoilt,
    }


def stores(**spoilt: Folder) -> Mapping[str, Folder]:
    """Those of a head node."""
    his = {"uid": 999, "owner": "sgaudit"}
    return {
        "lake": folder("/var/lib/slurm-guard/lake", 0o750, **his),
        "reports": folder("/var/lib/slurm-guard/reports", 0o750, **his),
        "own": folder("/var/lib/slurm-guard/own", 0o711, **his),
        **spoilt,
    }


def guard(**other: Any) -> Guard:
    """guard.toml."""
    return replace(Guard("/etc/slurm-guard/guard.toml", CONFIG), **other)


def accounting(**starts: float) -> Accounting:
    """A day with jobs on GPUs: a start for each node."""
    return Accounting(40, 0, "", {}, {node: (at,) for node, at in starts.items()})


def heard(node: str, at: float, first_at: float = NOW_AT - 30 * 86_400) -> NodeData:
    """What was collected of a node, an hour ago for the last time."""
    return NodeData(node, at, first_at, NOW_AT - 3600)


def night(**other: Any) -> Night:
    """Last night's document."""
    nodes = tuple(NodeCoverage(name, 4, 1, NOW_AT - 40_000, "") for name in ("n1", "n2"))
    right = Night("2027-01-14", NOW_AT - 30_000, NOW_AT - 20_000, "1.2.3", nodes, 40)
    return replace(right, **other)


# A machine on which the packages lie, whose slurm.conf has the site's own prolog.
BARE: dict[str, Any] = {
    "traces": (),
    "hooks": (line("Prolog", "/etc/slurm/prolog.sh", file("/etc/slurm/prolog.sh", ours=False, shim="")),),
}


def healthy(**spoilt: Any) -> Facts:
    """Everything as it should be, but for what is given."""
    right = Facts(
        host="n1",
        release="1.2.3",
        now_at=NOW_AT,
        guard=guard(),
        guard_as_auditor=guard(),
        running=running(),
        conf=conf("ClusterName=rig\nAccountingStorageTRES=gres/gpu\n"),
        conf_unsafe=(),
        gres=gres("NodeName=n1 Name=gpu File=/dev/null\n"),
        slurm_nodes=(
            SlurmNode("n1", "gpu:h100:4", "idle", "none"),
            SlurmNode("n2", "gpu:4", "mixed", "none"),
        ),
        database=Database(("rig",), ("cpu", "gres/gpu"), "operator"),
        accounting=accounting(n1=NOW_AT - 20 * 3600, n2=NOW_AT - 20 * 3600),
        hooks=hooks(),
        settings=settings(),
        hook_python=python(),
        sampler_python=python("/opt/slurm-guard/bin/python3"),
        library=Library("/usr/lib/slurm-guard", "1.2.3", ()),
        nvml={"n1": Nvml(4, "580.65")},
        folders=folders(),
        samplers=(SamplerState("n1", None, "", "1.2.3"),),
        switches=(),
        control=Control(True, False, "", ""),
        auditor=Auditor("sgaudit", 999),
        stores=stores(),
        shut={"lake": Shut(), "reports": Shut()},
        data=(heard("n1", NOW_AT - 3600), heard("n2", NOW_AT - 3600)),
        spools=(Spool(CONFIG.lake.spools[0], True),),
        quarantine=Quarantine(0, 0),
        store=StoreState(),
        night=night(),
        skews=(Skew("n1", 0.4, 12), Skew("n2", -0.3, 9)),
        mail=MailTry(),
        chat=MailTry(),
        letters=(),
        schedule=(Timer("/etc/cron.d/slurm-guard"),),
        barred=(),
        leftovers=(),
        traces=("/var/lib/slurm-guard/install",),
    )
    return replace(right, **spoilt)
