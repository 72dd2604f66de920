"""slurm-guard as a site would install it, inside the rig: configuration, hooks, folders."""

import os
import pwd
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from slurm_guard.config import (
    AuditConfig,
    Config,
    LakeConfig,
    MailConfig,
    NodeConfig,
    ProgressConfig,
    ReportConfig,
    SlurmConfig,
    to_toml,
)
from tests.rig.layout import AUDITOR, CHECKOUT, NODES, Rig


def write_guard(rig: Rig) -> None:
    """guard.toml, the shims beside their settings, and the folders with the owners that a site gives them."""
    rig.guard_toml.write_text(to_toml(make_config(rig)), "utf-8")
    auditor = pwd.getpwnam(AUDITOR)
    spool = rig.path / "spool"
    spool.mkdir(exist_ok=True)
    os.chown(spool, 0, auditor.pw_gid)
    spool.chmod(0o2750)  # prolog/README.md: the collector's group reads, everything below inherits it
    for name in ("lake", "reports"):
        folder = rig.path / name
        folder.mkdir(exist_ok=True)
        os.chown(folder, auditor.pw_uid, auditor.pw_gid)
        folder.chmod(0o750)
    _install_hooks(rig)


def make_config(rig: Rig) -> Config:
    """The rig's configuration: `scale` production keeps every default time scale, rig shortens them."""
    config = Config(
        node=NodeConfig(
            run_dir=f"{rig.root}/run",
            spool_dir=f"{rig.root}/spool",
            # The rig's device nodes lie outside /dev; every node's gres.conf names the same ones, from 0 up.
            gres_devices=[f"{rig.root}/dev/nvidia{i}" for i in range(max(node.n_boards for node in NODES))],
        ),
        lake=LakeConfig(path=f"{rig.root}/lake", spools=[f"{rig.root}/spool"]),
        slurm=SlurmConfig(cluster=rig.cluster, timeout_s=60.0),
        progress=ProgressConfig(client_dir=f"{rig.root}/progress"),
        report=ReportConfig(path=f"{rig.root}/reports", site="the rig"),
        mail=MailConfig(
            sender="slurm-guard@rig.example",
            to=["operators@rig.example"],
            host="127.0.0.1",
            port=rig.ports["smtp"],
        ),
    )
    # Two minutes instead of an hour, so that a night need not wait for the node's last segment.
    production = replace(config, node=replace(config.node, segment_s=120.0))
    return production if rig.scale == "production" else _shorten(config)


def _shorten(config: Config) -> Config:
    """A job of 100 s stands for one of some hours: where a site waits minutes, the rig waits seconds."""
    node = replace(
        config.node,
        sample_interval_s=0.25,
        window_s=5.0,
        table_interval_s=1.0,
        file_interval_s=2.0,
        segment_s=30.0,
        end_grace_s=5.0,
    )
    audit = replace(
        config.audit,
        least_gpu_h=0.001,
        silence_s=15.0,
        parked_s=30.0,
        startup_s=30.0,
        slack_s=3.0,
    )
    return replace(config, node=node, audit=audit)


def scales(rig: Rig) -> AuditConfig:
    """The audit's time scales of this rig."""
    return make_config(rig).audit


def _install_hooks(rig: Rig) -> None:
    """The project's shims, unchanged, beside a settings file; the site's own TaskProlog calls ours."""
    libexec = rig.path / "libexec"
    libexec.mkdir(exist_ok=True)
    for source in (
        "prolog/slurm-guard-prolog",
        "prolog/slurm-guard-task-prolog",
        "epilog/slurm-guard-epilog",
    ):
        target = libexec / Path(source).name
        shutil.copyfile(CHECKOUT / source, target)
        target.chmod(0o755)
    settings = libexec / "slurm-guard-hooks.conf"
    settings.write_text("".join(f"{name}={value}\n" for name, value in hook_settings(rig).items()), "utf-8")
    settings.chmod(0o644)
    wrapper = libexec / "task-prolog"
    wrapper.write_text(
        "#!/bin/sh\n# The site's own: tells the task where its node's boards are, then calls the shim.\n"
        f'printf "export SLURM_GUARD_RIG_GPU={rig.root}/nodes/%s/gpu\\n" "$SLURMD_NODENAME"\n'
        f"exec {libexec}/slurm-guard-task-prolog\n",
        "utf-8",
    )
    wrapper.chmod(0o755)


def hook_settings(rig: Rig) -> dict[str, str]:
    """slurm-guard-hooks.conf (prolog/README.md)."""
    return {
        "PYTHON": str(Path(getattr(sys, "_base_executable", sys.executable)).resolve()),
        "LIB": str(CHECKOUT),
        "RUN_DIR": f"{rig.root}/run",
        "SPOOL_DIR": f"{rig.root}/spool",
        "CLIENT_DIR": f"{rig.root}/progress",
        "CONFIG": str(rig.guard_toml),
        "START_SAMPLER": "yes",
        "SAMPLER_PYTHON": rig.python,
        "SAMPLER_LD_LIBRARY_PATH": f"{rig.root}/nodes/%n/gpu",
        "GPU_DEVICES": f"{rig.root}/dev/nvidia",
        "SYSLOG": f"{rig.root}/log/socket",
        "DISABLED": f"{rig.root}/etc/disabled",
    }
