"""Off a machine whose Slurm runs: the hooks stay as long as anything names them. `scontrol` is a fake."""

import os
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.install import live
from slurm_guard.install.change import Action, Places
from slurm_guard.install.facts import Asked
from slurm_guard.install.removal import Removal, take_back
from slurm_guard.install.session import carry_out, prepare


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """slurm.conf, and a Slurm that runs with what it read at its last reconfigure."""
    (tmp_path / "slurm.conf").write_text("ClusterName=a\nProlog=/s/p\n")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "scontrol"
    program.write_text(
        f"""#!/bin/sh
cd {tmp_path}
case $1 in
--version) echo slurm 23.11.4 ;;
reconfigure) [ -e broken ] && {{ echo "slurm_reconfigure error: no" >&2; exit 1; }}; cp slurm.conf running ;;
show) [ -e dead ] && exit 1; sed 's/=/   = /' running ;;
esac
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    monkeypatch.setattr(live, "GRACE_S", 0.0)
    monkeypatch.setattr(live, "WAIT_S", 1.0)
    asked = Asked("all", Places(tmp_path / "opt"), tmp_path / "slurm.conf")
    assert carry_out(prepare(asked), lambda _: None) == []
    live.reconfigure()
    return tmp_path


def hooks(site: Path) -> bool:
    return (site / "opt/libexec/slurm-guard/prolog/slurm-guard-prolog").exists()


def off(site: Path, **how: bool) -> None:
    assert take_back(Places(site / "opt"), Removal(**how), lambda _: None) == []


def test_the_version_is_asked_of_slurm(site: Path) -> None:
    assert "/opt/libexec/slurm-guard/site/prolog" in (site / "slurm.conf").read_text()
    assert live.running_lines(Places(site / "opt")) != []


def test_with_a_reconfigure_it_goes_in_one_step(site: Path) -> None:
    off(site, reconfigure=True)

    assert not (site / "opt/libexec").exists()
    assert (site / "slurm.conf").read_text() == "ClusterName=a\nProlog=/s/p\n"


def test_without_one_the_hooks_wait_for_it(site: Path) -> None:
    with pytest.raises(GuardError) as caught:
        off(site)

    assert caught.value.slug == "uninstall-waiting"
    assert hooks(site)
    assert (site / "slurm.conf").read_text() == "ClusterName=a\nProlog=/s/p\n"
    with pytest.raises(GuardError, match="install-half-undone"):
        prepare(Asked("all", Places(site / "opt"), site / "slurm.conf"))
    live.reconfigure()
    off(site)
    assert not (site / "opt/libexec").exists()


def test_when_the_reconfigure_fails_the_hooks_stay(site: Path) -> None:
    (site / "broken").touch()

    with pytest.raises(GuardError, match="slurm_reconfigure error: no"):
        off(site, reconfigure=True)

    assert hooks(site)


def test_a_slurm_that_does_not_answer_is_no_leave_to_remove(site: Path) -> None:
    (site / "dead").touch()

    for how in ({}, {"reconfigure": True}):
        with pytest.raises(GuardError, match="does not say what it runs"):
            off(site, **how)
    assert hooks(site)
    off(site, now=True)
    assert not hooks(site)


def test_a_line_that_somebody_wrote_by_hand_keeps_the_hooks(site: Path) -> None:
    with (site / "slurm.conf").open("a") as conf:
        conf.write(f"Epilog={site}/opt/libexec/slurm-guard/epilog/slurm-guard-epilog\n")

    with pytest.raises(GuardError, match=r"slurm\.conf:3 names"):
        off(site, reconfigure=True)

    assert hooks(site)


def test_a_program_that_fails_is_told_and_the_next_one_runs(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    actions = [
        Action(("sh", "-c", "echo words >&2; exit 3"), "one"),
        Action(("/nowhere/program",), "two"),
        Action(("touch", str(mark)), "three"),
    ]

    failed = live.run_actions(actions)

    assert [sentence.split("failed: ")[1] for sentence in failed] == ["words", "not there, or no answer"]
    assert mark.exists()
