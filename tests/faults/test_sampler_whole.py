"""A small file is there whole or not at all, with the mode that it shall have, and nothing lies beside it."""

import errno
import os
import stat
from pathlib import Path

import pytest

from slurm_guard.sampler.whole import write_public, write_whole


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("mode", "durable"), [(0o640, True), (0o644, False)])
def test_content_and_mode_are_as_asked_whatever_the_umask(tmp_path: Path, mode: int, durable: bool) -> None:
    path = tmp_path / "seal"
    path.write_text("before, and longer")
    before = os.umask(0o077)
    try:
        assert write_whole(str(path), b"after", mode=mode, durable=durable)
    finally:
        os.umask(before)

    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"after", mode)
    assert _names(tmp_path) == ["seal"]


def test_a_durable_file_is_synced_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "seal"
    seen: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append(path.exists()))

    write_whole(str(path), b"1")
    write_public(str(tmp_path / "beat"), "1")

    assert seen == [False]


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))

    assert write_whole(str(tmp_path / "seal"), b"0123456789")

    assert (tmp_path / "seal").read_bytes() == b"0123456789"


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_a_disk_that_refuses_leaves_the_file_as_it_was(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "seal"
    path.write_text("before")

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        written = write_whole(str(path), b"after")

    assert (written, path.read_text(), _names(tmp_path)) == (False, "before", ["seal"])


def test_a_link_in_the_place_of_the_file_aside_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("not ours")
    (tmp_path / f".seal.{os.getpid()}.new").symlink_to(tmp_path / "other")

    assert write_whole(str(tmp_path / "seal"), b"ours")

    assert (tmp_path / "other").read_text() == "not ours"
    assert (tmp_path / "seal").read_text() == "ours"
    assert not (tmp_path / "seal").is_symlink()
    assert _names(tmp_path) == ["other", "seal"]


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_fifo_in_the_place_of_the_file_aside_is_not_waited_for(
    comes_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = tmp_path / f".seal.{os.getpid()}.new"
    os.mkfifo(aside)
    if comes_back:  # as one who is quicker than we are would have it
        monkeypatch.setattr(os, "unlink", lambda _: None)

    assert write_whole(str(tmp_path / "seal"), b"ours") is not comes_back

    assert _names(tmp_path) == ([aside.name] if comes_back else ["seal"])


def test_a_folder_in_the_place_of_the_file_aside_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / f".seal.{os.getpid()}.new").mkdir()

    assert write_whole(str(tmp_path / "seal"), b"ours") is False


def test_text_that_is_no_utf8_is_written_readably(tmp_path: Path) -> None:
    assert write_public(str(tmp_path / "status"), "a\udcffb")

    assert (tmp_path / "status").read_bytes() == b"a\\udcffb"
