"""Control groups of runs by the numbers that the kernel knows them by.

A TCP socket remembers the group (of version 2's hierarchy) of the task that made it, whoever holds it now.
The number is the inode of the group's folder. Under version 1 all of Slurm's tasks are in the root of
version 2's hierarchy, or there is none: then nothing is known here, and sockets are found by their
descriptors alone.
"""

from __future__ import annotations

import os

from slurm_guard.light import Iterable
from slurm_guard.sampler.cgroups import job_folder
from slurm_guard.sampler.freezers import ROOT
from slurm_guard.sampler.process import Process

# Followed of one run: living ones, the oldest first, and of those that are gone the last ones. Judgement:
# four for each step and task
MOST_FOLDERS = 256
MOST_LISTED = 512  # entries of one folder. Judgement: a group has some 60 files
_OURS = "slurm"  # the folder of a step in which slurmstepd itself is


class _Folder:
    __slots__ = ("ident", "n_links", "path")

    def __init__(self, path: str, ident: int) -> None:
        self.path, self.ident, self.n_links = path, ident, -1  # links: two, and one for each folder in it


class Groups:
    """Looked at with the tables."""

    def __init__(self, root: str = ROOT) -> None:
        self.ids: dict[int, str] = {}  # group -> run, those that are gone too: sockets outlive them
        self.truncated: set[str] = set()  # runs with more groups than are followed
        self._top = root if os.path.exists(f"{root}/cgroup.controllers") else f"{root}/unified"
        self._folders: dict[str, dict[str, _Folder]] = {}  # by run, then path
        self._gone: dict[str, dict[int, None]] = {}  # by run, the oldest first
        self._again: dict[str, dict[str, None]] = {}  # folders of which one that was in them is gone

    def look(self, members: Iterable[Process], runs: set[str]) -> None:
        """What there is now of the runs' groups."""
        for run in self._folders.keys() - runs:
            self._forget(run)
        if not os.path.isdir(self._top):
            return
        self.truncated = set()
        asked: set[str] = set()
        for process in members:
            if process.run is not None and process.how == "cgroup" and process.run not in asked:
                asked.add(process.run)
                path = job_folder(process.cgroup or "")
                folders = self._folders.setdefault(process.run, {})
                if path is not None and f"{self._top}{path}" not in folders:
                    self._add(process.run, f"{self._top}{path}")
        for run, folders in self._folders.items():
            for folder in list(folders.values()):
                self._look_into(run, folder)
            for path in self._again.pop(run, ()):
                above = folders.get(path)
                if above is not None:
                    above.n_links = -1
                    self._look_into(run, above)

    def _forget(self, run: str) -> None:
        del self._folders[run]
        self._gone.pop(run, None)
        self._again.pop(run, None)
        for ident in [ident for ident, whose in self.ids.items() if whose == run]:
            del self.ids[ident]

    def _add(self, run: str, path: str) -> bool:
        try:
            ident = os.stat(path).st_ino
        except OSError:
            return False
        folders, gone = self._folders[run], self._gone.setdefault(run, {})
        gone.pop(ident, None)
        if len(folders) >= MOST_FOLDERS:
            self.truncated.add(run)
            return False
        while gone and len(folders) + len(gone) >= MOST_FOLDERS:
            oldest = next(iter(gone))
            del gone[oldest]
            self.ids.pop(oldest, None)
        folders[path] = _Folder(path, ident)
        self.ids[ident] = run
        return True

    def _look_into(self, run: str, folder: _Folder) -> None:
        """Take up the folders in one, if their number is another than before or one of them is gone."""
        folders = self._folders[run]
        if folders.get(folder.path) is not folder:  # gone, or another's by now
            return
        try:
            now = os.stat(folder.path)
            if now.st_ino != folder.ident:  # another one of that name
                raise FileNotFoundError
            if now.st_nlink == folder.n_links:
                return
            folder.n_links = now.st_nlink
            with os.scandir(folder.path) as entries:
                names = [e.name for _, e in zip(range(MOST_LISTED), entries, strict=False) if e.is_dir()]
        except OSError:
            self._drop(run, folder)
            return
        for name in names:
            path = f"{folder.path}/{name}"
            if path not in folders and name != _OURS and self._add(run, path):
                self._look_into(run, folders[path])

    def _drop(self, run: str, folder: _Folder) -> None:
        """One is gone. What it was in may have another in its stead, and so as many as before: steps that
        run one after the other."""
        del self._folders[run][folder.path]
        self._gone.setdefault(run, {})[folder.ident] = None
        self._again.setdefault(run, {})[folder.path.rpartition("/")[0]] = None
