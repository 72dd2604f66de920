"""Who coordinates which account, as `sacctmgr` has it."""

import os
import subprocess
from pathlib import Path

from slurm_guard.errors import GuardError
from slurm_guard.slurm.group import run_group

_FIELDS = "format=Account,Coordinators"
_MOST_BYTES = 64 << 20  # judgement: a hundred thousand accounts are 10 MB


def load_coordinators(sacct: str, timeout_s: float) -> dict[str, tuple[str, ...]]:
    """Account → users, accounts without one left out. `sacct`: the configured program; `sacctmgr` is looked
    for beside it. Raises GuardError coordinators-unknown.
    """
    program = str(Path(sacct).with_name("sacctmgr"))
    command = [program, "-nP", "show", "account", "withcoord", _FIELDS]
    try:
        done = run_group(command, {**os.environ, "LC_ALL": "C"}, timeout_s)
    except subprocess.TimeoutExpired:
        raise _unknown(f"{program} did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise _unknown(f"{program}: {error.strerror}") from None
    if done.returncode != 0 or len(done.stdout) > _MOST_BYTES:
        last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
        raise _unknown(f"{program} ended with {done.returncode}: {last[:300]!a}")
    return parse_coordinators(done.stdout.decode("utf-8", "replace"))


def parse_coordinators(text: str) -> dict[str, tuple[str, ...]]:
    """Lines `account|user,user`."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        account, _, names = line.partition("|")
        users = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
        if account.strip() and users:
            found[account.strip()] = users
    return found


def _unknown(sentence: str) -> GuardError:
    return GuardError(
        "coordinators-unknown",
        sentence,
        "run it by hand as the same user, or name the coordinators in mail.coordinators_of",
    )
