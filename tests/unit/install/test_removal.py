"""Taking it off where somebody was at slurm.conf since: what is his stays, and what it names stays too."""

import subprocess
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.install.change import Places
from slurm_guard.install.facts import Asked
from slurm_guard.install.removal import Removal, prepare_uninstall, take_back
from slurm_guard.install.session import carry_out, prepare
from tests.unit.install.image import install, make_image, tree, uninstall

CONF = "etc/slurm/slurm.conf"
HOOK = "usr/libexec/slurm-guard/prolog/slurm-guard-prolog"
END = b"# slurm-guard install: end\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_image(tmp_path / "image")


def damage(conf: Path) -> bytes:
    """One mark goes; our lines stay."""
    text = conf.read_bytes().replace(b"# slurm-guard install: end\r\n", b"", 1)
    conf.write_bytes(text)
    return text


@pytest.mark.parametrize("now", [False, True])
def test_hooks_that_damaged_marks_still_name_stay_whatever_is_asked(root: Path, now: bool) -> None:
    install(root)
    text = damage(root / CONF)
    said: list[str] = []

    with pytest.raises(GuardError, match=r"slurm\.conf:\d+ names /usr/libexec/slurm-guard/") as caught:
        take_back(Places(None, root), Removal(now=now), said.append)

    assert caught.value.slug == "uninstall-waiting"
    assert any("out by hand" in sentence for sentence in said)
    assert (root / CONF).read_bytes() == text
    assert (root / HOOK).exists()


def test_when_a_person_took_the_lines_out_the_rest_goes(root: Path) -> None:
    install(root)
    damage(root / CONF)
    with pytest.raises(GuardError):
        uninstall(root)
    (root / CONF).write_bytes(b"ClusterName=a\n")

    assert uninstall(root) == []

    assert not (root / HOOK).exists()


def test_the_dry_run_says_that_the_hooks_would_stay(root: Path) -> None:
    install(root)
    damage(root / CONF)

    outlook = prepare_uninstall(Places(None, root))

    assert "slurm.conf:" in outlook.waiting
    assert not any("is removed" in step.sentence for step in outlook.steps)


def test_a_file_to_edit_that_was_named_is_read_wherever_it_lies(tmp_path: Path) -> None:
    conf = tmp_path / "mine.conf"
    conf.write_text("ClusterName=a\nProlog=/s/p\n")
    where = Places(tmp_path / "opt")
    carry_out(prepare(Asked("all", where, conf, "23.11")), lambda _: None)
    conf.write_bytes(conf.read_bytes().replace(END, b"", 1))

    with pytest.raises(GuardError, match=r"mine\.conf:\d+ names"):
        take_back(where, Removal(now=True), lambda _: None)

    assert (tmp_path / "opt/libexec/slurm-guard/site/prolog").exists()


def test_an_include_that_leads_nowhere_hides_no_line(root: Path) -> None:
    install(root)
    damage(root / CONF)
    (root / "etc/slurm/site.conf").unlink()

    with pytest.raises(GuardError, match="names /usr/libexec"):
        take_back(Places(None, root), Removal(now=True), lambda _: None)


def test_what_is_purged_is_never_said_to_stay(root: Path) -> None:
    install(root)
    (root / "etc/slurm-guard/guard.toml").write_text("[report]\nsite = 'a'\n")
    (root / "etc/slurm-guard/slurm-guard-hooks.conf").write_text("GPU_DEVICES=/dev/x\n")
    (root / "var/lib/slurm-guard/lake").mkdir()
    changed = root / "usr/libexec/slurm-guard/epilog/slurm-guard-epilog"
    changed.write_text("mine\n")
    said: list[str] = []

    outlook = prepare_uninstall(Places(None, root), purge=True)
    left = take_back(Places(None, root), Removal(purge=True), said.append)

    assert left == [f"{changed} was changed by somebody since: it stays"]
    stays = [line for line in said if "stays" in line]
    assert all(Path(line.split()[0]).exists() for line in stays), stays
    for name in ("etc/slurm-guard", "var/lib/slurm-guard/lake"):
        assert f"{root / name} is removed with all that was in it" in said
        assert root / name in outlook.purged
        assert not (root / name).exists()
    assert not any("etc/slurm-guard" in step.sentence for step in outlook.steps)


def test_a_link_is_not_purged_and_that_is_said(root: Path, tmp_path: Path) -> None:
    install(root)
    (tmp_path / "big").mkdir()
    lake = root / "var/lib/slurm-guard/lake"
    lake.symlink_to(tmp_path / "big")

    left = uninstall(root, purge=True)

    assert left == [f"{lake} is a link: it stays, and so does what it leads to"]
    assert (tmp_path / "big").is_dir()


def test_to_purge_afterwards_names_what_is_left_to_be_removed_by_hand(root: Path) -> None:
    install(root)
    (root / "etc/slurm-guard/guard.toml").write_text("[report]\nsite = 'a'\n")
    (root / "var/lib/slurm-guard/lake").mkdir()
    assert uninstall(root) == []

    for deed in (
        lambda: uninstall(root, purge=True),
        lambda: prepare_uninstall(Places(None, root), purge=True),
    ):
        with pytest.raises(GuardError, match="install-none") as caught:
            deed()
        where = f"{root}/var/lib/slurm-guard/lake {root}/etc/slurm-guard"
        assert caught.value.hint.endswith(f"rm -r {where}")
    with pytest.raises(GuardError) as caught:
        uninstall(root)
    assert "rm -r" not in caught.value.hint


@pytest.mark.parametrize("what", [CONF, HOOK, str(Path(HOOK).parent)])
def test_what_chattr_holds_is_found_before_half_of_it_is_taken_off(root: Path, what: str) -> None:
    install(root)
    before, held = tree(root), str(root / what)
    if subprocess.run(["chattr", "+i", held], capture_output=True, check=False).returncode != 0:
        pytest.skip("chattr marks nothing here: a file system without marks, or no CAP_LINUX_IMMUTABLE")
    try:
        outlook = prepare_uninstall(Places(None, root))
        with pytest.raises(GuardError) as caught:
            uninstall(root)
    finally:
        subprocess.run(["chattr", "-i", held], check=True)

    assert caught.value.sentence == f"nothing was changed: {held} is marked immutable or append-only"
    assert f"`chattr -ia {held}` takes it off" in caught.value.hint
    assert caught.value.hint in outlook.waiting
    assert tree(root) == before
    assert uninstall(root) == []
