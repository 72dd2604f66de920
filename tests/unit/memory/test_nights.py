"""The index of each night: small, beside its document, and no reason to stop where one is broken."""

from pathlib import Path

import pytest

from slurm_guard.memory.nights import MOST_BYTES, NAME, read_nights, to_text
from slurm_guard.siteword import PastNight
from tests.words import DAY, asked, past


def _keep(folder: Path, day: str, night: PastNight) -> None:
    (folder / day).mkdir(parents=True)
    (folder / day / NAME).write_text(to_text(night))


def test_an_index_is_read_back_as_it_was(tmp_path: Path) -> None:
    night = past(3, asked("c/1/2", name="\x1b[31m\u202e\ud800"), n=7)

    _keep(tmp_path, "1970-01-04", night)

    assert read_nights(tmp_path, "c", 4 * DAY, 9) == ((night,), ())


def test_only_nights_that_had_ended_count_and_of_these_the_last(tmp_path: Path) -> None:
    for k in range(8):
        _keep(tmp_path, f"1970-01-0{k + 1}", past(k))

    nights, skips = read_nights(tmp_path, "c", 6 * DAY, 3)

    assert [n.from_at for n in nights] == [3 * DAY, 4 * DAY, 5 * DAY]
    assert skips == ()


def test_another_clusters_nights_and_other_folders_are_none(tmp_path: Path) -> None:
    _keep(tmp_path, "1970-01-01", past(0))
    _keep(tmp_path, "outbox", past(1))
    (tmp_path / "1970-01-03").mkdir()  # audited by a release without an index

    assert read_nights(tmp_path, "d", 9 * DAY, 9) == ((), ())
    assert len(read_nights(tmp_path, "c", 9 * DAY, 9)[0]) == 1
    assert read_nights(tmp_path / "none", "c", 9 * DAY, 9) == ((), ())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"kind":"slurm-guard night","format":9}',
        b'{"kind":"slurm-guard night","format":1}',
        to_text(past(0)).replace("-7.0", "NaN").encode(),
        b" " * (MOST_BYTES + 1),
    ],
    ids=lambda c: ascii(c[:30]),
)
def test_a_broken_index_is_a_skip_and_the_others_are_read(tmp_path: Path, content: bytes) -> None:
    _keep(tmp_path, "1970-01-01", past(0))
    _keep(tmp_path, "1970-01-02", past(1))
    (tmp_path / "1970-01-02" / NAME).write_bytes(content)

    nights, (skip,) = read_nights(tmp_path, "c", 9 * DAY, 9)

    assert nights == (past(0),)
    assert (skip.subject, skip.reason) == ("night 1970-01-02", "history-unreadable")
    assert str(tmp_path) not in skip.detail


def test_a_folder_that_cannot_be_listed_is_a_skip(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    nights, (skip,) = read_nights(tmp_path / "file", "c", DAY, 9)

    assert nights == ()
    assert (skip.subject, skip.reason) == ("nights", "history-unreadable")
