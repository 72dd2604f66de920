"""Killed, or out of room, at every single change of the disk: it can be finished, or taken back."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from tests.unit.install.image import Killed, failing_at, install, make_image, tree, uninstall

# All of some 165 changes, or some of them while one waits.
STEPS = pytest.mark.parametrize("step", [pytest.param(1, marks=[pytest.mark.slow, pytest.mark.patient]), 31])


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory, where there is such a place: some 100,000 files come and go here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """Below it nothing is synced: every test here installs hundreds of times."""
    with failing_at(-1, Killed, late=False):
        yield make_image(tmp_path / "image")


def copies(image: Path, tmp_path: Path, *, installed: bool = False) -> tuple[Path, int]:
    """A fresh image to hurt, and how many changes an unhurt run makes."""
    root = tmp_path / "count"
    shutil.copytree(image, root)
    if installed:
        install(root)
    with failing_at(-1, Killed, late=False) as made:
        uninstall(root) if installed else install(root)
    return root, len(made)


def without_journal(files: dict[str, tuple[bytes, int]]) -> dict[str, tuple[bytes, int]]:
    return {name: data for name, data in files.items() if "slurm-guard/install/" not in name}


@STEPS
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("then", ["finish", "undo"])
def test_killed_while_installing(image: Path, tmp_path: Path, then: str, late: bool, step: int) -> None:
    whole, n_changes = copies(image, tmp_path)
    before, complete = tree(image), without_journal(tree(whole))
    assert n_changes > 50

    for n in range(1, n_changes + 1, step):
        root = tmp_path / "hurt"
        shutil.copytree(image, root)
        with failing_at(n, Killed, late=late), pytest.raises(Killed):
            install(root)

        if then == "finish":
            install(root)
            assert without_journal(tree(root)) == complete, n
        take_back(root)
        assert tree(root) == before, n
        shutil.rmtree(root)


@STEPS
@pytest.mark.parametrize("late", [False, True])
def test_killed_while_uninstalling(image: Path, tmp_path: Path, late: bool, step: int) -> None:
    _, n_changes = copies(image, tmp_path, installed=True)
    before = tree(image)
    whole = tmp_path / "whole"
    shutil.copytree(image, whole)
    install(whole)

    for n in range(1, n_changes + 1, step):
        root = tmp_path / "hurt"
        shutil.copytree(whole, root, symlinks=True)
        with failing_at(n, Killed, late=late), pytest.raises(Killed):
            uninstall(root)

        take_back(root)
        assert tree(root) == before, n
        shutil.rmtree(root)


@STEPS
def test_a_disk_that_is_full_changes_nothing(image: Path, tmp_path: Path, step: int) -> None:
    _, n_changes = copies(image, tmp_path)
    before = tree(image)

    for n in range(1, n_changes + 1, step):
        root = tmp_path / "hurt"
        shutil.copytree(image, root)
        with failing_at(n, _full, late=False), contextlib.suppress(OSError):
            install(root)

        if without_journal(tree(root)) != before:  # at the journal's last word: all else was done before
            assert n > n_changes - 6, (n, n_changes)
        take_back(root)
        assert tree(root) == before, n
        shutil.rmtree(root)


def take_back(root: Path) -> None:
    """Uninstall; that there is nothing to uninstall is right too, where it died before or after all."""
    try:
        left = uninstall(root)
    except GuardError as error:
        if error.slug != "install-none":
            raise
        return
    assert left == []


def _full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device", "x")
