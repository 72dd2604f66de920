"""What `collect` says when nothing can be read."""

from pathlib import Path

import pytest

from slurm_guard.cli import collect as command
from slurm_guard.errors import GuardError
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
