"""Folders of /proc that a job fills are listed up to a bound: the listing itself is what costs."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slurm_guard.hooks import end
from slurm_guard.sampler import devnodes
from slurm_guard.sampler.devnodes import DeviceFiles
from slurm_guard.sampler.joints import MOST_FDS, ends_of
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.stepds import find_job
from tests.unit.sampler.fakes import Node

PID = 7


class _Counted:
    """A listing of a folder that counts the names taken from it."""

    def __init__(self, entries: Iterator[os.DirEntry[str]], count: Callable[[], None]) -> None:
        self._entries, self._count = entries, count

    def __enter__(self) -> "_Counted":
        return self

    def __exit__(self, *_: object) -> None:
        self._entries.close()  # type: ignore[attr-defined]

    def __iter__(self) -> "_Counted":
        return self

    def __next__(self) -> os.DirEntry[str]:
        entry = next(self._entries)
        self._count()
        return entry


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each name that was listed."""
    found: list[str] = []
    listdir, scandir = os.listdir, os.scandir

    def counted_listdir(path: str) -> list[str]:
        names = listdir(path)
        found.extend(path for _ in names)
        return names

    def counted_scandir(path: str) -> _Counted:
        return _Counted(scandir(path), lambda: found.append(path))

    monkeypatch.setattr(os, "listdir", counted_listdir)
    monkeypatch.setattr(os, "scandir", counted_scandir)
    return found


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    """A process of 3,000 descriptors and 300 threads."""
    folder = tmp_path / str(PID)
    (folder / "fd").mkdir(parents=True)
    for n in range(3000):
        (folder / "fd" / str(n)).symlink_to("/dev/null")
    for n in range(300):
        (folder / "task" / str(n)).mkdir(parents=True)
    (folder / "cmdline").write_text("slurmstepd: [7.0]\0")
    return Proc(str(tmp_path))


def test_so_many_names_are_listed_and_no_more(proc: Proc, taken: list[str]) -> None:
    assert len(proc.names(PID, "fd", 10)) == 10
    assert proc.names(PID, "fd", 0) == []
    assert len(taken) == 10
    assert len(proc.names(PID, "fd")) == 3000


def test_who_looks_at_a_thousand_lists_a_thousand(proc: Proc, taken: list[str]) -> None:
    ends_of(proc, PID)
    assert len(taken) == MOST_FDS
    find_job(proc, PID, None)
    assert len(taken) == MOST_FDS + 256
    proc._find_head(PID)
    assert len(taken) == MOST_FDS + 2 * 256


def test_the_epilog_lists_no_more_than_it_looks_at(
    proc: Proc, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(end, "_MAX_FDS", 50)
    folder = f"{proc.root}/{PID}"

    assert not end._holds_gpu(folder, Path(folder).stat().st_uid, "/dev/nvidia")
    assert len(taken) == 50


def test_of_threads_without_number_it_is_not_said_that_none_has_a_device_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devnodes, "MOST_THREADS", 3)
    node = Node(tmp_path, n_gpus=1)
    node.proc.start(50, 1000)
    files = DeviceFiles(node.proc)
    for thread in (50, 51, 52):
        node.proc.link_texts[f"50/task/{thread}"] = ""
    assert files.hides_any(50) is False
    node.proc.link_texts["50/task/53"] = ""

    assert files.hides_any(50) is None
