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
from slurm_guard.wire import LogFile, Point


def read_paths(paths: Sequence[str], config: ProgressConfig) -> Result:
    """One reading of these files with the owner's rights (as root) or our own; a folder is looked through as
    a job's work directory is, whenever its files were changed."""
    folders = [path for path in paths if os.path.isdir(path)]
    files = [path for path in paths if path not in folders]
    results = [_read(files, None, config)] if files else []
    results += [_read([], os.path.realpath(folder), config) for folder in folders]
    return _all_of(results)


def _read(paths: Sequence[str], folder: str | None, config: ProgressConfig) -> Result:
    now = time.time()
    request = Request(
        run="show",
        node=os.uname().nodename,
        cluster="",
        uid=_owner(paths if folder is None else [folder]),
        gid=None,
        read=0,
        frame=Frame(AT_MIN, now, None),
        work_dir=folder,
        out="",
        parser_user=config.parser_user,
        limits=Limits(config.max_file_mib * MIB, config.max_run_mib * MIB, config.timeout_s),
        authors=(),
        all_authors=False,
        files=[Wanted(os.path.abspath(path), "fd", [], []) for path in paths],
        patterns=tuple(config.patterns),
    )
    # Root's own files are the admin's, named by himself; anybody else's are opened with that owner's rights.
    opening = open_own if request.uid == os.geteuid() else open_files
    return read_run(request, lambda asked, deadline_s: _without_birth(opening(asked, deadline_s)))


def _all_of(results: Sequence[Result]) -> Result:
    """Several readings as one: their files numbered on."""
    logs: list[LogFile] = []
    points: list[Point] = []
    for result in results:
        base = 1 + max((log.file for log in logs), default=-1)
        logs += [log._replace(file=base + log.file) for log in result.logs]
        points += [point._replace(file=base + point.file) for point in result.points]
    return Result(logs, points, any(result.truncated for result in results))


def _without_birth(opened: list[Opened]) -> list[Opened]:
    """A copy is born when it is copied: here, without a run, that says nothing of when its records came."""
    return [
        one._replace(born_at=None, saved=tuple(each._replace(born_at=None) for each in one.saved))
        for one in opened
    ]


def _owner(paths: Sequence[str]) -> int:
    """Whose rights root takes on: the first file's owner's; our own where there is none."""
    for path in paths:
        try:
            return os.lstat(path).st_uid
        except OSError:
            continue
    return os.geteuid()
