"""A push to a drop folder, what is never shipped, and what the node hears of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slurm_guard import wire
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.places import MAX_FILE
from slurm_guard.lake.ship import push
from tests.faults.others import NOBODY, let_in
from tests.faults.shipping import ROOT, SHIP, TICKET, ask, fill, shipped, ssh_serving
from tests.spools import NODE, make, put, single, tree


def test_a_push_twice_changes_nothing_and_another_content_is_never_overwritten(tmp_path: Path) -> None:
    spool, target = tmp_path / "spool", tmp_path / "target"
    fill(spool)
    first = push(spool / NODE, NODE, target)
    before = {p: p.stat().st_mtime_ns for p in target.rglob("*")}
    again = push(spool / NODE, NODE, target)
    assert {p: p.stat().st_mtime_ns for p in target.rglob("*")} == before
    put(spool, "tickets", TICKET, "longer than it was before" * 99)

    third = push(spool / NODE, NODE, target)

    assert [(one.n_new, one.n_known) for one in (first, again, third)] == [(6, 0), (0, 6), (0, 5)]
    assert third.refused == (f"tickets/{TICKET}",)
    assert (target / NODE / "tickets" / TICKET).read_text() == single(make(wire.Ticket))


def test_links_and_pipes_in_a_spool_are_not_shipped(tmp_path: Path) -> None:
    fill(tmp_path / "spool")
    folder = tmp_path / "spool" / NODE / "sealed"
    (folder / "link.000000.jsonl").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.000000.jsonl")

    assert push(tmp_path / "spool" / NODE, NODE, tmp_path / "target").n_new == 6


@pytest.mark.parametrize("way", ["--to", "--serve"])
def test_what_cannot_be_shipped_is_named(tmp_path: Path, way: str) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    large = sorted((spool / NODE / "sealed").iterdir())[0]
    os.truncate(large, MAX_FILE + 1)
    words = ["--to", str(tmp_path / "target")] if way == "--to" else ["--serve"]
    command = [sys.executable, "-c", SHIP, str(ROOT), "ship", *words, "--node", NODE, "--spool", str(spool)]

    done = subprocess.run(command, input=b"slurm-guard ship 1\nend\n", capture_output=True, check=False)

    told = done.stdout if way == "--to" else done.stderr
    assert f"sealed/{large.name}: too-large: {MAX_FILE + 1} bytes".encode() in told
    if way == "--to":
        assert done.stdout.startswith(b"5 files new, 0 known, 0 refused, 1 skipped")
        assert done.returncode == 1
    else:
        assert done.stdout.endswith(b"end 5\n")  # the answer is whole: who asked takes what there is
        assert done.returncode == 0


@pytest.mark.parametrize("way", ["push", "pull", "collect"])
def test_the_node_hears_what_was_collected_where_it_lets_us_and_the_spool_is_left_alone_elsewhere(
    tmp_path: Path, way: str
) -> None:
    def carry(spool: Path) -> None:
        if way == "push":
            push(spool / NODE, NODE, tmp_path / "target")
        elif way == "pull":
            for _ in range(2):  # the second request says what the first one brought
                ask(tmp_path, ssh_serving(tmp_path, spool))
        else:
            collect([spool], tmp_path / "lake")

    closed, opened = tmp_path / "closed", tmp_path / "opened"
    for spool in (closed, opened):
        fill(spool)
    before = tree(closed)
    (opened / NODE / "collected").mkdir()

    carry(closed)
    carry(opened)

    assert tree(closed) == before
    (told,) = (opened / NODE / "collected").iterdir()
    files = [path for path in opened.rglob("*.json*") if path.is_file() and path.parent.name != "open"]
    wanted = [f"{p.parent.name}/{p.name} {p.stat().st_size}" for p in files if not p.name.startswith(".")]
    assert told.read_text().splitlines() == sorted(wanted)


def test_a_link_planted_among_the_acknowledgements_is_not_followed(tmp_path: Path) -> None:
    fill(tmp_path / "spool")
    folder = tmp_path / "spool" / NODE / "collected"
    folder.mkdir()
    (tmp_path / "victim").write_text("unharmed")
    (folder / "collect.list").symlink_to(tmp_path / "victim")
    (folder / f".collect.{os.getpid()}.tmp").symlink_to(tmp_path / "victim")

    collect([tmp_path / "spool"], tmp_path / "lake")

    assert (tmp_path / "victim").read_text() == "unharmed"


@pytest.mark.root
def test_a_store_that_squashes_root_takes_a_push_from_who_owns_it(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become the user that ships")
    spool, store = tmp_path / "spool", tmp_path / "store"
    fill(spool)
    let_in(tmp_path)
    for path in [spool, *spool.rglob("*")]:
        os.chown(path, 0, NOBODY)
        path.chmod(0o750 if path.is_dir() else 0o640)
    store.mkdir(mode=0o700)
    os.chown(store, NOBODY, NOBODY)
    command = [
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
        sys.executable, "-c", SHIP, str(ROOT), "ship", "--to", str(store), "--node", NODE,
        "--spool", str(spool),
    ]  # fmt: skip
    before = tree(spool)

    done = [subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2)]
    if "ModuleNotFoundError" in done[0].stderr or "No such file" in done[0].stderr:
        pytest.skip("this checkout is closed to others, so nobody cannot run it")

    assert [one.stdout.partition(":")[0] for one in done] == [
        "6 files new, 0 known, 0 refused", "0 files new, 6 known, 0 refused",
    ], done[0].stderr  # fmt: skip
    assert tree(store) == shipped(spool)
    assert {path.stat().st_uid for path in store.rglob("*")} == {NOBODY}
    assert tree(spool) == before
    assert collect([store], tmp_path / "lake").refused == ()


@pytest.mark.root
def test_a_drop_folder_that_is_not_ours_to_write_is_an_error(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become the user that ships")
    fill(tmp_path / "spool")
    let_in(tmp_path)
    for path in (tmp_path / "spool").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (tmp_path / "store").mkdir(mode=0o700)
    command = [
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
        sys.executable, "-c", SHIP, str(ROOT), "ship", "--to", str(tmp_path / "store"), "--node", NODE,
        "--spool", str(tmp_path / "spool"),
    ]  # fmt: skip

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    if "ModuleNotFoundError" in done.stderr:
        pytest.skip("this checkout is closed to others, so nobody cannot run it")
    assert done.returncode == 1
    assert "drop-unwritable" in done.stderr
