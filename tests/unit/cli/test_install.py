"""install, upgrade and uninstall as commands: what they print, and what they end with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slurm_guard.cli import app as cli
from slurm_guard.errors import GuardError
from slurm_guard.install import facts
from slurm_guard.install.change import Places
from slurm_guard.install.facts import Asked
from slurm_guard.install.files import Installation
from slurm_guard.install.session import prepare
from slurm_guard.install.show import plan_text
from tests.unit.install.image import asked, make_image, tree

MAIN = "from slurm_guard.cli.app import main; main()"


def run(*words: object) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-c", MAIN, *map(str, words)]
    return subprocess.run(
        argv, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"}
    )


def _invoke(*words: object) -> None:
    cli._register()
    CliRunner().invoke(cli.app, list(map(str, words)), catch_exceptions=False)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_image(tmp_path / "image")


def test_in_and_out_by_the_commands(image: Path) -> None:
    before = tree(image)
    words = ("--root", image, "--slurm-version", "23.11")

    dry = run("install", *words)
    assert (dry.returncode, tree(image)) == (0, before)
    assert "nothing was changed; --apply does it" in dry.stdout
    assert "+PrologFlags=Serial,Alloc\\r" in dry.stdout
    assert run("install", *words, "--apply").returncode == 0
    assert "all files are as they are to be" in run("upgrade", "--root", image).stdout
    assert "byte for byte" in run("uninstall", "--root", image).stdout
    done = run("uninstall", "--root", image, "--apply")

    assert (done.returncode, tree(image)) == (0, before)


def test_the_plan_as_json(image: Path) -> None:
    data = json.loads(run("install", "--root", image, "--slurm-version", "24.05", "--format", "json").stdout)

    assert (data["format"], data["role"], data["problems"]) == (1, "all", [])
    (conf,) = [row for row in data["changes"] if row["path"].endswith("slurm.conf")]
    assert conf["does"] == "change"
    assert "+Prolog=/usr/libexec/slurm-guard/prolog/slurm-guard-prolog" in conf["diff"]


def test_only_the_lines_for_slurm_conf(image: Path) -> None:
    done = run("install", "--root", image, "--slurm-version", "23.11", "--print-slurm-conf")

    lines = done.stdout.splitlines()
    assert all("=" in line for line in lines)
    assert any(line.startswith("PrologFlags=Serial,Alloc ") for line in lines)


@pytest.mark.parametrize(
    ("words", "slug", "code"),
    [
        (("install", "--root", "relative"), "install-path", 2),
        (("install", "--root", "/nowhere/at/all"), "install-path", 2),
        (("install", "--prefix", "/a/../b"), "install-path", 2),
        (("install", "--root", "/tmp", "--slurm-conf", "slurm.conf"), "install-path", 2),
        (("install", "--slurm-version", "new"), "slurm-version", 2),
        (("install", "--slurm-conf", "/nowhere.conf"), "slurm-conf-missing", 1),
        (("upgrade", "--prefix", "/nowhere"), "install-none", 1),
        (("uninstall", "--prefix", "/nowhere"), "install-none", 1),
    ],
)
def test_what_is_refused(words: tuple[str, ...], slug: str, code: int) -> None:
    done = run(*words)

    assert done.returncode == code
    assert f"slurm-guard: {slug}: " in done.stderr


@pytest.mark.parametrize(
    "odd", [" ", "#", "[", "]", "*", "?", "%", "'", '"', "\n", "=", "\\", "$", ",", ";", "\udcff"]
)
@pytest.mark.parametrize("more", [(), ("--apply",), ("--print-slurm-conf",)])
def test_a_prefix_that_slurm_or_cron_misreads_is_refused(
    tmp_path: Path, odd: str, more: tuple[str, ...]
) -> None:
    conf = tmp_path / "slurm.conf"
    conf.write_text("ClusterName=a\n")
    prefix = Path(f"{tmp_path}/p{odd}x")

    with pytest.raises(GuardError) as caught:
        _invoke("install", "--prefix", prefix, "--slurm-conf", conf, *more)

    assert (caught.value.slug, caught.value.exit_code) == ("install-path", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["slurm.conf"]
    assert conf.read_text() == "ClusterName=a\n"


def test_what_was_put_below_an_odd_prefix_by_an_earlier_release_can_be_taken_off(tmp_path: Path) -> None:
    with pytest.raises(GuardError, match="install-none"):
        _invoke("uninstall", "--prefix", tmp_path / "p x")


@pytest.mark.parametrize(("role", "n"), [("node", 1), ("head", 1), ("all", 2)])
def test_an_installation_at_a_path_that_cron_or_units_misread_is_a_problem(
    image: Path, role: str, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Path("/opt/slurm guard")
    monkeypatch.setattr(facts, "this_installation", lambda: Installation(odd, odd, odd, odd / "%"))

    found = [one.sentence for one in prepare(asked(image, role)).plan.problems if "misread" in one.sentence]

    assert len(found) == n  # the node's three are one path here


@pytest.mark.parametrize("path", ["/opt/slurm-guard-0.1.0~rc1/bin", "/home/jürgen/v_1/a+b@c"])
def test_a_usual_path_is_none(image: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Path(path)
    monkeypatch.setattr(facts, "this_installation", lambda: Installation(usual, usual, usual, usual))

    assert not [one for one in prepare(asked(image)).plan.problems if "misread" in one.sentence]
    prepare(Asked("all", Places(usual), None, "23.11", must_read=False))


def test_a_dry_run_with_problems_ends_with_1(image: Path) -> None:
    (image / "etc/slurm/slurm.conf").write_bytes(b"<<<<<<< HEAD\n")

    done = run("install", "--root", image)

    assert done.returncode == 1
    assert "problem: /etc/slurm/slurm.conf:1" in done.stdout
    assert done.stdout.endswith(
        "nothing was changed; --apply changes nothing either, before that is mended\n"
    )


@pytest.mark.parametrize("text", [b"Include gone.conf\n", b"<<<<<<< HEAD\n"])
def test_a_slurm_conf_that_is_left_alone_is_in_nobodys_way(image: Path, text: bytes) -> None:
    (image / "etc/slurm/slurm.conf").write_bytes(text)

    assert run("install", "--root", image).returncode == 1
    done = run("install", "--root", image, "--no-slurm-conf")
    print_only = run("install", "--root", image, "--print-slurm-conf")

    assert done.returncode == 0, done.stderr
    assert "note: " in done.stdout
    assert "slurm.conf:1" in done.stdout
    assert (print_only.returncode == 1) == (b"Include" in text)


def test_what_a_file_holds_does_not_reach_the_terminal(image: Path) -> None:
    (image / "etc/slurm/slurm.conf").write_bytes(
        b"# \xff\x1b]0;evil\x07 \xe2\x80\xae\nProlog=/s/\xe4\x1b[2Jp\n"
    )
    ready = prepare(asked(image))

    text = plan_text(ready.keeper.disk, ready.plan, ready.changes)

    assert "\x1b" not in text
    assert "\u202e" not in text
    text.encode()
