"""The same night audited by job arrays of the rig's Slurm, as the auditor: a simulated one, of many nodes."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from slurm_guard.config import EngineConfig, SlurmConfig, to_toml
from tests.rig import procs, users
from tests.rig.guardconf import make_config
from tests.rig.layout import AUDITOR, Rig, RigError

# Half an hour of 40 nodes, in 17 parts or 7: what is to be shown is shards and not speed.
_NIGHT = ["--gpus", "320", "--jobs", "900", "--nights", "1", "--seed", "rig"]
_WINDOW = ["--since", "1760430000", "--until", "1760431800"]
_SMALL_GPU_H, _LARGE_GPU_H = 0.01, 10.0
NAME = "slurm-guard-audit"
_OF_SHARD = b"audit-shard"
_YOUNG_S = 0.7  # loading Python and Polars takes a task longer


def make_night(rig: Rig) -> Path:
    """Its folder, the auditor's own."""
    folder = rig.home(AUDITOR) / "wide"
    _as_auditor(rig, ["simulate", *_NIGHT, "--out", str(folder)])
    return folder


def audit_night(rig: Rig, night: Path, words: list[str], hurt: Callable[[Rig], None] | None = None) -> bytes:
    """The document; nothing of another audit is used. Without `words` the night is looked at as one. `hurt`
    runs beside it, and what it raises is raised."""
    name = "-".join(["audit", *words]).replace("--", "")
    engine = EngineConfig()
    if words:
        size = _SMALL_GPU_H if words[-1] == "16" else _LARGE_GPU_H
        engine = EngineConfig(part_gpu_h=size, folder=str(night / f"parts-{name}"))
    config = night / f"{name}.toml"
    # Accounting's text is the simulation's, of another cluster.
    config.write_text(to_toml(replace(make_config(rig), engine=engine, slurm=SlurmConfig())), "utf-8")
    out = night / f"{name}.json"
    given = ["--lake", str(night / "lake"), "--sacct-file", str(night / "sacct.txt"), "--config", str(config)]
    raised: list[RigError] = []
    beside = threading.Thread(target=_hurting, args=(rig, hurt, raised))
    beside.start()
    try:
        _as_auditor(rig, ["audit", *_WINDOW, *given, "--no-remember", "-o", str(out), *words])
    finally:
        beside.join()
    if raised:
        raise raised[0]
    return out.read_bytes()


def cancel_one(rig: Rig) -> None:
    """scancel for one task of an array that has made nothing yet."""
    task = _stopped(rig)
    words = (Path("/proc") / str(task) / "environ").read_bytes().split(b"\0")
    said = dict(word.decode("utf-8", "replace").partition("=")[::2] for word in words)
    job = f"{said['SLURM_ARRAY_JOB_ID']}_{said['SLURM_ARRAY_TASK_ID']}"
    procs.call(rig, ["scancel", "--signal=KILL", job])


def kill_one(rig: Rig) -> None:
    """SIGKILL for the process of one task that has made nothing yet."""
    os.kill(_stopped(rig), signal.SIGKILL)


def _stopped(rig: Rig) -> int:
    """A task's process that has only begun, by SIGSTOP: on a busy machine it may otherwise have made all of
    its parts before it is hurt, and nothing of it is submitted again."""
    found: list[int] = []

    def look() -> bool:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if not (_OF_SHARD in words and str(rig.home(AUDITOR)).encode() in b"".join(words)):
                    continue
                ticks = int((entry / "stat").read_text().rpartition(")")[2].split()[19])
                born_s = ticks / os.sysconf("SC_CLK_TCK")
                if time.clock_gettime(time.CLOCK_BOOTTIME) - born_s < _YOUNG_S:
                    os.kill(int(entry.name), signal.SIGSTOP)
                    found.append(int(entry.name))
                    return True
            except (OSError, IndexError, ValueError):
                continue
        return False

    procs.wait_for("a task's process", look, 60.0, 0.05)
    return found[0]


def states(rig: Rig) -> list[str]:
    """How the tasks of all arrays ended, as accounting has it."""
    found: list[str] = []

    def look() -> bool:
        text = procs.call(rig, ["sacct", "-a", "-X", "-n", "-P", "-o", "JobName,State"])
        lines = [line.partition("|") for line in text.splitlines() if line.startswith(NAME)]
        found[:] = [state.split()[0] for _, _, state in lines]
        over = not procs.call(rig, ["squeue", "-h"]).strip()  # epilogs, too
        return over and bool(found) and not {"PENDING", "RUNNING"} & set(found)

    procs.wait_for("accounting of the arrays", look, 60.0, 1.0)
    return found


def _hurting(rig: Rig, hurt: Callable[[Rig], None] | None, raised: list[RigError]) -> None:
    try:
        if hurt is not None:
            hurt(rig)
    except RigError as error:
        raised.append(error)


def _as_auditor(rig: Rig, words: list[str]) -> None:
    program = str(Path(rig.python).with_name("slurm-guard"))
    begun = time.monotonic()
    procs.call(rig, [*users.as_user(AUDITOR), program, *words], 300.0)
    print(f"{time.monotonic() - begun:6.1f} s  slurm-guard {words[0]} {' '.join(words[-4:])}", flush=True)
