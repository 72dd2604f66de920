"""What `collect` says when nothing can be read, and as whom it runs."""

import os
import pwd
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm_guard.cli import collect as command
from slurm_guard.cli.ownlake import refuse_root
from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.lake import ingest
from slurm_guard.lake.ingest import CollectReport, Refused


def _collect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, report: CollectReport) -> None:
    monkeypatch.setattr(ingest, "collect", lambda *_: report)
    command.collect(spool=[tmp_path], lake=tmp_path / "lake", asked=None, drop=None, ssh="ssh")


def _refused(slug: str) -> Refused:
    return Refused("/spool/n1/sealed", slug, "Permission denied", new=True)


def test_a_spool_of_which_nothing_can_be_read_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = CollectReport(0, 0, 0, (_refused("unreadable"),) * 2, (), ())

    with pytest.raises(GuardError, match="spool-unreadable"):
        _collect(monkeypatch, tmp_path, report)


@pytest.mark.parametrize(
    "report",
    [
        CollectReport(1, 0, 5, (_refused("unreadable"),), (), ()),
        CollectReport(0, 1, 0, (_refused("unreadable"),), (), ()),
        CollectReport(0, 0, 0, (_refused("broken-line"),), (), ()),
        CollectReport(0, 0, 0, (), (), ()),
    ],
)
def test_anything_that_was_read_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, report: CollectReport
) -> None:
    _collect(monkeypatch, tmp_path, report)


NOBODY = 65534


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake that is nobody's; only root can make one."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    folder = tmp_path / "lake"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    return folder


def _run(lake: Path, spool: Path, drop: Path | None = None) -> None:
    command.collect(spool=[spool], lake=lake, asked=None, drop=drop, ssh="ssh")


@pytest.mark.root
@pytest.mark.parametrize("inside", ["", "not/there/yet"])
def test_root_does_not_collect_into_a_lake_of_another_user(lake: Path, tmp_path: Path, inside: str) -> None:
    with pytest.raises(GuardError) as caught:
        _run(lake / inside, tmp_path / "spool")

    assert (caught.value.slug, caught.value.exit_code) == ("as-root", EXIT_USAGE)
    assert f"belongs to {pwd.getpwuid(NOBODY).pw_name}" in caught.value.sentence
    assert caught.value.hint.startswith(f"runuser -u {pwd.getpwuid(NOBODY).pw_name} -- slurm-guard collect")
    assert list(lake.iterdir()) == []


@pytest.mark.root
def test_nor_does_it_pull_into_a_drop_folder_of_another_user(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()

    with pytest.raises(GuardError, match="as-root"):
        _run(tmp_path / "own", tmp_path / "spool", lake / "drop")


@pytest.mark.root
def test_an_owner_without_a_name_is_told_by_number(lake: Path, tmp_path: Path) -> None:
    os.chown(lake, 1 << 30, 1 << 30)

    with pytest.raises(GuardError, match="uid 1073741824, whom this machine does not know") as caught:
        _run(lake, tmp_path / "spool")

    assert caught.value.hint.startswith(f"chown {lake} to the user")


@pytest.mark.root
def test_the_owner_collects_where_root_was_refused_and_can_again(lake: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own may be entered by root alone
        Path(folder).chmod(0o755)
        spool, own = Path(folder, "spool"), Path(folder, "lake")
        spool.mkdir()
        lake.rename(own)
        with pytest.raises(GuardError, match="as-root"):
            _run(own, spool)

        for _ in range(2):
            assert _as_nobody(lambda: _run(own, spool)) == 0

        assert [path.stat().st_uid for path in own.rglob("*")] == [NOBODY] * len(list(own.rglob("*")))
        assert list(own.iterdir())


def _as_nobody(work: Callable[[], None]) -> int:
    """The wait status of a child with nobody's rights."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


@pytest.mark.root
def test_root_collects_into_its_own_lake_as_ever(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    (tmp_path / "spool").mkdir()

    _run(tmp_path / "lake", tmp_path / "spool")


def test_an_ordinary_user_is_never_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    refuse_root("collect", [tmp_path])
    refuse_root("collect", [Path("/")])
