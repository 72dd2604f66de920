"""Tab in real shells: what typer's scripts offer, typed into a terminal."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slurm_guard import document
from tests.unit.report import builders

ROOT = Path(__file__).parents[2]
SHELLS = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}
# What an admin's login files do; bash needs nothing for a plain `complete`.
READY = {"bash": "PS1='$ '", "zsh": "PS1='$ '; autoload -Uz compinit; compinit -u -D"}
LONGEST_S = 30.0

pytestmark = pytest.mark.slow


class _Terminal:
    """A shell at a pseudo-terminal."""

    def __init__(self, shell: str, home: Path) -> None:
        env = {
            "PATH": f"{home}:/usr/bin:/bin",
            "HOME": str(home),
            "TERM": "dumb",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
        }
        self._child, self._fd = pty.fork()
        if self._child == 0:
            os.chdir(home)
            os.execvpe(shell, SHELLS[shell], env)
        self._seen = ""
        self.enter(READY[shell])

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def enter(self, line: str) -> None:
        """A line, and everything that it prints."""
        self.type(f"{line}; echo do''ne\n")
        self.wait("done")

    def wait(self, words: str) -> str:
        """Everything up to the words; fails when they do not come."""
        end = time.monotonic() + LONGEST_S
        while not re.search(words, self._seen):
            ready, _, _ = select.select([self._fd], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {words!r} in {self._seen[-800:]!r}")
            self._seen += os.read(self._fd, 65536).decode(errors="replace")
        seen, self._seen = self._seen, ""
        return seen

    def close(self) -> None:
        os.kill(self._child, 9)
        os.waitpid(self._child, 0)
        os.close(self._fd)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the program as it would stand on the PATH."""
    program = tmp_path / "slurm-guard"
    lines = ("import sys", "from slurm_guard.cli.app import main", "sys.argv[0] = 'slurm-guard'", "main()")
    program.write_text("\n".join((f"#!{sys.executable}", *lines, "")))
    program.chmod(0o755)
    return tmp_path


def _script(shell: str, home: Path) -> str:
    """As `slurm-guard --show-completion` prints it inside that shell."""
    done = subprocess.run(
        [shell, "-c", "slurm-guard --show-completion; true"],
        env={"PATH": f"{home}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_tab_completes_commands_options_and_values(shell: str, home: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = home / "completion"
    script.write_text(_script(shell, home))
    terminal = _Terminal(shell, home)
    try:
        terminal.enter(f". {script}")
        for typed, completed in (
            ("repo", r"slurm-guard report "),
            ("report --acc", r"slurm-guard report --account "),
            ("report --format ht", r"--format html "),
            ("report --verdict not-a", r"--verdict not-auditable "),
            ("checks parked", r"checks parked-allocation "),
        ):
            terminal.type(f"slurm-guard {typed}\t")
            terminal.wait(completed)
            terminal.type("\x15")  # away with the line
    finally:
        terminal.close()


def test_nights_are_offered_the_latest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from slurm_guard import config
    from slurm_guard.cli.complete import complete_night

    for day in ("2026-09-20", "2026-09-22", "2026-08-01"):
        (tmp_path / "reports" / day).mkdir(parents=True)
        (tmp_path / "reports" / day / "audit.json").write_text(document.to_json(builders.empty_night()))
    guard = tmp_path / "guard.toml"
    guard.write_text(f'[report]\npath = "{tmp_path}/reports"\n')
    monkeypatch.setattr(config, "DEFAULT_PATH", guard)

    assert complete_night("2026-09") == ["2026-09-22", "2026-09-20"]
    guard.write_text("[report\n")
    assert complete_night("") == []
