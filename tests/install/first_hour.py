"""From Debian packages to the first report, timed: the tutorial in a folder of Debian, with the rig's Slurm.

`make firsthour` makes the folder and the packages and runs this inside (`python -m tests.rig.root FOLDER
-m tests.install.first_hour --debs dist`). Slurm and its accounting run before it begins, as on a site; what
the rig needs because its GPUs are simulated is printed as `site:`. Each command is printed with its seconds.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.rig import cluster, procs, services
from tests.rig.jobs import drained_nodes, read_charges, wait_for_jobs
from tests.rig.layout import NODES, USERS, Rig
from tests.rig.submit import submit

OURS = ("prolog=", "epilog=", "taskprolog=", "prologflags=", "prologepilogtimeout=")
SPOOL = Path("/var/lib/slurm-guard/spool")
AS = "runuser -u slurm-guard-audit -- "  # what the lake and the reports belong to
LIMIT_S = 600.0  # from the first command to the report


class Failed(Exception):
    """A command of the tutorial did not do what it says."""


def main() -> int:
    """0: the report came within the limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.install.first_hour", description=__doc__)
    parser.add_argument("--debs", type=Path, required=True, help="folder with the two packages")
    asked = parser.parse_args()
    if services.missing_packages():
        sys.exit(f"first hour: missing: {services.missing_packages()}")
    top = Path(tempfile.mkdtemp(prefix="hour-", dir="/var/tmp"))
    top.chmod(0o755)
    try:
        rig = cluster.up(top / "r", seed=5)
        _before(rig)
        return _hour(rig, asked.debs)
    except Failed as error:
        print(f"first hour: {error}")
        return 1
    finally:
        for file in Path("/run/slurm-guard").glob("*/sampler.pid"):  # a prolog started it, and it stays
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(file.read_text().split()[0]), signal.SIGTERM)
        cluster.down(top / "r")


def _before(rig: Rig) -> None:
    """The cluster of a site that has never heard of slurm-guard."""
    kept = [line for line in rig.conf.read_text().splitlines() if not line.lower().startswith(OURS)]
    tells = rig.path / "site-taskprolog"  # the site's own: where the node's boards are
    tells.write_text(
        f'#!/bin/sh\nprintf "export SLURM_GUARD_RIG_GPU={rig.root}/nodes/%s/gpu\\n" "$SLURMD_NODENAME"\n'
    )
    tells.chmod(0o755)
    rig.conf.write_text("\n".join([*kept, f"TaskProlog={tells}", ""]))
    procs.call(rig, ["scontrol", "reconfigure"])
    time.sleep(3)


def _hour(rig: Rig, debs: Path) -> int:
    found = sorted(str(path.resolve()) for path in debs.glob("slurm-guard*.deb"))
    if len(found) != 2:
        raise Failed(f"{debs} holds {len(found)} packages of two: `make deb`")
    begun_s = time.monotonic()
    _do(rig, "apt-get install -y -q --no-install-recommends", *found)
    _do(rig, "slurm-guard install --apply --reconfigure")
    _site(rig)
    waited_s = _jobs(rig)
    _do(rig, f"{AS}slurm-guard collect")
    _do(rig, f"{AS}slurm-guard audit --since {int(time.time()) - 3600}")
    said = _do(rig, f"{AS}slurm-guard report")
    total_s = time.monotonic() - begun_s
    print(said)
    print(f"{total_s:.0f} s from the first command to the report, {waited_s:.0f} of them for the jobs to end")
    if drained_nodes(rig):
        raise Failed(f"drained: {drained_nodes(rig)}")
    return 0 if total_s < LIMIT_S else 1


def _do(rig: Rig, command: str, *words: str) -> str:
    begin_s = time.monotonic()
    env = {**procs.base_env(rig), "DEBIAN_FRONTEND": "noninteractive", "COLUMNS": "110"}
    argv = [*command.split(), *words]
    done = subprocess.run(argv, cwd="/", env=env, capture_output=True, text=True, check=False, timeout=900)
    names = " ".join(Path(word).name for word in words)
    print(f"{time.monotonic() - begin_s:6.1f} s  # {command} {names}", flush=True)
    if done.returncode != 0:
        raise Failed(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _site(rig: Rig) -> None:
    """What only the rig needs: its GPUs' library and device files lie elsewhere."""
    devices = [f"{rig.root}/dev/nvidia{i}" for i in range(max(node.n_boards for node in NODES))]
    settings = Path("/etc/slurm-guard/slurm-guard-hooks.conf")
    with settings.open("a") as file:
        file.write(f"SAMPLER_LD_LIBRARY_PATH={rig.root}/nodes/%n/gpu\n")
    config = Path("/etc/slurm-guard/guard.toml")
    text = config.read_text()
    named = str(devices).replace("'", '"')
    changed = text.replace("# gres_devices = []", f"gres_devices = {named}")
    if changed == text:
        raise Failed("guard.toml of `install` has no line for gres_devices")
    config.write_text(changed)
    print("site: SAMPLER_LD_LIBRARY_PATH and gres_devices, as these GPUs are simulated")


def _jobs(rig: Rig) -> float:
    """Ordinary users' trainings; seconds until they and their seals are over."""
    begin_s = time.monotonic()
    jobs = [submit(rig, "honest-shell", user, ["75"]) for user in USERS]
    print(f"        $ sbatch train.sbatch   # jobs {jobs}")
    wait_for_jobs(rig, jobs, 400.0)
    states = {charge.state for charge in read_charges(rig, jobs).values()}
    if states != {"COMPLETED"}:
        raise Failed(f"jobs ended as {states}")
    until_s = time.monotonic() + 150  # [node] end_grace_s and a window of a minute, then the seal
    while len(list(SPOOL.glob("*/seals/*"))) < len(jobs):
        if time.monotonic() > until_s:
            raise Failed(f"no seals in {SPOOL}: does the sampler run?")
        time.sleep(1)
    return time.monotonic() - begin_s


if __name__ == "__main__":
    sys.exit(main())
