"""A file's birth is the kernel's: later writing, `touch` and renaming leave it."""

import os
import time
from pathlib import Path

import pytest

from slurm_guard.progress.birth import birth_of


def _born(path: Path) -> float:
    fd = os.open(path, os.O_RDONLY)
    try:
        born = birth_of(fd)
    finally:
        os.close(fd)
    if born is None:
        pytest.skip("this file system does not say when a file was made")
    return born


def test_a_files_birth_is_when_it_was_made_whatever_happens_to_it_later(tmp_path: Path) -> None:
    path = tmp_path / "a"
    before = time.time()
    path.write_text("x")
    born = _born(path)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    time.sleep(0.02)
    with path.open("a") as file:
        file.write("y")
    moved = path.rename(tmp_path / "b")

    assert before - 0.1 <= born <= time.time()  # the kernel's coarse clock lags by a tick
    assert _born(moved) == born


def test_a_closed_descriptor_has_no_birth() -> None:
    assert birth_of(987_654) is None
