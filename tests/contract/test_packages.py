"""Debian packages: two halves of one tree, which works wherever it lies and away from the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slurm_guard.report.render import METHOD

ROOT = Path(__file__).parents[2]
SITE = "opt/slurm-guard/lib/python3.*/site-packages"
pytestmark = [
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb: not a Debian"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("packages")
    words = [sys.executable, "-m", "tools.packages", "deb", "--out", str(out), "--epoch", "1700000000"]
    subprocess.run(
        words, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    return {path.name.partition("_")[0]: path for path in out.glob("*.deb")}


@pytest.fixture(scope="module")
def node(debs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The node's half, unpacked below a folder that it was not made for."""
    place = tmp_path_factory.mktemp("node half")
    subprocess.run(["dpkg-deb", "-x", str(debs["slurm-guard-node"]), str(place)], check=True)
    return place


def _names(deb: Path) -> set[str]:
    words = ["sh", "-c", 'dpkg-deb --fsys-tarfile "$0" | tar -t', str(deb)]  # some 200 MB, past this process
    listed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return {name.removeprefix("./") for name in listed.splitlines() if not name.endswith("/")}


def _run(place: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    program = place / "opt/slurm-guard/bin/slurm-guard"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(cwd or place), "LANG": "C.UTF-8"}
    return subprocess.run(
        [str(program), *words], cwd=cwd or place, env=env, capture_output=True, text=True, check=False
    )


def test_the_two_share_no_file_and_the_node_has_no_polars(debs: dict[str, Path]) -> None:
    node, head = _names(debs["slurm-guard-node"]), _names(debs["slurm-guard"])

    assert not node & head
    heavy = ("polars", "_polars_runtime", "jinja2", "css_inline")
    assert not [name for name in node if any(f"/site-packages/{word}" in name for word in heavy)]
    assert [name for name in head if name.endswith("/polars/__init__.py")]
    assert [name for name in node if name.endswith("/slurm_guard/share/prolog/slurm-guard-prolog")]
    assert "usr/share/man/man1/slurm-guard-report.1.gz" in node
    assert str(METHOD)[1:] in node
    assert "usr/share/doc/slurm-guard-node/docs/install.md" in node
    assert "usr/share/doc/slurm-guard-node/prolog/README.md" in node
    assert debs["slurm-guard-node"].stat().st_size < 20e6


def test_the_head_asks_for_its_own_node_half_and_for_the_python_that_it_was_made_with(
    debs: dict[str, Path],
) -> None:
    def field(name: str, key: str) -> str:
        said = subprocess.run(
            ["dpkg-deb", "-f", str(debs[name]), key], check=True, capture_output=True, text=True
        )
        return said.stdout.strip()

    assert field("slurm-guard", "Depends") == f"slurm-guard-node (= {field('slurm-guard-node', 'Version')})"
    assert "python3 (>= 3." in field("slurm-guard-node", "Depends")
    assert "python3 (<< 3." in field("slurm-guard-node", "Depends")


def test_its_scripts_are_shell_and_do_nothing_where_nothing_is_installed(
    debs: dict[str, Path], tmp_path: Path
) -> None:
    for name in debs:
        subprocess.run(["dpkg-deb", "-e", str(debs[name]), str(tmp_path / name)], check=True)

    for script, words in (
        ("slurm-guard-node/postinst", ["configure", "0.0.9-1"]),
        ("slurm-guard-node/prerm", ["remove"]),
        ("slurm-guard/prerm", ["remove"]),
    ):
        path = tmp_path / script
        subprocess.run(["sh", "-n", str(path)], check=True)
        if Path("/var/lib/slurm-guard/install/journal.json").exists():
            pytest.skip("slurm-guard is installed on this machine")
        done = subprocess.run([str(path), *words], check=False, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_nodes_half_works_wherever_it_lies_and_says_what_it_has_not(node: Path) -> None:
    version = _run(node, "--version")
    audit = _run(node, "audit")

    assert version.returncode == 0
    assert version.stdout.startswith("slurm-guard ")
    assert audit.returncode == 1
    assert "half: this installation is a node's half: polars" in audit.stderr
    assert "slurm-guard-crash" not in audit.stderr


def test_the_nodes_half_does_not_make_a_head(node: Path, tmp_path: Path) -> None:
    done = _run(node, "install", "--role", "head", "--root", str(tmp_path), "--no-slurm-conf")

    assert done.returncode == 1
    assert "problem: this installation is a node's half: css_inline, jinja2, polars not in it" in done.stdout


def test_it_names_no_folder_of_its_making_and_writes_nothing_into_itself(node: Path) -> None:
    before = sorted(path for path in node.rglob("*"))
    assert _run(node, "ship", "--help").returncode == 0

    assert sorted(path for path in node.rglob("*")) == before
    made_in = b"slurm-guard-packages-"
    assert not [path for path in before if path.is_file() and made_in in path.read_bytes()]
    (site,) = node.glob(SITE)
    assert not (site / "example.py").exists()


def test_hooks_of_the_package_write_a_ticket_with_the_systems_python(node: Path, tmp_path: Path) -> None:
    (site,) = node.glob(SITE)
    shim = tmp_path / "prolog" / "slurm-guard-prolog"
    shim.parent.mkdir()
    shutil.copy(site / "slurm_guard/share/prolog/slurm-guard-prolog", shim)
    settings = {
        "PYTHON": "/usr/bin/python3", "LIB": site, "RUN_DIR": tmp_path / "run",
        "SPOOL_DIR": tmp_path / "spool", "CLIENT_DIR": tmp_path / "progress",
        "START_SAMPLER": "no", "SYSLOG": tmp_path / "log",
    }  # fmt: skip
    (shim.parent / "slurm-guard-hooks.conf").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
    if os.getuid() != 0:
        pytest.skip("the shim believes a settings file of root's alone")
    env = {"SLURM_JOB_ID": "7", "SLURM_JOB_UID": "65534", "SLURMD_NODENAME": "n1", "SLURM_CLUSTER_NAME": "c"}

    done = subprocess.run([str(shim)], env=env, check=False, capture_output=True)

    assert done.returncode == 0
    assert list((tmp_path / "spool").rglob("*"))


def test_both_together_run_a_night(debs: dict[str, Path], node: Path, tmp_path: Path) -> None:
    place = tmp_path / "whole"
    shutil.copytree(node, place, symlinks=True)
    subprocess.run(["dpkg-deb", "-x", str(debs["slurm-guard"]), str(place)], check=True)

    done = _run(place, "demo", "--out", str(tmp_path / "night"), cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    (page,) = (tmp_path / "night" / "reports").glob("*/report.html")
    assert page.stat().st_size > 10_000
