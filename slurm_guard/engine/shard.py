"""One task of a job array: makes its share of a pass, from files in the folder that the audit shares."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from slurm_guard.engine.folder import open_folder
from slurm_guard.engine.local import SITE
from slurm_guard.engine.tasks import make
from slurm_guard.errors import EXIT_USAGE, GuardError


def make_share(run: Path, stem: str, say: Callable[[str], None]) -> None:
    """Each part by itself: one that cannot be made keeps no other from it, and is raised at the end.

    Raises GuardError shard-alone, shard-gone, parts-unsafe and what the parts raise.
    """
    index = os.environ.get("SLURM_ARRAY_TASK_ID", "")
    if not (index.isascii() and index.isdigit()):
        raise GuardError(
            "shard-alone",
            "this command is one task of a job array that `slurm-guard audit --engine slurm` submits",
            "run that",
            EXIT_USAGE,
        )
    try:
        own, night = open_folder(run, make=False), open_folder(run.parent, make=False)
        site, tasks = own.get(SITE), own.get(f"{stem}-{index}")
    except FileNotFoundError:
        site = tasks = None
    if site is None or tasks is None:
        raise GuardError(
            "shard-gone",
            f"{run} is not the folder of an audit, or of one with another release, Polars or Python",
            "the nodes need the head's installation: see [engine] folder and program",
        )
    failed: Exception | None = None
    say(f"{stem}-{index}: {len(tasks)} parts")
    for task in tasks:
        begun_s = time.monotonic()
        try:
            make(site, night, task)
        except Exception as error:  # noqa: BLE001 - raised below, once the others are made
            failed = failed or error
            say(f"{task.name}: {type(error).__name__}: {error}")
        else:
            say(f"{task.name}: {time.monotonic() - begun_s:.1f} s")
    if failed is not None:
        raise failed
