"""A slurm.conf that others may change is told, and one with other names is not split in silence."""

import json
import os
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.install.change import Places
from slurm_guard.install.facts import Asked
from slurm_guard.install.removal import Removal, prepare_uninstall, take_back
from slurm_guard.install.session import Prepared, carry_out, prepare
from slurm_guard.install.show import plan_json, plan_text
from tests.unit.install.image import install, make_image, tree

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="its owner is to be root")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "slurm.conf"
    path.write_text("ClusterName=a\n")
    path.chmod(0o644)
    return path


def look(conf: Path, role: str = "all") -> Prepared:
    return prepare(Asked(role, Places(conf.parent / "opt"), conf, "23.11"))


@root_only
@pytest.mark.parametrize(
    ("mode", "gid", "why"),
    [(0o666, 0, "may be written by everybody"), (0o664, 1234, "may be written by group 1234")],
)
def test_a_slurm_conf_that_others_may_write_is_a_warning_and_no_hindrance(
    conf: Path, mode: int, gid: int, why: str
) -> None:
    os.chown(conf, 0, gid)
    conf.chmod(mode)

    ready = look(conf)

    assert ready.plan.warnings == (
        f"{conf} {why}, and slurm.conf says what root runs on every node: `chmod go-w {conf}`",
    )
    assert f"\nwarning: {conf} {why}" in plan_text(ready.keeper.disk, ready.plan, ready.changes)
    assert json.loads(plan_json(ready.keeper.disk, ready.plan, ready.changes))["warnings"]
    assert carry_out(ready, lambda _: None) == []
    assert conf.stat().st_mode & 0o777 == mode


@root_only
def test_the_owner_is_root_or_slurms_user(conf: Path) -> None:
    os.chown(conf, 65534, 0)

    (warning,) = look(conf, "node").plan.warnings
    conf.write_text("SlurmUser=nobody\n")
    of_slurm = look(conf).plan.warnings

    assert warning.startswith(f"{conf} belongs to uid 65534")
    assert warning.endswith(f"`chown root: {conf}`")
    assert of_slurm == ()


@root_only
def test_included_files_and_folders_count_and_a_closed_one_is_nobodys_worry(conf: Path) -> None:
    conf.write_text("Include more/site.conf\n")
    (conf.parent / "more").mkdir()
    (conf.parent / "more/site.conf").write_text("# none\n")
    assert look(conf).plan.warnings == ()

    (conf.parent / "more").chmod(0o777)

    (warning,) = look(conf).plan.warnings
    assert warning.startswith(f"{conf.parent}/more may be written by everybody")


def test_a_slurm_conf_with_another_name_is_not_split(tmp_path: Path) -> None:
    root = make_image(tmp_path / "image")
    conf, other = root / "etc/slurm/slurm.conf", root / "etc/slurm/other.conf"
    other.hardlink_to(conf)
    before = tree(root)

    with pytest.raises(GuardError, match=r"slurm\.conf has 1 other name \(hard links\)"):
        install(root)

    assert tree(root) == before
    assert other.samefile(conf)


def test_uninstall_says_that_another_name_keeps_our_lines(tmp_path: Path) -> None:
    root = make_image(tmp_path / "image")
    install(root)
    conf, other = root / "etc/slurm/slurm.conf", root / "etc/slurm/other.conf"
    other.hardlink_to(conf)
    said: list[str] = []

    steps = prepare_uninstall(Places(None, root)).steps
    take_back(Places(None, root), Removal(), said.append)

    more = f"{conf} is as before, byte for byte; its other names (hard links) keep slurm-guard's lines"
    assert more in [step.sentence for step in steps]
    assert more in said
    assert b"slurm-guard" in other.read_bytes()
