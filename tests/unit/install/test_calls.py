"""The programs between Slurm and a site's own, run by a real shell."""

import signal
import subprocess
from pathlib import Path

import pytest

from slurm_guard.install.calls import folder_call, name_in, site_call


def program(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o755)
    return path


def run(path: Path, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run([str(path)], env=env or {}, capture_output=True, check=False)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return program(
        tmp_path / "our s", f"#!/bin/sh\necho ours >>'{tmp_path}/order'\necho noise\necho err >&2\nexit 0\n"
    )


@pytest.mark.parametrize("status", [0, 1, 3, 126, 255])
def test_the_sites_exit_status_is_its_own(ours: Path, tmp_path: Path, status: int) -> None:
    site = program(
        tmp_path / "it's", f"#!/bin/sh\necho site >>'{tmp_path}/order'\necho said\nexit {status}\n"
    )

    done = run(program(tmp_path / "call", site_call(ours, str(site), "Prolog")))

    assert (done.returncode, done.stdout, done.stderr) == (status, b"said\n", b"")
    assert (tmp_path / "order").read_text() == "ours\nsite\n"


def test_a_signal_and_the_process_are_the_sites_own(ours: Path, tmp_path: Path) -> None:
    site = program(tmp_path / "site", "#!/bin/sh\nkill -9 $$\n")

    assert run(program(tmp_path / "call", site_call(ours, str(site), "Epilog"))).returncode == -signal.SIGKILL


@pytest.mark.parametrize("key", ["Prolog", "TaskProlog"])
def test_ours_missing_or_failing_changes_nothing(tmp_path: Path, key: str) -> None:
    site = program(tmp_path / "site", "#!/bin/sh\necho export A=b\nexit 5\n")
    broken = program(tmp_path / "broken", "#!/bin/sh\nexit 9\n")

    for ours in (tmp_path / "gone", broken):
        done = run(program(tmp_path / "call", site_call(ours, str(site), key)))

        assert (done.returncode, done.stdout) == (5, b"export A=b\n")


def test_the_sites_program_missing_is_a_failure_as_before(ours: Path, tmp_path: Path) -> None:
    assert run(program(tmp_path / "call", site_call(ours, "/nowhere/p", "Prolog"))).returncode in (126, 127)


def test_what_a_task_prolog_prints_passes_through_after_ours(tmp_path: Path) -> None:
    ours = program(tmp_path / "ours", "#!/bin/sh\necho export SLURM_GUARD_PROGRESS=/p\n")
    site = program(tmp_path / "site", "#!/bin/sh\nprintf 'export A=1\\nprint hello\\nunset B'\n")

    done = run(program(tmp_path / "call", site_call(ours, str(site), "TaskProlog")))

    assert done.stdout == b"export SLURM_GUARD_PROGRESS=/p\nexport A=1\nprint hello\nunset B"


@pytest.mark.parametrize(
    "value", ["$(touch EVIL)", "`touch EVIL`", "';touch EVIL;'", "a\nb", "x" * 100_000, "\\"]
)
def test_no_word_of_a_job_is_run(ours: Path, tmp_path: Path, value: str) -> None:
    site = program(tmp_path / "site", '#!/bin/sh\nprintf %s "$SLURM_JOB_COMMENT"\n')
    env = {
        "SLURM_JOB_COMMENT": value,
        "ENV": value,
        "BASH_ENV": value,
        "IFS": "/",
        "PS4": value,
        "CDPATH": "/",
    }

    done = run(program(tmp_path / "call", site_call(ours, str(site), "Prolog")), env)

    assert (done.returncode, done.stdout) == (0, value.encode())
    assert not (tmp_path / "EVIL").exists()
    assert not Path("EVIL").exists()


def test_in_a_folder_the_program_ends_with_0_whatever_happens(ours: Path, tmp_path: Path) -> None:
    for path in (ours, tmp_path / "gone", program(tmp_path / "bad", "#!/bin/sh\nexit 7\n"), tmp_path):
        done = run(program(tmp_path / "call", folder_call(path)))

        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("pattern", ["/s/[ab]", "/s/?", "/s/.*"])
def test_no_name_is_made_up_where_none_fits(pattern: str) -> None:
    assert name_in(pattern) is None
