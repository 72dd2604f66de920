"""What is beyond its time goes, and nothing else."""

import fcntl
import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from slurm_guard import retention
from slurm_guard.cli import app as cli
from slurm_guard.errors import GuardError
from slurm_guard.lake import turns
from slurm_guard.lake.store.mark import COPY, Role, write_role
from slurm_guard.retention import old_days, old_files, old_letters, remove, rewrite_lines, since

DAY_S = 86_400.0
NOW_AT = 1_790_000_000.0  # 2026-09-21
cli._register()


def _file(path: Path, days_ago: float = 0.0, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    os.utime(path, (NOW_AT - days_ago * DAY_S,) * 2)
    return path


def test_days_go_by_their_name_and_not_by_their_files_times(tmp_path: Path) -> None:
    old = _file(tmp_path / "windows" / "date=2026-09-01" / "a.parquet")
    _file(tmp_path / "windows" / "date=2026-09-11" / "b.parquet", 400)
    _file(tmp_path / "windows" / "date=2026-13-99" / "c.parquet", 400)
    _file(tmp_path / "windows" / "notes" / "d.parquet", 400)
    _file(tmp_path / "windows" / "2026-09-01.txt", 400)

    found = old_days("lake", [tmp_path / "windows"], 10.0, NOW_AT)

    assert (found.files, found.size_b) == ((old,), 1)
    assert remove(found).n == 1
    assert not old.parent.exists()
    assert old_days("lake", [tmp_path / "windows"], 10.0, NOW_AT).files == ()


def test_a_night_is_over_in_every_zone_before_it_goes(tmp_path: Path) -> None:
    _file(tmp_path / "2026-09-10" / "audit.json")
    _file(tmp_path / "2026-09-09" / "audit.json")

    (found,) = old_days("reports", [tmp_path], 10.0, NOW_AT).files

    assert found.parent.name == "2026-09-09"


def test_no_link_is_followed_or_taken(tmp_path: Path) -> None:
    kept = _file(tmp_path / "elsewhere" / "precious", 400)
    (tmp_path / "q" / "2026-01-01").mkdir(parents=True)
    (tmp_path / "q" / "2026-01-01" / "link").symlink_to(kept)
    (tmp_path / "q" / "2026-01-02").symlink_to(tmp_path / "elsewhere")

    assert old_days("reports", [tmp_path / "q"], 10.0, NOW_AT).files == ()
    assert old_files("quarantine", tmp_path / "q", 10.0, NOW_AT).files == ()


def test_zero_days_keep_for_ever_and_absent_folders_are_empty(tmp_path: Path) -> None:
    _file(tmp_path / "q" / "f", 4000)

    assert old_files("quarantine", tmp_path / "q", 0.0, NOW_AT).files == ()
    assert old_files("quarantine", tmp_path / "none", 1.0, NOW_AT).files == ()
    assert old_days("reports", [tmp_path / "none"], 1.0, NOW_AT).files == ()


def test_a_letter_stays_as_long_as_it_keeps_one_from_being_sent_twice(tmp_path: Path) -> None:
    _file(tmp_path / "n1" / "a.json", 14)
    _file(tmp_path / "n2" / "a.json", 16)
    _file(tmp_path / "n2" / "a.eml", 16)
    _file(tmp_path / "n3" / "a.json", 40)
    _file(tmp_path / "n3" / "b.json", 1)

    found = old_letters(tmp_path, 1.0, NOW_AT)

    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == ["n2/a.eml", "n2/a.json"]


def test_lines_go_by_their_time_and_what_is_no_line_of_ours_stays(tmp_path: Path) -> None:
    lines = ['{"at":1,"by":"a"}', '{"at":5}', "torn {", '{"at":"x"}', "[]", '{"at":2}']
    path = _file(tmp_path / "views.jsonl", text="\n".join(lines) + "\n")
    path.chmod(0o640)

    assert rewrite_lines(path, since(3.0), dry=True) == 2
    assert rewrite_lines(path, since(3.0)) == 2
    assert path.read_text().splitlines() == lines[1:5]
    assert path.stat().st_mode & 0o777 == 0o640
    assert rewrite_lines(path, since(3.0)) == 0
    assert rewrite_lines(tmp_path / "none", since(3.0)) == 0


def test_what_is_added_meanwhile_is_taken_over(tmp_path: Path) -> None:
    path = _file(tmp_path / "views.jsonl", text='{"at":1}\n')

    def change(line: bytes) -> bytes | None:
        with path.open("a") as other:
            other.write('{"at":9}\n')
        return None

    rewrite_lines(path, change)

    assert path.read_text() == '{"at":9}\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A configuration, and one old and one new thing of each kind."""
    lake, reports = tmp_path / "lake", tmp_path / "reports"
    for days, date in ((1, "2099-01-01"), (4000, "2001-01-01")):
        _file(lake / "v1" / "points" / f"date={date}" / "a.parquet", days)
        _file(reports / date / "audit.json", days)
        for kind in (lake / "quarantine", reports / "outbox" / date):
            path = _file(kind / f"{date}.json")
            os.utime(path, (path.stat().st_mtime + 1e9,) * 2 if days == 1 else (1.0, 1.0))
    _file(reports / "views.jsonl", text='{"at":1}\n{"at":9999999999}\n')
    _file(lake / "history" / "v1" / "costs" / "date=2001-01-01" / "c.parquet")
    path = tmp_path / "guard.toml"
    path.write_text(f'[lake]\npath = "{lake}"\n[report]\npath = "{reports}"\n', "utf-8")
    return path


def _all(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_prune_says_first_and_does_it_when_asked(site: Path) -> None:
    before = _all(site.parent)
    said = CliRunner().invoke(cli.app, ["prune", "--config", str(site)], catch_exceptions=False)
    assert _all(site.parent) == before

    done = CliRunner().invoke(cli.app, ["prune", "--apply", "--config", str(site)], catch_exceptions=False)

    assert (said.exit_code, done.exit_code) == (0, 0)
    for kind in ("lake", "quarantine", "reports", "mail"):
        assert f"{kind}: 1 files older than" in said.stdout
    assert "nothing was removed" in said.stdout
    gone = set(before) - set(_all(site.parent))
    assert gone == {
        "lake/quarantine/2001-01-01.json", "lake/v1/points/date=2001-01-01/a.parquet",
        "reports/2001-01-01/audit.json", "reports/outbox/2001-01-01/2001-01-01.json",
    }  # fmt: skip
    assert json.loads((site.parent / "reports" / "views.jsonl").read_text())["at"] == 9999999999


def test_kept_parts_of_nights_go_by_age_from_a_folder_as_audits_make_it_and_from_no_other(site: Path) -> None:
    parts = site.parent / "lake" / "parts"
    for name, at in (("old", 1.0), ("new", 9e9)):
        os.utime(_file(parts / "night" / name), (at, at))
    argv = ["prune", "--apply", "--config", str(site)]

    parts.chmod(0o755)
    CliRunner().invoke(cli.app, argv, catch_exceptions=False)
    left = _all(parts)
    parts.chmod(0o700)
    said = CliRunner().invoke(cli.app, argv, catch_exceptions=False).stdout

    assert left == ["night/new", "night/old"]
    assert _all(parts) == ["night/new"]
    assert "kept parts: 1 files older than" in said


def _apply(site: Path) -> Result:
    return CliRunner().invoke(cli.app, ["prune", "--apply", "--config", str(site)])


def _locks(site: Path) -> tuple[Path, Path]:
    """Of a lake, and of one that is a copy."""
    lake = site.parent / "lake"
    return lake / ".lock", lake / "store" / ".lock"


@pytest.mark.parametrize("copied", [False, True])
def test_nothing_is_pruned_while_somebody_writes_the_lake(
    site: Path, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    lock = _locks(site)[copied]
    if copied:
        write_role(site.parent / "lake", Role(COPY, "0" * 32, "s3://memory/lake"))
    _file(lock)
    before = _all(site.parent)
    monkeypatch.setattr(turns, "PATIENCE_S", 0.2)

    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = _apply(site)
        left = _all(site.parent)

    assert isinstance(done.exception, GuardError)
    assert (done.exception.slug, done.exception.exit_code) == ("lake-busy", 1)
    assert left == before
    assert _apply(site).exit_code == 0
    assert len(_all(site.parent)) == len(before) - 4


def test_prune_lets_who_looks_end_and_is_waited_for(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, _ = _locks(site)
    _file(lock)
    seen: list[str] = []

    def remove_watched(old: Any) -> Any:
        with lock.open() as other, suppress(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
            seen.append("free")
        return remove(old)

    monkeypatch.setattr(retention, "remove", remove_watched)
    with lock.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        timer = threading.Timer(0.5, lambda: fcntl.flock(looking, fcntl.LOCK_UN))
        timer.start()
        done = _apply(site)
        timer.join()

    assert (done.exit_code, seen) == (0, [])
    with lock.open() as after:
        fcntl.flock(after, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is given back


def test_prune_makes_no_lock_that_another_user_could_not_open(site: Path) -> None:
    dry = CliRunner().invoke(cli.app, ["prune", "--config", str(site)])
    done = _apply(site)

    assert (dry.exit_code, done.exit_code) == (0, 0)
    assert not any(lock.exists() for lock in _locks(site))
