"""What is refused before anything is changed, what others did meanwhile, and what is put where."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from slurm_guard import __version__
from slurm_guard.config import Config, load_config
from slurm_guard.errors import GuardError
from slurm_guard.install import checks, facts, files, session
from slurm_guard.install.change import Change, Places
from slurm_guard.install.disk import Disk
from slurm_guard.install.facts import Asked, parse_version
from slurm_guard.install.removal import Removal, take_back
from tests.unit.install.image import asked, install, make_image, tree, uninstall

CONF = "etc/slurm/slurm.conf"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_image(tmp_path / "image")


def refused(root: Path) -> str:
    """Why nothing was changed; that nothing was is looked at too."""
    before = tree(root)
    with pytest.raises(GuardError) as caught:
        install(root)
    assert tree(root) == before
    return caught.value.sentence


def test_a_dry_run_changes_nothing(root: Path) -> None:
    before = tree(root)

    ready = session.prepare(asked(root))

    assert ready.changes
    assert tree(root) == before


def test_all_problems_are_said_at_once_and_nothing_is_changed(root: Path) -> None:
    (root / "usr/libexec").mkdir(parents=True)
    (root / "usr/libexec/slurm-guard").write_text("in the way")
    (root / "etc/cron.d").symlink_to("/tmp")

    sentence = refused(root)

    assert "slurm-guard is no folder" in sentence
    assert "leads out of the image" in sentence


def test_a_link_to_nowhere_in_a_folder_s_place_is_said(root: Path) -> None:
    (root / "usr").mkdir(exist_ok=True)
    (root / "usr/libexec").symlink_to("/nowhere")

    assert f"{root}/usr/libexec is no folder" in refused(root)


def test_a_line_that_slurm_refuses_is_said(root: Path) -> None:
    (root / CONF).write_bytes(b"Prolog=/a b\n")

    assert "slurm.conf:1: Slurm cannot read 'b' after Prolog=" in refused(root)
    (root / CONF).write_bytes(b"Prolog=/a Epilog=/b\n")
    assert "slurm.conf:1: Slurm cannot read 'Epilog=/b' after Prolog=" in refused(root)


def test_a_link_to_slurm_conf_in_an_image_is_refused(root: Path) -> None:
    (root / CONF).rename(root / "real.conf")
    (root / CONF).symlink_to(root / "real.conf")

    assert "is no plain file" in refused(root)


def test_no_room_is_found_before(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs

    def full(path: str) -> os.statvfs_result:
        values = list(real(path))
        values[4] = 0  # f_bavail
        return os.statvfs_result(values)

    monkeypatch.setattr(os, "statvfs", full)

    assert "has no room" in refused(root)


def test_what_others_could_change_is_not_run_as_root(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root installs what root runs")
    lib = tmp_path / "lib"
    (lib / "slurm_guard").mkdir(parents=True)
    lib.chmod(0o777)
    have = files.Installation(lib, Path("/usr/bin/env"), Path("/usr/bin/env"), Path("/x"))

    found = checks._unsafe(Disk(Places(Path("/opt/x"))), have, [])

    assert [problem.sentence for problem in found] == [
        f"{lib} can be written by others, and root would run what is below it"
    ]


def test_a_second_install_changes_nothing(root: Path) -> None:
    install(root)
    before = tree(root)

    ready = session.prepare(asked(root))

    assert ready.changes == ()
    install(root)
    assert tree(root) == before


def test_node_then_head_is_taken_off_as_one(root: Path) -> None:
    before = tree(root)

    install(root, "node")
    install(root, "head")

    assert (root / "usr/libexec/slurm-guard/prolog/slurm-guard-prolog").exists()
    assert (root / "etc/cron.d/slurm-guard").exists()
    assert uninstall(root) == []
    assert tree(root) == before


def test_a_node_never_touches_slurm_conf_unless_it_is_named(root: Path) -> None:
    ready = session.prepare(Asked("node", Places(None, root), None, "23.11"))

    assert [change for change in ready.changes if change.edit] == []
    assert Path("/s/prolog.d/zz-slurm-guard") in [change.path for change in ready.changes]
    assert any(line.startswith("Epilog=") for line in ready.plan.by_hand)


def test_the_settings_of_the_site_stay(root: Path) -> None:
    install(root)

    text = (root / "etc/slurm-guard/slurm-guard-hooks.conf").read_text()
    assert text.startswith("# mine\nSYSLOG=/x\nPYTHON=/")
    assert "/old" not in text
    assert (root / "etc/slurm-guard/slurm-guard-hooks.conf").stat().st_mode & 0o777 == 0o644


def test_of_a_slurm_conf_that_was_changed_since_only_our_lines_go(root: Path) -> None:
    original = (root / CONF).read_bytes()
    install(root)
    changed = (root / CONF).read_bytes().replace(b"ClusterName=a", b"ClusterName=b") + b"X=1\r\n"
    (root / CONF).write_bytes(changed)

    assert uninstall(root) == []

    wanted = original.replace(b"ClusterName=a", b"ClusterName=b")
    assert (root / CONF).read_bytes().replace(b"X=1\r\n", b"") == wanted
    assert b"X=1" in (root / CONF).read_bytes()
    assert b"slurm-guard" not in (root / CONF).read_bytes()


def test_a_change_between_two_installations_is_kept(root: Path) -> None:
    install(root, "node")
    (root / CONF).write_bytes((root / CONF).read_bytes().replace(b"=a", b"=z"))
    install(root, "head")

    uninstall(root)

    assert (root / CONF).read_bytes().startswith(b"ClusterName=z\r\n")
    assert b"slurm-guard" not in (root / CONF).read_bytes()


def test_a_file_of_ours_that_was_changed_stays_and_is_said(root: Path) -> None:
    install(root)
    hook = root / "usr/libexec/slurm-guard/epilog/slurm-guard-epilog"
    hook.write_text("mine\n")

    (left,) = uninstall(root)

    assert left == f"{hook} was changed by somebody since: it stays"
    assert hook.exists()


def test_a_configuration_that_somebody_wrote_stays_and_nothing_failed(root: Path) -> None:
    install(root)
    toml = root / "etc/slurm-guard/guard.toml"
    toml.write_text("[mail]\nto = ['ops@example.org']\n")
    said: list[str] = []

    assert take_back(Places(None, root), Removal(), said.append) == []

    assert any(
        f"{toml} holds the site's settings: it stays" in each and f"`rm {toml}`" in each for each in said
    )
    assert toml.exists()
    install(root)
    assert toml.read_text().startswith("[mail]")


def test_a_slurm_conf_written_between_plan_and_deed_is_not_overwritten(root: Path) -> None:
    ready = session.prepare(asked(root))
    (root / CONF).write_bytes(b"ClusterName=new\n")
    before = tree(root)

    with pytest.raises(GuardError, match="changed by somebody else"):
        session.carry_out(ready, lambda _: None)

    assert tree(root) == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 9}', '{"format": 1, "status": "x", "entries": 3}', "\x00"]
)
def test_a_journal_that_is_none_is_said_and_nothing_is_done(root: Path, text: str) -> None:
    install(root)
    (root / "var/lib/slurm-guard/install/journal.json").write_text(text)
    before = tree(root)

    for deed in (install, uninstall):
        with pytest.raises(GuardError) as caught:
            deed(root)
        assert caught.value.slug == "install-journal"
    assert tree(root) == before


def test_a_kept_file_that_was_changed_is_never_written(root: Path) -> None:
    install(root)
    for blob in (root / "var/lib/slurm-guard/install/blobs").iterdir():
        blob.write_bytes(b"evil")

    with pytest.raises(GuardError, match="was changed"):
        uninstall(root)


def test_purge_takes_data_and_configuration(root: Path) -> None:
    install(root)
    (root / "var/lib/slurm-guard/lake").mkdir()
    (root / "var/lib/slurm-guard/lake/x").write_text("x")

    uninstall(root, purge=True)

    assert not (root / "var/lib/slurm-guard").exists()
    assert not (root / "etc/slurm-guard").exists()


def test_upgrade_renews_our_files_alone(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(root)
    conf = (root / CONF).read_bytes()
    newer = tmp_path / "newer"
    for name in ("prolog", "epilog", "packaging"):
        shutil.copytree(files.shared("prolog/README.md").parents[1] / name, newer / name)
    for path in newer.glob("*/slurm-guard-*"):
        path.write_text(path.read_text() + "# newer\n")
    monkeypatch.setattr(files, "shared", lambda name: newer / name)
    mine = root / "usr/libexec/slurm-guard/epilog/slurm-guard-epilog"
    mine.write_text("mine\n")

    ready = session.prepare_upgrade(Places(None, root))
    session.carry_out(ready, lambda _: None)

    assert (root / "usr/libexec/slurm-guard/prolog/slurm-guard-prolog").read_text().endswith("# newer\n")
    assert mine.read_text() == "mine\n"
    assert any("epilog was changed by somebody" in note for note in ready.plan.notes)
    assert (root / CONF).read_bytes() == conf


@pytest.mark.parametrize("prefix", [None, Path("/opt/x")])
def test_upgrade_renews_interpreter_and_package_beside_lines_of_the_sites(
    root: Path, prefix: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = Places(prefix, root)
    (root / "etc/slurm-guard/slurm-guard-hooks.conf").unlink()
    session.carry_out(session.prepare(Asked("node", where, None, "23.11")), lambda _: None)
    paths = [where.disk(path) for path in files.settings_paths(where)]
    for number, path in enumerate(paths):
        path.write_text(path.read_text() + f"GPU_DEVICES=/dev/x{number}\n")
    newer = files.Installation(Path("/new/lib"), Path("/new/py"), Path("/new/own"), Path("/new/program"))
    monkeypatch.setattr(facts, "this_installation", lambda: newer)

    ready = session.prepare_upgrade(where)
    session.carry_out(ready, lambda _: None)

    for number, path in enumerate(paths):
        lines = path.read_text().splitlines()
        assert {"PYTHON=/new/py", "LIB=/new/lib", "SAMPLER_PYTHON=/new/own"} <= set(lines)
        assert f"GPU_DEVICES=/dev/x{number}" in lines
    assert not any("hooks.conf" in note for note in ready.plan.notes)
    said: list[str] = []
    assert take_back(where, Removal(), said.append) == []
    assert all(path.exists() for path in paths)
    assert sum("holds lines of the site's" in line for line in said) == len(paths)


def test_the_commented_configuration_is_the_default_one(tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    path.write_bytes(files.guard_toml(Places()))
    path.chmod(0o644)

    assert load_config(path) == Config()


def test_with_a_prefix_everything_lies_below_it(tmp_path: Path) -> None:
    prefix = tmp_path / "opt"
    ready = session.prepare(Asked("all", Places(prefix), None, "23.11", edit_conf=False))

    assert all(change.path.is_relative_to(prefix) for change in ready.changes)
    path = tmp_path / "guard.toml"
    path.write_bytes(files.guard_toml(Places(prefix)))
    path.chmod(0o644)
    node = load_config(path).node
    hooks = files.hook_settings(Places(prefix), files.this_installation(), by_systemd=False)
    assert node.run_dir == f"{prefix}/run/slurm-guard"
    # One file switches off hooks and sampler, as doctor's settings-agree wants it.
    assert node.disabled == hooks["DISABLED"] == f"{prefix}/etc/slurm-guard/disabled"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("slurm 22.05.8", (22, 5)),
        ("slurm-wlm 24.11.5", (24, 11)),
        ("26.05", (26, 5)),
        ("slurm 23.11.0-rc1", (23, 11)),
    ],
)
def test_versions_as_slurm_prints_them(text: str, version: tuple[int, int]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["", "new", "5", "2211", "022.055"])
def test_what_is_no_version_is_said(text: str) -> None:
    with pytest.raises(GuardError) as caught:
        parse_version(text)

    assert caught.value.slug == "slurm-version"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_has_nothing_against_the_units(tmp_path: Path) -> None:
    have = files.Installation(Path("/l"), Path("/bin/sh"), Path("/bin/sh"), Path("/bin/true"))
    for change in files.head_files(Places(), have, True):
        (tmp_path / change.path.name).write_bytes(change.content or b"")

    done = subprocess.run(
        [
            "systemd-analyze",
            "verify",
            str(tmp_path / files.TIMER),
            str(tmp_path / "slurm-guard-audit.service"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, [line for line in done.stderr.splitlines() if "slurm-guard" in line]) == (0, [])


def test_an_image_with_systemd_gets_units_with_its_paths(root: Path) -> None:
    (root / "usr/lib/systemd").mkdir(parents=True)
    (root / "usr/lib/systemd/systemd").touch()

    install(root)

    unit = (root / "etc/systemd/system/slurm-guardd.service").read_text()
    assert f"ExecStart={files.this_installation().sampler_python} " in unit
    assert "START_SAMPLER=no" in (root / "etc/slurm-guard/slurm-guard-hooks.conf").read_text()
    assert not (root / "etc/cron.d").exists()


def test_the_journal_tells_release_and_role(root: Path) -> None:
    install(root, "node")

    data = json.loads((root / "var/lib/slurm-guard/install/journal.json").read_text())
    assert (data["release"], data["role"], data["status"]) == (__version__, "node", "applied")


def test_access_lists_and_attributes_are_kept(root: Path) -> None:
    try:
        os.setxattr(root / CONF, "user.site", b"x")
    except OSError:
        pytest.skip("this file system keeps no attributes")

    install(root)
    assert os.getxattr(root / CONF, "user.site") == b"x"
    uninstall(root)

    assert os.getxattr(root / CONF, "user.site") == b"x"


def test_a_file_that_is_mounted_by_itself_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = str(root / CONF)
    monkeypatch.setattr(checks, "_mounted", lambda: {where})

    found = checks._problems_of(Disk(Places(None, root)), Change(Path("/") / CONF, b"", 0o644, "", edit=True))

    assert [problem.sentence for problem in found] == [f"{where} is mounted by itself and cannot be replaced"]


def test_a_hook_that_slurmd_runs_just_now_is_replaced(root: Path) -> None:
    """Who opens it for writing is told "text file busy", and so would be a slurmd that starts it then."""
    install(root)
    hook = root / "usr/libexec/slurm-guard/epilog/slurm-guard-epilog"
    ours = hook.read_bytes()
    shutil.copy("/usr/bin/sleep", hook)
    with subprocess.Popen([hook, "60"]) as runs:
        with pytest.raises(OSError, match="Text file busy"):
            os.open(hook, os.O_WRONLY)

        install(root)

        assert runs.poll() is None
        runs.kill()
    assert hook.read_bytes() == ours


@pytest.mark.parametrize("mark", ["i", "a"])
@pytest.mark.parametrize("what", ["slurm-guard-epilog", "."])
def test_what_chattr_holds_is_found(root: Path, mark: str, what: str) -> None:
    install(root)
    folder = root / "usr/libexec/slurm-guard/epilog"
    (folder / "slurm-guard-epilog").write_text("older\n")
    held = str(folder / what)
    if subprocess.run(["chattr", f"+{mark}", held], capture_output=True, check=False).returncode != 0:
        pytest.skip("chattr marks nothing here: a file system without marks, or no CAP_LINUX_IMMUTABLE")
    try:
        problem = session.prepare(asked(root)).plan.problems[0]
        sentence = refused(root)
    finally:
        subprocess.run(["chattr", f"-{mark}", held], check=True)

    assert f"{os.path.normpath(held)} is marked immutable or append-only" in sentence
    assert f"`chattr -ia {os.path.normpath(held)}` takes it off" in problem.hint
    install(root)


def test_a_link_to_slurm_conf_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "shared" / "slurm.conf", tmp_path / "slurm.conf"
    real.parent.mkdir()
    real.write_text("ClusterName=a\n")
    real.chmod(0o600)
    link.symlink_to(real)
    where = Places(tmp_path / "opt")

    session.carry_out(session.prepare(Asked("all", where, link, "23.11")), lambda _: None)

    assert link.readlink() == real
    assert "slurm-guard-prolog" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o600
    take_back(where, Removal(now=True), lambda _: None)
    assert (link.readlink(), real.read_text()) == (real, "ClusterName=a\n")
