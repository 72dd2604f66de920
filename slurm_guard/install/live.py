"""The running machine: Slurm's own word on what it runs, programs to start, samplers to end."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from slurm_guard.errors import GuardError
from slurm_guard.install.change import Action, Places
from slurm_guard.install.facts import call

GRACE_S = 5.0  # after slurmctld says that it has read anew, for slurmd on this node to have: judgement
WAIT_S = 60.0  # for slurmctld to say so
STOP_S = 20.0  # a sampler closes its windows and segments


def running_lines(places: Places) -> list[str] | None:
    """What Slurm's running configuration names of ours; null: it does not answer."""
    done = call(("scontrol", "show", "config"))
    if done is None or done.returncode != 0:
        return None
    mine = f"{places.libexec}/"
    return [
        " ".join(line.split())
        for line in done.stdout.decode("utf-8", "replace").splitlines()
        if mine in line and line.lstrip().lower().startswith(("prolog", "epilog", "taskprolog", "taskepilog"))
    ]


def reconfigure() -> None:
    """`scontrol reconfigure`; a GuardError with its words when it fails."""
    done = call(("scontrol", "reconfigure"))
    if done is None or done.returncode != 0:
        said = "it is not there or did not answer" if done is None else _last_words(done.stderr)
        raise GuardError(
            "install-reconfigure",
            f"`scontrol reconfigure` failed: {said}",
            "slurm.conf is changed on disk; Slurm goes on with what it read before",
        )


def wait_until_forgotten(places: Places) -> bool:
    """After a reconfigure: whether Slurm names nothing of ours any more."""
    until = time.monotonic() + WAIT_S
    while running_lines(places) != []:
        if time.monotonic() > until:
            return False
        time.sleep(0.5)
    time.sleep(GRACE_S)
    return True


def run_actions(actions: Sequence[Action]) -> list[str]:
    """A sentence for each that failed; the others were done."""
    failed = []
    for action in actions:
        done = call(action.argv)
        if done is None or done.returncode != 0:
            said = "not there, or no answer" if done is None else _last_words(done.stderr)
            failed.append(f"`{' '.join(action.argv)}` ({action.why}) failed: {said}")
    return failed


def samplers(places: Places) -> dict[str, int]:
    """Living samplers that belong to this installation: node and pid."""
    from slurm_guard.hooks.end import PID_FILE, is_alive

    found = {}
    for file in sorted(Path(places.disk(places.run)).glob(f"*/{PID_FILE}")):
        if is_alive(str(file.parent)):
            found[file.parent.name] = int(file.read_text("ascii").split()[0])
    return found


def stop_samplers(places: Places) -> list[str]:
    """End them, and wait; a sentence for each that would not."""
    for pid in samplers(places).values():
        try:
            os.kill(pid, signal.SIGTERM)
        except OSError:
            continue
    until = time.monotonic() + STOP_S
    while samplers(places) and time.monotonic() < until:
        time.sleep(0.2)
    return [f"the sampler of {node} (pid {pid}) did not end" for node, pid in samplers(places).items()]


def _last_words(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else "no message"
