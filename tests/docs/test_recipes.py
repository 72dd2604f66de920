"""The recipes of docs/configuration.md are right, and allow what they say and no more."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from slurm_guard.audit.net.policy import SITE, Ground, read_rules
from slurm_guard.config import load_config
from slurm_guard.model import Run
from tests.builders import World, run_of

MAIN = "from slurm_guard.cli.app import main; main()"
PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def _recipe(folder: Path) -> Path:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    path = folder / "guard.toml"
    path.write_text(block, "utf-8")
    return path


def _ground(path: Path, user: str, partition: str) -> Ground:
    run: Run = replace(run_of(World()), user=user, partition=partition)
    return Ground(read_rules(load_config(path).network, {}), {}, run, None)


def test_config_check_finds_nothing_to_say(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "config", "check", "--config", str(_recipe(tmp_path))],
        cwd=PAGE.parents[1],
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path}/guard.toml: right\n", "")


def test_the_recipes_allow_what_their_words_say(tmp_path: Path) -> None:
    path = _recipe(tmp_path)
    alice, carol = _ground(path, "alice", "interactive"), _ground(path, "carol", "batch")
    editor = "/usr/share/code/bin/code-tunnel"

    assert alice.tunnel("20.103.221.187:443", editor)
    assert not carol.tunnel("20.103.221.187:443", editor)
    assert not alice.tunnel("20.103.221.187:443", "/home/alice/code")
    assert carol.tunnel("192.0.2.70:50000", "/usr/sbin/sshd")
    assert carol.egress("203.0.113.5:3128") == SITE  # a tunnel through the proxy is not allowed by that
    assert not carol.tunnel("203.0.113.5:3128", "/usr/bin/ssh")
    assert (alice.egress("140.82.121.3:22"), carol.egress("140.82.121.3:22")) == (SITE, None)
