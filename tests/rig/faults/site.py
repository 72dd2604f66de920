"""One node's own copy of what a site installs: one node's hooks and sampler can be hurt alone."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from slurm_guard.config import to_toml
from tests.rig import procs
from tests.rig.faults.shim import Page, build_shim
from tests.rig.guardconf import hook_settings, make_config
from tests.rig.layout import CHECKOUT, Rig

_HOOKS = ("prolog/slurm-guard-prolog", "epilog/slurm-guard-epilog")
# Slurm has one Prolog for all nodes: the site's own goes on to the node's. The marks are files in its folder.
_DISPATCH = """#!/bin/sh
# The site's own {hook}: records its environment, and may fail before ours runs.
here={root}/faults/$SLURMD_NODENAME
[ -e "$here/no-{hook}" ] && exit 0
cat /proc/$$/environ >"$here/{hook}.env.$SLURM_JOB_ID" 2>/dev/null
exec "$here/libexec/slurm-guard-{hook}"
"""
# The interpreter of the sampler and of the hooks: a mount namespace for what a machine has once (boot id,
# /dev/log), and the preloaded library. It stays the process that was started.
_PYTHON = """#!/bin/sh
here={here}
if [ -e "$here/boot_id" ] || [ -n "{log}" ]; then
    if [ -z "$FAULTS_INSIDE" ]; then
        FAULTS_INSIDE=yes exec unshare --mount --propagation slave "$0" "$@"
    fi
    unset FAULTS_INSIDE
    [ -e "$here/boot_id" ] && mount --bind "$here/boot_id" /proc/sys/kernel/random/boot_id
    [ -n "{log}" ] && [ -e /dev/log ] && mount --bind "$here/{log}" /dev/log
fi
export LD_PRELOAD={root}/faults/shim.so FAULTS_PAGE="$here/{page}"
export FAULTS_BELOW="{root}/spool/" FAULTS_ROLE={role}
exec {python} "$@"
"""


class Site:
    """Settings, configuration, syslog and pages of one node. Every change is in place whole."""

    def __init__(self, rig: Rig, node: str) -> None:
        self.rig, self.node = rig, node
        self.folder = rig.path / "faults" / node
        self.libexec = self.folder / "libexec"
        self.libexec.mkdir(parents=True, exist_ok=True)
        self.sampler, self.hooks = Page(self.folder / "sampler.page"), Page(self.folder / "hooks.page")
        self.syslog = self.folder / "syslog"
        for source in _HOOKS:
            target = self.libexec / Path(source).name
            shutil.copyfile(CHECKOUT / source, target)
            target.chmod(0o755)
        plain = hook_settings(rig)
        self._python("sampler-python", "sampler.page", "sampler_main.py", "log", plain["SAMPLER_PYTHON"])
        self._python("hook-python", "hooks.page", "hooks/main.py", "", plain["PYTHON"])
        self.start_syslog()
        self.configure()
        self.settle()

    def settle(self, **changed: str) -> None:
        """The hooks' settings, with these changed; without: all as installed."""
        settings = {
            **hook_settings(self.rig),
            "PYTHON": str(self.folder / "hook-python"),
            "SAMPLER_PYTHON": str(self.folder / "sampler-python"),
            "CONFIG": str(self.folder / "guard.toml"),
            "SYSLOG": str(self.folder / "log"),
            "DISABLED": str(self.folder / "disabled"),
            **changed,
        }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        self.put("libexec/slurm-guard-hooks.conf", text)

    def configure(self, misspell: str = "", **changed: Any) -> bool:
        """guard.toml with these keys of [node] changed, or a key's name spoilt; whether it is another now."""
        config = make_config(self.rig)
        node = replace(config.node, disabled=str(self.folder / "disabled"), **changed)
        text = to_toml(replace(config, node=node))
        text = text.replace(misspell, f"{misspell}_") if misspell else text
        path = self.folder / "guard.toml"
        if path.exists() and path.read_text("utf-8") == text:
            return False
        self.put("guard.toml", text)
        return True

    def put(self, name: str, text: str, mode: int = 0o644) -> Path:
        """A file of the node's folder, whole or not at all."""
        path = self.folder / name
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text, "utf-8")
        fresh.chmod(mode)
        fresh.replace(path)
        return path

    def drop(self, *names: str) -> None:
        """Take marks away."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def start_syslog(self) -> None:
        """The node's own syslog; at /dev/log for its sampler."""
        sock = self.folder / "log"
        argv = [self.rig.python, "-m", "tests.rig.syslog", str(sock), str(self.syslog)]
        procs.start(self.rig, f"syslog.{self.node}", argv, {"PYTHONPATH": str(CHECKOUT)})
        procs.wait_for("the node's syslog socket", sock.exists)

    def stop_syslog(self) -> None:
        """As if its daemon had ended: no socket, nobody who listens."""
        procs.stop(self.rig, f"syslog.{self.node}")

    def _python(self, name: str, page: str, role: str, log: str, python: str) -> None:
        here = shlex.quote(str(self.folder))
        words = {"here": here, "page": page, "role": role, "log": log, "python": python}
        self.put(name, _PYTHON.format(root=self.rig.root, **words), 0o755)


def install(rig: Rig, nodes: tuple[str, ...]) -> dict[str, Site]:
    """Puts the dispatching hooks where slurm.conf points, and a site on each node."""
    build_shim(rig.path / "faults")
    (rig.path / "faults").chmod(0o755)
    sites = {node: Site(rig, node) for node in nodes}
    for hook in ("prolog", "epilog"):
        path = rig.path / "libexec" / f"slurm-guard-{hook}"
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(_DISPATCH.format(hook=hook, root=rig.root), "utf-8")
        fresh.chmod(0o755)
        fresh.replace(path)
    return sites
