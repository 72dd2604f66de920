"""The lake holds everybody's runs: whoever collects, by hand or not, leaves it closed to other users."""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard import wire
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.schema import FORMAT
from tests.faults.others import NOBODY
from tests.spools import RUN, make, put, segment

NAME, GOOD = segment([make(wire.Window, run=RUN)])


@pytest.fixture(params=[0, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def _spool(folder: Path) -> Path:
    put(folder / "spool", "sealed", NAME, GOOD)
    put(folder / "spool", "sealed", f"x{NAME}", GOOD[:-1])  # for the quarantine
    return folder / "spool"


def _modes(lake: Path) -> set[tuple[bool, int]]:
    """Of everything: whether it is a folder, and who may what."""
    every = [lake, *lake.rglob("*")]
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode) & 0o777) for path in every}


def test_a_lake_is_closed_to_others_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    lake = tmp_path / "made" / "lake"

    report = collect([_spool(tmp_path)], lake)

    assert (report.n_new, len(report.refused)) == (1, 1)
    assert _modes(lake) == {(True, 0o750 & ~umask), (False, 0o640 & ~umask)}


def test_a_lake_that_an_earlier_release_left_open_is_closed(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    collect([_spool(tmp_path)], lake)
    lake.chmod(0o2775)

    collect([tmp_path / "spool"], lake)

    assert stat.S_IMODE(lake.stat().st_mode) == 0o2770  # the group's rights and bit are the admin's


def test_a_folder_that_is_no_lake_yet_keeps_its_mode(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    lake.chmod(0o755)

    collect([_spool(tmp_path)], lake)

    assert stat.S_IMODE(lake.stat().st_mode) == 0o755
    assert all(not mode & 0o007 for _, mode in _modes(lake / f"v{FORMAT}"))


@pytest.mark.root
def test_another_user_reads_nothing_of_a_lake_that_was_collected_by_hand() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    before = os.umask(0o022)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own may be entered by root alone
        try:
            Path(folder).chmod(0o755)
            lake = Path(folder, "lake")
            collect([_spool(Path(folder))], lake)
            shutil.rmtree(Path(folder, "spool"))
        finally:
            os.umask(before)

        assert not _others_see(lake)


def _others_see(lake: Path) -> bool:
    """Whether another user gets at any of it."""
    look = ["find", str(lake), "-mindepth", "1"]
    found = subprocess.run(
        look, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, timeout=30, check=False
    )
    return bool(found.stdout)
