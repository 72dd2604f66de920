"""Who looks at others' runs is logged, or sees nothing."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from slurm_guard import document
from slurm_guard.cli.chosen import log_look
from slurm_guard.config import load_config
from slurm_guard.errors import EXIT_FAILURE, GuardError
from slurm_guard.report.viewlog import owner_of
from tests.unit.report import builders

NIGHT = builders.night()
DAY = (datetime.now(timezone.utc) - timedelta(days=1)).date().isoformat()  # `--since` knows today alone
STAFF, GROUP, KEEPER = 3_000, 3_001, 3_002  # uids and a gid of nobody's
ROOT = Path(__file__).parents[3]
WHAT = (DAY, "", "text")


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A configuration whose log of views is a folder, so that nobody can add to it."""
    (tmp_path / "reports" / "views.jsonl").mkdir(parents=True)
    config = tmp_path / "guard.toml"
    config.write_text(f'[report]\npath = "{tmp_path}/reports"\n')
    return config


def _become(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(os, "getuid", lambda: uid)


@pytest.mark.parametrize("seen", [(1, {"bela"}), (2, {"bela", f"uid {STAFF}"}), (0, set())])
def test_a_view_of_others_that_cannot_be_logged_is_refused(
    unwritable: Path, monkeypatch: pytest.MonkeyPatch, seen: tuple[int, set[str]]
) -> None:
    keeper = pwd.getpwuid(os.geteuid()).pw_name
    _become(monkeypatch, STAFF)

    with pytest.raises(GuardError, match="view-unlogged: nothing is shown: ") as caught:
        log_look("lake show windows", WHAT, seen, load_config(unwritable))

    assert caught.value.sentence.endswith("Is a directory")
    assert caught.value.exit_code == EXIT_FAILURE
    assert caught.value.hint.startswith(f"sudo -u {keeper} slurm-guard lake show windows …")


@pytest.mark.parametrize("who", ["root", "owner", "own runs"])
def test_root_the_logs_owner_and_who_looks_at_his_own_runs_are_told_and_go_on(
    unwritable: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], who: str
) -> None:
    _become(monkeypatch, {"root": 0, "owner": os.geteuid(), "own runs": STAFF}[who])
    seen = {f"uid {STAFF}"} if who == "own runs" else {"bela"}

    log_look("report", WHAT, (1, seen), load_config(unwritable))

    assert "this view could not be logged" in capsys.readouterr().err


def test_the_log_is_its_owners_or_the_folders(tmp_path: Path) -> None:
    me = os.geteuid()
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "file").touch()

    assert {owner_of(tmp_path / name) for name in ("link", "file", "missing", "no/such/folder")} == {me}
    assert owner_of(tmp_path / "file" / "below") is None


@pytest.fixture
def site() -> Iterator[Path]:
    """A site whose reports are open to a group of staff; its configuration."""
    base = Path(tempfile.mkdtemp(prefix="views-", dir="/var/tmp"))
    base.chmod(0o755)
    reports = base / "reports"
    (reports / DAY).mkdir(parents=True)
    (reports / DAY / "audit.json").write_text(document.to_json(NIGHT))
    (reports / DAY / "audit.json").chmod(0o640)
    (reports / "views.jsonl").write_text("")
    (reports / "views.jsonl").chmod(0o640)
    for path in (reports, *reports.rglob("*")):
        os.chown(path, KEEPER, GROUP)
    reports.chmod(0o750)
    (base / "guard.toml").write_text(f'[report]\npath = "{reports}"\n')
    yield base / "guard.toml"
    shutil.rmtree(base)


@pytest.mark.root
def test_staff_who_may_read_the_nights_and_not_write_the_log_see_nothing(site: Path) -> None:
    log, user = site.parent / "reports" / "views.jsonl", NIGHT.judgements[0].run.user
    asked = ("report", "--config", site, "--user", user)

    refused = _as(STAFF, *asked)
    several = _as(STAFF, "report", "--config", site, "--since", "3d", "--format", "json")
    empty = log.read_text()
    shown = _as(KEEPER, *asked)

    assert (refused.returncode, refused.stdout) == (several.returncode, several.stdout) == (EXIT_FAILURE, "")
    assert "Permission denied" in refused.stderr
    assert f"hint: sudo -u '#{KEEPER}' slurm-guard report …" in refused.stderr
    assert "view-unlogged" in several.stderr
    assert empty == ""
    assert shown.returncode == 0
    assert f'"users":["{user}"]' in log.read_text()


@pytest.mark.root
def test_staff_who_may_add_to_the_log_are_logged(site: Path) -> None:
    log = site.parent / "reports" / "views.jsonl"
    log.chmod(0o660)

    shown = _as(STAFF, "report", "--config", site)

    assert (shown.returncode, shown.stderr.count("could not be logged")) == (0, 0)
    assert f'"uid":{STAFF}' in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o660


def _as(uid: int, *args: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", "from slurm_guard.cli.app import main; main()", *map(str, args)],
        user=uid,
        group=GROUP,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
