"""The program as it is started: version, help, and a disk that is full in the middle of it."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from slurm_guard import __version__, document
from tests.unit.report import builders

MAIN = "from slurm_guard.cli.app import main; main()"


def _run(
    *args: object, room: int | None = None, stdout: int | None = None
) -> subprocess.CompletedProcess[str]:
    """`room`: bytes that a file may have; more is EFBIG, met where a full disk is, and by nobody else."""

    def limit() -> None:
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, args)],
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=limit,
    )


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    path = tmp_path / "audit.json"
    path.write_text(document.to_json(builders.night()))
    return path


def test_the_version_is_told() -> None:
    done = _run("--version")

    assert (done.returncode, done.stdout) == (0, f"slurm-guard {__version__}\n")


def test_words_in_brackets_stay_in_the_help() -> None:
    assert "[audit], [network] and [report] from" in " ".join(_run("demo", "--help").stdout.split())


def test_a_full_disk_is_a_sentence_and_no_crash_report(
    audit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # the demo leaves its half-made homes there
    commands: list[tuple[tuple[object, ...], str]] = [
        (("report", "--audit", audit, "--format", "html", "-o", tmp_path / "page.html"), "output-unwritable"),
        (
            ("mail", "--audit", audit, "--to", "a@example.org", "--outbox", tmp_path / "o"),
            "outbox-unwritable",
        ),
        (("demo", "--out", tmp_path / "demo"), "demo-out|no-room"),  # by where root's demo puts its homes
    ]
    for command, slug in commands:
        done = _run(*command, room=0)

        assert done.returncode == 1
        assert re.match(f"slurm-guard: (?:{slug}): ", done.stderr), done.stderr
        assert "unexpected" not in done.stderr
        assert len(done.stderr.splitlines()) == 2
    left = [path for path in tmp_path.rglob(".*") if path.is_file() and path.name != ".slurm-guard-demo"]
    assert left == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("form", ["text", "csv"])
def test_a_full_standard_output_is_a_sentence(audit: Path, form: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = _run("report", "--audit", audit, "--format", form, stdout=full.fileno())

    assert done.returncode == 1
    assert done.stderr.startswith("slurm-guard: no-room: "), done.stderr
    assert len(done.stderr.splitlines()) == 2
