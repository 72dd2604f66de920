"""Own documents on disk: readable to one user, and nothing that a stranger made is followed."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard import document
from slurm_guard.errors import EXIT_FAILURE, EXIT_NOTHING_TO_AUDIT, GuardError
from slurm_guard.model import Audit
from slurm_guard.report.acl import let_read
from slurm_guard.report.own import only_uid
from slurm_guard.report.ownfiles import find_own, own_folder, own_nights, write_own
from tests.unit.report import builders

NIGHT = builders.night()
UIDS = sorted({j.run.uid for j in NIGHT.judgements if j.run.uid is not None})
DAY = "2026-09-22"
ROOT = Path(__file__).parents[3]


def has_lists(folder: Path) -> bool:
    """Whether a folder can have an access control list."""
    probe = folder / "probe"
    probe.touch()
    with probe.open() as file:
        try:
            let_read(file.fileno(), 1)
        except OSError:
            return False
        finally:
            probe.unlink()
    return True


@pytest.fixture
def own() -> Iterator[Path]:
    """A folder that strangers can reach, as a site makes it."""
    base = Path(tempfile.mkdtemp(prefix="own-", dir="/var/tmp"))
    base.chmod(0o711)
    (base / "own").mkdir(mode=0o711)
    if not has_lists(base):
        shutil.rmtree(base)
        pytest.skip("the file system of /var/tmp knows no access control lists")
    yield base / "own"
    shutil.rmtree(base)


def _write(folder: Path, night: str = DAY, audit: Audit = NIGHT, days: int = 90) -> None:
    written = write_own(folder, night, audit, days)
    assert written is not None
    assert written.failed == ()


def test_without_the_folder_nothing_is_written(tmp_path: Path) -> None:
    assert write_own(tmp_path / "own", DAY, NIGHT, 90) is None
    assert list(tmp_path.iterdir()) == []


def test_everybody_has_his_part_whole(own: Path) -> None:
    _write(own)

    assert sorted(int(p.name) for p in own.iterdir()) == UIDS
    for uid in UIDS:
        text = (own / str(uid) / f"{DAY}.json").read_text()
        assert document.from_json(text) == only_uid(NIGHT, uid)


def test_the_list_lets_one_user_read_and_nobody_write(own: Path) -> None:
    _write(own)

    folder = own / str(UIDS[0])
    for path, rights in ((folder, b"\x05\x00"), (folder / f"{DAY}.json", b"\x04\x00")):
        packed = os.getxattr(path, "system.posix_acl_access")
        entries = [packed[k : k + 8] for k in range(4, len(packed), 8)]
        named = [e for e in entries if e[:2] == b"\x02\x00"]
        assert named == [b"\x02\x00" + rights + UIDS[0].to_bytes(4, "little")]
        assert stat.S_IMODE(path.stat().st_mode) & 0o027 == 0
        assert path.stat().st_uid == os.geteuid()


def test_writing_twice_is_writing_once(own: Path) -> None:
    _write(own)
    before = sorted((p, p.read_bytes()) for p in own.rglob("*.json"))

    _write(own)

    assert sorted((p, p.read_bytes()) for p in own.rglob("*") if p.is_file()) == before


def test_who_has_no_run_of_the_night_any_more_loses_it_and_old_nights_go(own: Path) -> None:
    for day in ("2026-06-01", "2026-06-24", "2026-06-25"):
        _write(own, day)
    gone = UIDS[0]
    fewer = replace(NIGHT, judgements=tuple(j for j in NIGHT.judgements if j.run.uid != gone))

    _write(own, DAY)
    assert own_nights(own, gone) == ["2026-06-25", DAY]
    _write(own, DAY, fewer, days=1)

    assert not (own / str(gone)).exists()
    assert own_nights(own, UIDS[1]) == [DAY]


def test_what_a_killed_writer_left_is_taken_away(own: Path) -> None:
    _write(own)
    left = own / str(UIDS[0]) / f".{DAY}.json.4242"
    left.write_text("half")

    _write(own)

    assert not left.exists()


def test_links_are_not_followed(own: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (own / str(UIDS[0])).symlink_to(target)
    (own / str(UIDS[1])).mkdir(mode=0o700)
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    (own / str(UIDS[1]) / f"{DAY}.json").symlink_to(victim)

    written = write_own(own, DAY, NIGHT, 90)

    assert written is not None
    assert [uid for uid, _ in written.failed] == [UIDS[0]]
    assert list(target.iterdir()) == []
    assert victim.read_text() == "as it was"
    assert not (own / str(UIDS[1]) / f"{DAY}.json").is_symlink()


def test_a_folder_that_is_a_link_or_others_may_write_is_refused(own: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(own)
    with pytest.raises(GuardError, match="own-unwritable"):
        write_own(link, DAY, NIGHT, 90)

    own.chmod(0o777)
    with pytest.raises(GuardError, match="own-unsafe"):
        write_own(own, DAY, NIGHT, 90)
    assert list(own.iterdir()) == []


def test_nothing_for_a_user_is_said_with_his_nights(own: Path) -> None:
    _write(own)

    assert find_own(own, UIDS[0], None) == find_own(own, UIDS[0], DAY) == own / str(UIDS[0]) / f"{DAY}.json"
    with pytest.raises(GuardError, match="own-none") as caught:
        find_own(own, UIDS[0], "2026-09-21")
    assert (caught.value.hint, caught.value.exit_code) == (f"your nights: {DAY}", EXIT_NOTHING_TO_AUDIT)
    with pytest.raises(GuardError, match="own-none"):
        find_own(own, 1, None)


def test_the_folder_is_the_configured_one_or_beside_the_reports() -> None:
    assert own_folder("/srv/own", Path("/var/lib/slurm-guard/reports")) == Path("/srv/own")
    assert own_folder("", Path("/var/lib/slurm-guard/reports")) == Path("/var/lib/slurm-guard/own")


@pytest.mark.root
def test_a_user_reads_his_own_runs_and_no_others_by_the_command(own: Path) -> None:
    me, other = UIDS[0], UIDS[1]
    reports = own.parent / "reports"
    (reports / DAY).mkdir(parents=True)
    (reports / DAY / "audit.json").write_text(document.to_json(NIGHT))
    reports.chmod(0o750)
    config = own.parent / "guard.toml"
    config.write_text(f'[report]\npath = "{reports}"\n')
    _write(own)
    mine = [j.run.job for j in NIGHT.judgements if j.run.uid == me]
    theirs = [j.run.job for j in NIGHT.judgements if j.run.uid != me]

    shown = _as(me, "report", "--config", config)
    assert shown.returncode == 0, shown.stderr
    assert f"Your own runs alone (uid {me})" in shown.stdout
    assert all(job in shown.stdout for job in mine)
    assert not [job for job in theirs if job in shown.stdout]
    assert _as(me, "report", "--config", config, "--job", mine[0]).returncode == 0
    assert _as(me, "report", "--config", config, "--since", "2026-09-01").returncode in (0, 2)

    for *args, code in (
        ("--job", theirs[0], EXIT_NOTHING_TO_AUDIT),
        ("--audit", reports / DAY / "audit.json", EXIT_FAILURE),
        ("--audit", own / str(other) / f"{DAY}.json", EXIT_FAILURE),
    ):
        refused = _as(me, "report", "--config", config, *args)
        assert refused.returncode == code, refused.stdout
        assert refused.stdout == ""
    for path in (own / str(other) / f"{DAY}.json", own / str(other), reports / DAY / "audit.json", own):
        program = "import os,sys; p=sys.argv[1]; os.listdir(p) if os.path.isdir(p) else open(p).read()"
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], user=me, group=65534, extra_groups=[]
        )
        assert done.returncode != 0, path
    written = "import sys; open(sys.argv[1], 'w')"
    done = subprocess.run(
        [sys.executable, "-c", written, str(own / str(me) / f"{DAY}.json")],
        user=me,
        group=65534,
        extra_groups=[],
    )
    assert done.returncode != 0
    shutil.rmtree(own)
    nothing = _as(me, "report", "--config", config)
    assert (nothing.returncode, nothing.stdout) == (EXIT_NOTHING_TO_AUDIT, "")
    assert "own-none" in nothing.stderr
    reports.chmod(0o755)  # as a site may have it: the nights in it are closed
    (reports / DAY).chmod(0o750)
    assert "own-none" in _as(me, "report", "--config", config).stderr
    assert not (reports / "views.jsonl").exists()  # his own runs are nobody else's business


def _as(uid: int, *args: object) -> "subprocess.CompletedProcess[str]":
    main = "from slurm_guard.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", main, *map(str, args)],
        user=uid,
        group=65534,
        extra_groups=[],
        cwd="/",
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "/usr/bin:/bin",
            "HOME": "/",
            "COLUMNS": "100",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
    )


@pytest.mark.root
def test_an_outbox_of_somebody_else_is_named_and_no_crash(own: Path) -> None:
    outbox = own.parent / "reports" / "outbox" / DAY
    outbox.mkdir(parents=True)
    (own.parent / "reports").chmod(0o755)
    outbox.parent.chmod(0o700)
    config = own.parent / "guard.toml"
    config.write_text(f'[report]\npath = "{own.parent / "reports"}"\n')

    done = _as(UIDS[0], "mail", "--list", "--config", config)

    assert done.returncode == 1
    assert "outbox-unreadable" in done.stderr
