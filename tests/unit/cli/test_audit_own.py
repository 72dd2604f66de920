"""What `slurm-guard audit` leaves for users, and what it keeps from them."""

import os
import stat
from pathlib import Path

import pytest

from slurm_guard.cli.audit import audit
from slurm_guard.document import from_json
from tests.shapes import SHAPES
from tests.unit.cli.test_audit import SINCE, UNTIL, _lake, _sacct
from tests.unit.report.test_ownfiles import has_lists


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The reports in a folder of this test's own."""
    (tmp_path / "reports").mkdir()
    path = tmp_path / "guard.toml"
    path.write_text(f'[report]\npath = "{tmp_path}/reports"\n')
    return path


def _audit(tmp_path: Path, config: Path, output: Path | None = None) -> None:
    lake = tmp_path / "lake"
    if not lake.exists():
        _lake(tmp_path, SHAPES["co-tenant"])
    audit(SINCE, UNTIL, _sacct(tmp_path), lake, output, config=config, remember=False)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everybodys_runs_are_closed_whatever_the_umask(tmp_path: Path, config: Path) -> None:
    (tmp_path / "reports").rmdir()  # a site whose first night it is
    before = os.umask(0)
    try:
        _audit(tmp_path, config)
    finally:
        os.umask(before)

    (night,) = (path for path in (tmp_path / "reports").iterdir() if path.is_dir())
    assert _mode(night) == 0o750
    assert _mode(tmp_path / "reports") == 0o750
    assert {path.name: _mode(path) for path in night.iterdir()} == {
        "audit.json": 0o640,
        "history.json": 0o640,
        "report.html": 0o640,
    }


def test_each_user_has_his_own_where_the_site_made_the_folder(tmp_path: Path, config: Path) -> None:
    _audit(tmp_path, config)
    assert not (tmp_path / "own").exists()
    (tmp_path / "own").mkdir(mode=0o711)
    if not has_lists(tmp_path):
        pytest.skip("this file system knows no access control lists")

    _audit(tmp_path, config)

    (night,) = (path.name for path in (tmp_path / "reports").iterdir() if path.is_dir())
    own = from_json((tmp_path / "own" / "1000" / f"{night}.json").read_text())
    whole = from_json((tmp_path / "reports" / night / "audit.json").read_text())
    assert [j.run for j in own.judgements] == [j.run for j in whole.judgements]
    assert own.settings == {}


def test_a_trial_leaves_users_nothing(tmp_path: Path, config: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o711)

    _audit(tmp_path, config, tmp_path / "trial.json")

    assert list((tmp_path / "own").iterdir()) == []


def test_an_unsafe_folder_is_said_and_the_night_stands(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own").chmod(0o777)

    _audit(tmp_path, config)

    said = capsys.readouterr()
    assert "own-unsafe" in said.err
    assert "audit.json" in said.out
    assert list((tmp_path / "own").iterdir()) == []


def test_a_user_whose_part_cannot_be_written_is_named(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own").mkdir(mode=0o711)
    (tmp_path / "own" / "1000").symlink_to(tmp_path)

    _audit(tmp_path, config)

    assert "uid 1000 cannot see this night" in capsys.readouterr().err
