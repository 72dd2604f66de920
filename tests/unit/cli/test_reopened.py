"""Rows that come after a night was audited: said, written down, and audited again once."""

import json
import os
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from slurm_guard.cli.reopened import NAME, again, open_nights, tell_newer, tell_reopened
from slurm_guard.config import Config, load_config
from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, GuardError
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.view import look
from tests.spools import AT
from tests.unit.lake.test_compact import put_segment

NIGHT = datetime.fromtimestamp(AT - 8 * 3600, timezone.utc).date().isoformat()
BEGIN_AT = datetime.fromisoformat(NIGHT).replace(tzinfo=timezone.utc).timestamp()
IN_IT = ("n1", "alpha/42/n1/0/1", BEGIN_AT + 10.0, BEGIN_AT + 20.0)


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    """A site with one audited night, whose document is a minute old."""
    path = tmp_path / "guard.toml"
    path.write_text(f'[lake]\npath = "{tmp_path}"\n[report]\npath = "{tmp_path}/reports"\n', "utf-8")
    document = tmp_path / "reports" / NIGHT / "audit.json"
    document.parent.mkdir(parents=True)
    document.write_text("{}", "utf-8")
    os.utime(document, (document.stat().st_atime, document.stat().st_mtime - 60))
    return load_config(path)


def _audit(settings: Config, night: str) -> None:
    document = Path(settings.report.path) / night / "audit.json"
    os.utime(document, None)
    os.utime(document, (document.stat().st_atime, document.stat().st_mtime + 1))


def test_a_night_that_got_rows_is_said_and_open_until_it_is_audited(
    settings: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_reopened([IN_IT, ("n2", "", BEGIN_AT - 50.0, BEGIN_AT + 1.0)], tmp_path, settings)

    assert f"{NIGHT} was audited before this came: 1 runs on 2 nodes" in capsys.readouterr().out
    assert json.loads((tmp_path / NAME).read_text("utf-8"))["night"] == NIGHT
    assert open_nights(settings, tmp_path) == [NIGHT]
    again(settings, tmp_path, lambda night: _audit(settings, night))
    assert open_nights(settings, tmp_path) == []


@pytest.mark.parametrize("shift_s", [-86_400.0, 86_400.0])
def test_rows_of_other_days_open_nothing(settings: Config, tmp_path: Path, shift_s: float) -> None:
    node, run, first, last = IN_IT
    tell_reopened([(node, run, first + shift_s, last + shift_s)], tmp_path, settings)

    assert not (tmp_path / NAME).exists()


def test_what_came_while_a_night_was_audited_opens_it_and_nothing_else_does(
    settings: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = Path(settings.report.path) / NIGHT / "audit.json"
    put_segment(tmp_path / "spool", "n1", 0)
    collect([tmp_path / "spool"], tmp_path)
    view = look(tmp_path, BEGIN_AT, BEGIN_AT + 86_400.0)
    tell_newer(view, document, settings)
    n_before = len(open_nights(settings, tmp_path))
    put_segment(tmp_path / "spool", "n1", 1)
    document.unlink()  # it is the first audit of that night
    tell_reopened(collect([tmp_path / "spool"], tmp_path).arrived, tmp_path, settings)
    document.write_text("{}", "utf-8")
    os.utime(document, (time.time() + 60, time.time() + 60))  # of a file server whose clock is ahead

    n_unsaid = len(open_nights(settings, tmp_path))
    tell_newer(view, document, settings)

    assert (n_before, n_unsaid) == (0, 0)
    assert "while it was audited, more came: 1 runs on 1 nodes" in capsys.readouterr().out
    assert open_nights(settings, tmp_path) == [NIGHT]
    again(settings, tmp_path, lambda night: _audit(settings, night))
    os.utime(document, (time.time() + 120, time.time() + 120))
    assert open_nights(settings, tmp_path) == []


def test_what_came_of_other_days_while_a_night_was_audited_opens_nothing(
    settings: Config, tmp_path: Path
) -> None:
    put_segment(tmp_path / "spool", "n1", 0)
    collect([tmp_path / "spool"], tmp_path)
    view = look(tmp_path, BEGIN_AT - 86_400.0, BEGIN_AT)
    put_segment(tmp_path / "spool", "n1", 1)
    collect([tmp_path / "spool"], tmp_path)

    tell_newer(view, Path(settings.report.path) / NIGHT / "audit.json", settings)

    assert view.newer()
    assert open_nights(settings, tmp_path) == []


def test_nothing_new_and_no_audited_night_say_nothing(settings: Config, tmp_path: Path) -> None:
    tell_reopened([], tmp_path, settings)
    (Path(settings.report.path) / NIGHT / "audit.json").unlink()
    tell_reopened([IN_IT], tmp_path, settings)

    assert not (tmp_path / NAME).exists()


def test_a_night_without_runs_does_not_stop_the_others_and_another_failure_does(
    settings: Config, tmp_path: Path
) -> None:
    def refuse(code: int) -> None:
        raise GuardError("x", "y", exit_code=code)

    tell_reopened([IN_IT], tmp_path, settings)

    again(settings, tmp_path, lambda _: refuse(EXIT_NOTHING_TO_AUDIT))
    with pytest.raises(GuardError):
        again(settings, tmp_path, lambda _: refuse(1))


def test_lines_that_are_none_are_passed_over(settings: Config, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"night": 3}\nnonsense\n[1]\n', "utf-8")

    assert open_nights(settings, tmp_path) == []


def test_a_line_that_a_full_disk_cut_takes_none_of_the_next_one(settings: Config, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"at": 1.0, "nig', "utf-8")

    tell_reopened([IN_IT], tmp_path, settings)

    assert open_nights(settings, tmp_path) == [NIGHT]


def test_a_lake_that_takes_no_line_has_it_beside_the_documents(
    settings: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NAME).mkdir()

    tell_reopened([IN_IT], tmp_path, settings)

    assert "not written down" not in capsys.readouterr().err
    assert open_nights(settings, tmp_path) == [NIGHT]
    (tmp_path / "reports" / NAME).unlink()
    (tmp_path / "reports" / NAME).mkdir()
    tell_reopened([IN_IT], tmp_path, settings)
    assert f"not written down: {tmp_path / NAME}: " in capsys.readouterr().err


def test_a_collection_says_of_which_runs_and_when_its_new_rows_are(tmp_path: Path) -> None:
    put_segment(tmp_path / "spool", "n1", 0)
    first = collect([tmp_path / "spool"], tmp_path / "lake")
    put_segment(tmp_path / "spool", "n1", 1)
    second = collect([tmp_path / "spool"], tmp_path / "lake")

    start_at = AT - 8 * 3600
    of_run = [one for one in second.arrived if one[1]]
    assert [one[0] for one in first.arrived] == ["n1"] * len(first.arrived)
    assert min(one[2] for one in of_run) == start_at + 600
    assert collect([tmp_path / "spool"], tmp_path / "lake").arrived == ()
