"""install, upgrade and uninstall as commands: what they print, and what they end with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slurm_guard.install.session import prepare
from slurm_guard.install.show import plan_text
from tests.unit.install.image import asked, make_image, tree

MAIN = "from slurm_guard.cli.app import main; main()"


def run(*words: object) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-c", MAIN, *map(str, words)]
    return subprocess.run(
        argv, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"}
    )


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
