"""Who may write the configuration that root acts on."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from slurm_guard.config import load_config
from slurm_guard.configsafe import Place, Reader, judge, places_of
from slurm_guard.errors import EXIT_USAGE, GuardError

ROOT, ALICE, BOB, STAFF = 0, 1000, 1001, 50
AS_ROOT, AS_ALICE = Reader(ROOT, ROOT), Reader(ALICE, ALICE)
FILE, FOLDER = stat.S_IFREG, stat.S_IFDIR


def status(kind: int, mode: int, uid: int, gid: int) -> os.stat_result:
    return os.stat_result((kind | mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


def judged(kind: int, mode: int, uid: int, gid: int, who: Reader) -> str:
    place = judge("/x", status(kind, mode, uid, gid), who)
    return "unsafe" if place.unsafe else "loose" if place.loose else "safe"


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "as_root", "as_alice"),
    [
        (0o644, ROOT, ROOT, "safe", "safe"),
        (0o640, ROOT, STAFF, "safe", "safe"),
        (0o644, ALICE, ALICE, "unsafe", "safe"),
        (0o644, BOB, BOB, "unsafe", "unsafe"),
        (0o646, ROOT, ROOT, "unsafe", "unsafe"),
        (0o666, ALICE, ALICE, "unsafe", "unsafe"),
        (0o664, ROOT, ROOT, "loose", "loose"),  # umask 002: root's own group
        (0o664, ROOT, STAFF, "unsafe", "unsafe"),
        (0o664, ALICE, ALICE, "unsafe", "loose"),  # … and a user's
        (0o664, ALICE, STAFF, "unsafe", "unsafe"),
    ],
)
def test_owner_and_mode_decide(mode: int, uid: int, gid: int, as_root: str, as_alice: str) -> None:
    assert judged(FILE, mode, uid, gid, AS_ROOT) == as_root
    assert judged(FILE, mode, uid, gid, AS_ALICE) == as_alice


def test_a_folder_that_everybody_writes_is_safe_only_where_nobody_renames_what_is_not_his() -> None:
    assert judged(FOLDER, 0o1777, ROOT, ROOT, AS_ROOT) == "safe"
    assert judged(FOLDER, 0o777, ROOT, ROOT, AS_ROOT) == "unsafe"
    assert judged(FOLDER, 0o1777, BOB, BOB, AS_ROOT) == "unsafe"
    assert judged(FILE, 0o1666, ROOT, ROOT, AS_ROOT) == "unsafe"


def config(folder: Path, mode: int = 0o644) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / "guard.toml"
    path.write_text("[node]\nwindow_s = 30\n")
    path.chmod(mode)
    return path


def refused(path: Path) -> str:
    with pytest.raises(GuardError) as caught:
        load_config(path)
    assert (caught.value.slug, caught.value.exit_code) == ("config-unsafe", EXIT_USAGE)
    return caught.value.sentence


def test_a_file_that_everybody_writes_is_refused_by_name(tmp_path: Path) -> None:
    path = config(tmp_path, 0o666)

    assert f"{path} may be written by everybody" in refused(path)


def test_a_folder_that_everybody_writes_is_refused_by_name(tmp_path: Path) -> None:
    path = config(tmp_path / "etc")
    path.parent.chmod(0o777)

    assert f"{path.parent} may be written by everybody" in refused(path)


def test_links_of_file_and_folder_are_followed(tmp_path: Path) -> None:
    """Configuration management keeps releases in folders and links to one."""
    config(tmp_path / "releases" / "7")
    (tmp_path / "current").symlink_to("releases/7")
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "guard.toml").symlink_to("../current/guard.toml")

    assert load_config(etc / "guard.toml").node.window_s == 30


def test_a_link_in_a_folder_that_others_write_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    path = config(tmp_path / "right")
    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "any").symlink_to(path.parent)
    drop.chmod(0o777)
    (tmp_path / "guard.toml").symlink_to("drop/any/guard.toml")

    assert f"{drop} may be written by everybody" in refused(tmp_path / "guard.toml")


def test_links_in_a_ring_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(GuardError, match="config-unreadable"):
        load_config(tmp_path / "a")
    with pytest.raises(OSError, match="symbolic links"):
        places_of(tmp_path / "a", AS_ROOT)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_root_believes_nothing_that_a_user_owns(tmp_path: Path, what: str) -> None:
    path = config(tmp_path / "etc")
    link = tmp_path / "linked.toml"
    link.symlink_to(path)
    owned = {"file": path, "folder": path.parent, "link": link}[what]
    os.chown(owned, 1000, 1000, follow_symlinks=False)

    assert f"{owned} belongs to uid 1000" in refused(link)


@pytest.mark.parametrize(
    ("mode", "code", "said"),
    [
        (0o644, 0, ""),
        (0o664, 0, "warning: {} may be written by group"),
        (0o666, EXIT_USAGE, "config-unsafe: {} may be written by everybody"),
    ],
)
def test_config_check_says_both_refusals_and_warnings(
    tmp_path: Path, mode: int, code: int, said: str
) -> None:
    path = config(tmp_path, mode)
    command = [sys.executable, "-c", "from slurm_guard.cli.app import main; main()", "config", "check"]

    done = subprocess.run([*command, "--config", str(path)], capture_output=True, text=True, check=False)

    assert done.returncode == code
    assert said.format(path) in done.stderr
    assert ("right" in done.stdout) == (code == 0)
    assert bool(said) == bool(done.stderr)


def test_every_place_on_the_way_is_judged_once(tmp_path: Path) -> None:
    path = config(tmp_path / "etc")

    places = places_of(path, Reader(os.geteuid(), os.getegid()))

    assert places == [Place(str(path.parent), "", ""), Place(str(path), "", "")]
