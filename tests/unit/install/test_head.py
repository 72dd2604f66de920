"""The head's part: not without the head's half, and a chain of cron's that goes on where systemd's does."""

import subprocess
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.install import checks, files
from slurm_guard.install.change import Places
from slurm_guard.install.session import prepare
from tests.unit.install.image import asked, install, make_image, tree


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where only slurm-guard-node is installed."""
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name in ("polars", "jinja2") else name)


@pytest.mark.usefixtures("half")
@pytest.mark.parametrize("role", ["head", "all"])
def test_a_nodes_half_is_no_head_and_says_so_before(tmp_path: Path, role: str) -> None:
    root = make_image(tmp_path / "image")
    before = tree(root)

    with pytest.raises(GuardError, match=r"half: jinja2, polars not in it.*--role " + role):
        install(root, role)

    assert tree(root) == before


@pytest.mark.usefixtures("half")
def test_a_node_needs_no_more_than_its_half(tmp_path: Path) -> None:
    install(make_image(tmp_path / "image"), "node")


@pytest.mark.usefixtures("half")
def test_of_an_image_its_own_half_counts(tmp_path: Path) -> None:
    root = make_image(tmp_path / "image")
    lib = Places(None, root).disk(files.this_installation().lib)
    for name in ("polars", "jinja2"):
        (lib / name).mkdir(parents=True)

    assert prepare(asked(root, "head")).plan.problems == ()


@pytest.mark.parametrize(
    ("collect", "audit", "called"),
    [
        (0, 0, ["collect", "audit", "mail --send"]),
        (0, 3, ["collect", "audit", "mail --send"]),  # no job with GPUs that day: SuccessExitStatus=3
        (0, 1, ["collect", "audit"]),
        (1, 0, ["collect"]),
    ],
)
def test_crons_night_goes_on_where_systemds_does(
    tmp_path: Path, collect: int, audit: int, called: list[str]
) -> None:
    program = tmp_path / "slurm-guard"
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/called\n'
        f"case $1 in collect) exit {collect};; audit) exit {audit};; esac\n"
    )
    program.chmod(0o755)
    have = files.Installation(Path("/l"), Path("/p"), Path("/p"), program)
    line = files.cron_line(have).splitlines()[-1].split(None, 6)[-1]

    done = subprocess.run(["/bin/sh", "-c", line], check=False)

    assert (tmp_path / "called").read_text().splitlines() == called
    assert (done.returncode == 0) == (called[-1] == "mail --send")
    assert "SuccessExitStatus=3" in files.packed("slurm-guard-audit.service")
