"""Atomic files below root's folders."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.hooks.client import make_progress_file
from slurm_guard.hooks.spool import client_store, open_folder, run_store, spool_store, write_file


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def _no_umask() -> Iterator[None]:
    """As the boundary sets it: modes are given in full."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_folders_and_files_have_their_modes(tmp_path: Path) -> None:
    write_file(run_store(f"{tmp_path}/a/run"), "n/tickets", "x.json", b"x")
    write_file(spool_store(f"{tmp_path}/a/spool"), "n/tickets", "x.json", b"x")

    assert _mode(tmp_path / "a") == 0o755
    assert [_mode(tmp_path / "a/run" / p) for p in ("", "n", "n/tickets")] == [0o711] * 3
    assert [_mode(tmp_path / "a/spool" / p) for p in ("", "n", "n/tickets")] == [0o750] * 3
    assert _mode(tmp_path / "a/run/n/tickets/x.json") == 0o600
    assert _mode(tmp_path / "a/spool/n/tickets/x.json") == 0o640


def test_group_of_a_set_group_id_spool_is_handed_on(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o750)
    spool.chmod(0o2750)
    write_file(spool_store(str(spool)), "n/tickets", "x.json", b"x")

    assert (spool / "n/tickets").stat().st_mode & stat.S_ISGID


def test_whole_content_replaces_what_was_there(tmp_path: Path) -> None:
    for data in (b"x" * 200_000, b"short"):
        write_file(spool_store(str(tmp_path)), "n", "x.json", data)

    assert [p.read_bytes() for p in (tmp_path / "n").iterdir()] == [b"short"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(fd: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(type(error)):
        write_file(spool_store(str(tmp_path)), "n", "x.json", b"x")
    assert list((tmp_path / "n").iterdir()) == []


def test_link_below_the_root_is_refused_and_a_linked_root_is_not(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o755)
    (tmp_path / "root").symlink_to(real)
    (real / "n").symlink_to(tmp_path)

    os.close(open_folder(run_store(f"{tmp_path}/root"), ""))
    with pytest.raises(OSError):
        open_folder(run_store(f"{tmp_path}/root"), "n")


def test_folder_open_to_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c").chmod(0o777)

    with pytest.raises(PermissionError):
        open_folder(client_store(f"{tmp_path}/c"), "")


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = list(Path("/proc/self/fd").iterdir())
    write_file(spool_store(f"{tmp_path}/s"), "n/tickets", "x.json", b"x")
    make_progress_file(f"{tmp_path}/c", "7.1", os.getuid(), os.getgid())

    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)


def test_progress_file_is_new_and_the_users(tmp_path: Path) -> None:
    path = Path(make_progress_file(f"{tmp_path}/c", "7.1", os.getuid(), None))

    assert path == tmp_path / "c/7.1/progress.jsonl"
    assert (_mode(path), _mode(path.parent), _mode(path.parents[1])) == (0o600, 0o711, 0o755)


def test_existing_run_folder_or_link_is_never_used(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir(mode=0o755)
    (tmp_path / "c/7.1").symlink_to(tmp_path)

    with pytest.raises(FileExistsError):
        make_progress_file(f"{tmp_path}/c", "7.1", os.getuid(), None)
    assert not (tmp_path / "progress.jsonl").exists()
