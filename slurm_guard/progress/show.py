"""Reads files as the audit would, outside of any run: for `slurm-guard progress show`."""

import os
import time
from collections.abc import Sequence

from slurm_guard.config import ProgressConfig
from slurm_guard.progress.bracket import Frame
from slurm_guard.progress.node import Result, read_run
from slurm_guard.progress.opener import Opened, open_files, open_own
from slurm_guard.progress.request import MIB, Limits, Request, Wanted
from slurm_guard.progress.values import AT_MIN


def read_paths(paths: Sequence[str], config: ProgressConfig) -> Result:
    """One reading of these files with the owner's rights (as root) or our own."""
    now = time.time()
    request = Request(
        run="show",
        node=os.uname().nodename,
        cluster="",
        uid=_owner(paths),
        gid=None,
        read=0,
        frame=Frame(AT_MIN, now, None),
        work_dir=None,
        out="",
        parser_user=config.parser_user,
        limits=Limits(config.max_file_mib * MIB, config.max_run_mib * MIB, config.timeout_s),
        pids=frozenset(),
        files=[Wanted(os.path.abspath(path), "fd", [], []) for path in paths],
        patterns=tuple(config.patterns),
    )
    # Root's own files are the admin's, named by himself; anybody else's are opened with that owner's rights.
    opening = open_own if request.uid == os.geteuid() else open_files
    return read_run(request, lambda asked, deadline_s: _without_birth(opening(asked, deadline_s)))


def _without_birth(opened: list[Opened]) -> list[Opened]:
    """A copy is born when it is copied: here, without a run, that says nothing of when its records came."""
    return [one._replace(born_at=None) for one in opened]


def _owner(paths: Sequence[str]) -> int:
    """Whose rights root takes on: the first file's owner's; our own where there is none."""
    for path in paths:
        try:
            return os.lstat(path).st_uid
        except OSError:
            continue
    return os.geteuid()
