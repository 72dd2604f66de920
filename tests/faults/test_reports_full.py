"""Reports on a disk that fills up: a page is never beside a document that it is not of."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.cli.audit import audit
from slurm_guard.errors import GuardError
from tests.shapes import SHAPES
from tests.spools import tree
from tests.unit.cli.test_audit import SINCE, UNTIL, _lake, _sacct

BLOCK_B = 4096


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own."""
    folder = tmp_path / "reports"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True)
    if made.returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def night(tmp_path: Path, reports: Path) -> Path:
    """A night that was audited when there was room, and a lake that makes another document of it."""
    (tmp_path / "guard.toml").write_text(f'[report]\npath = "{reports}"\n', "utf-8")
    _lake(tmp_path / "before", SHAPES["honest"])
    _lake(tmp_path, SHAPES["co-tenant"])
    _audit(tmp_path, tmp_path / "before" / "lake")
    return next(reports.glob("*-*-*"))


def _audit(tmp_path: Path, lake: Path) -> None:
    audit(SINCE, UNTIL, _sacct(tmp_path), lake, None, False, tmp_path / "guard.toml")


def _leave_free(reports: Path, n_blocks: int) -> None:
    """Fill the file system but for so many blocks."""
    with (reports / "filler").open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(BLOCK_B))
    with (reports / "filler").open("rb+") as out:
        out.truncate((reports / "filler").stat().st_size - n_blocks * BLOCK_B)


def _blocks(path: Path) -> int:
    return -(-path.stat().st_size // BLOCK_B)


@pytest.mark.root
def test_room_for_the_document_alone_leaves_it_alone(tmp_path: Path, reports: Path, night: Path) -> None:
    before = (night / "audit.json").read_bytes()
    (night / "report.html").write_text("an older page, and a small one")
    _leave_free(reports, 4 * _blocks(night / "audit.json"))  # the other document is longer, a page much more

    with pytest.raises(GuardError, match=r"report\.html cannot be written: No space left") as caught:
        _audit(tmp_path, tmp_path / "lake")

    assert (night / "audit.json").read_bytes() != before
    assert sorted(path.name for path in night.iterdir()) == ["audit.json", "history.json"]
    assert (caught.value.slug, caught.value.hint) == (
        "output-unwritable",
        "make room there, and audit this night again",
    )
    (reports / "filler").unlink()
    _audit(tmp_path, tmp_path / "lake")
    assert (night / "report.html").stat().st_size > 10_000


@pytest.mark.root
def test_no_room_at_all_leaves_the_night_as_it_was(tmp_path: Path, reports: Path, night: Path) -> None:
    before = tree(night)
    _leave_free(reports, 0)

    with pytest.raises(GuardError, match=r"audit\.json cannot be written: No space left") as caught:
        _audit(tmp_path, tmp_path / "lake")

    assert (tree(night), caught.value.hint) == (before, "make room there")
