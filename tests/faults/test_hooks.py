"""Law 1: a hook never fails, delays or changes a job, whatever it is given and whatever is broken."""

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard import wire
from tests.faults.hook_shim import ENV, NODE, ROOT, Shim, fields_of

SILENT = (0, b"", b"")
HOSTILE = [
    b"plain",
    b"",
    b"line\nbreak\r\n<0>forged[1]: line",
    b"$(touch /tmp/guard-was-here) `id` ; ' \" \\ %n %s",
    b"../../../../etc/passwd",
    b"\xff\xfe invalid \xc3",
    "ﬁ😀‮\x1b[31m\x07".encode(),
    b"<script>alert(1)</script>,=cmd|'/c calc'!A1",
    b"x" * 100_000,
    b"\x01" * 100_000,
]


@pytest.fixture
def shim(tmp_path: Path) -> Iterator[Shim]:
    shim = Shim(tmp_path)
    yield shim
    shim.close()


def test_prolog_writes_one_ticket_in_both_places_and_says_nothing(shim: Shim) -> None:
    assert shim.run("prolog") == SILENT

    (ticket,) = shim.files("tickets")
    (copy,) = shim.files("tickets", spool=False)
    body = fields_of(ticket)
    assert copy.read_bytes() == ticket.read_bytes()
    assert (body["job_id"], body["node"], body["cluster"], body["gpus"]) == (77, NODE, "c1", [0, 2])
    assert ticket.stem == wire.stem(body["run"])
    assert body["comment"] == "guard:task=pretrain"
    assert Path(body["progress_path"]).read_bytes() == b""
    assert shim.heard() == []


def test_epilog_names_the_run_of_the_newest_ticket(shim: Shim) -> None:
    shim.run("prolog")
    shim.run("prolog", {**ENV, "SLURM_JOB_ID": "7"})
    assert shim.run("epilog") == SILENT

    (end,) = shim.files("ends")
    ticket = next(p for p in shim.files("tickets") if "_77_" in p.name)
    assert fields_of(end)["run"] == fields_of(ticket)["run"]


def test_requeue_gives_two_tickets_and_the_end_names_the_second(shim: Shim) -> None:
    shim.run("prolog")
    shim.run("prolog", {**ENV, "SLURM_JOB_RESTART_COUNT": "1"})
    shim.run("epilog", {**ENV, "SLURM_JOB_RESTART_COUNT": "2"})

    first, second = (fields_of(path) for path in shim.files("tickets"))
    assert first["run"] != second["run"]
    assert fields_of(shim.files("ends")[0])["run"] == second["run"]


def test_epilog_run_again_after_the_next_start_names_its_own_run(shim: Shim) -> None:
    first, second = ({**ENV, "SLURM_JOB_START_TIME": str(at)} for at in (1_780_000_000, 1_780_000_100))
    forged = 'x","slurm_start_at":1780000000.0,"'
    shim.run("prolog", first)
    shim.run("prolog", {**second, "SLURM_JOB_COMMENT": forged, "SLURM_JOB_EXTRA": forged})
    shim.run("epilog", first)
    shim.run("epilog", second)
    shim.run("epilog", {**ENV, "SLURM_JOB_START_TIME": "5"})

    runs = [fields_of(path)["run"] for path in shim.files("tickets")]
    assert [fields_of(path)["run"] for path in shim.files("ends")] == [*runs, runs[1]]


def test_epilog_without_a_ticket_says_so(shim: Shim) -> None:
    assert shim.run("epilog") == SILENT

    body = fields_of(shim.files("ends")[0])
    assert body["run"] is None
    assert "no ticket" in body["why"]["run"]


@pytest.mark.parametrize("hook", ["prolog", "epilog"])
def test_unset_environment_leaves_one_trace_and_no_file(shim: Shim, hook: str) -> None:
    assert shim.run(hook, {}) == SILENT

    assert [line for line in shim.heard() if "no usable job id" in line]
    assert not shim.spool_dir.exists()


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_every_variable_hostile_still_gives_a_bounded_valid_ticket(shim: Shim, value: bytes) -> None:
    names = ["JOB_USER", "JOB_ACCOUNT", "JOB_PARTITION", "JOB_WORK_DIR", "JOB_STDOUT", "JOB_STDERR"]
    names += ["JOB_COMMENT", "JOB_EXTRA", "NODELIST", "JOB_SLUID", "JOB_GPUS", "JOB_UID", "JOB_GID"]
    names += ["JOB_RESTART_COUNT", "JOB_START_TIME", "HET_JOB_ID", "CLUSTER_NAME"]
    env: dict[bytes, bytes] = {f"SLURM_{name}".encode(): value for name in names}
    env |= {b"SLURMD_NODENAME": value, b"SLURM_JOB_ID": b"77"}

    assert shim.run("prolog", env) == SILENT
    assert shim.run("epilog", env) == SILENT

    (ticket,) = shim.spool_dir.glob("*/tickets/*.json")
    body = fields_of(ticket)
    assert ticket.stat().st_size <= wire.MAX_LINE
    assert body["comment"] == wire.clip(value.decode("utf-8", "surrogateescape"))
    assert ticket.is_relative_to(shim.spool_dir.resolve())
    assert not Path("/tmp/guard-was-here").exists()
    assert all("\n" not in line and line.isascii() for line in shim.heard())


@pytest.mark.parametrize("job_id", ["", "0", "-1", "1e3", " 7", "7 ", "٣", "1" * 30, "../7", "$(id)", "0x7"])
def test_odd_job_id_writes_nothing(shim: Shim, job_id: str) -> None:
    assert shim.run("prolog", {**ENV, "SLURM_JOB_ID": job_id}) == SILENT

    assert len(shim.heard()) == 1
    assert not shim.spool_dir.exists()
    assert not shim.client_dir.exists()


def test_missing_syslog_hurts_nobody(shim: Shim) -> None:
    shim.set(SYSLOG=str(shim.folder / "no-such-log"))

    assert shim.run("prolog", {}) == SILENT


def test_kill_switch_stops_the_hook_with_one_line(shim: Shim) -> None:
    Path(shim.settings["DISABLED"]).touch()

    assert shim.run("prolog") == SILENT
    assert not shim.run_dir.exists()
    (line,) = shim.heard()
    assert "switched off" in line


def test_unusable_spool_leaves_the_copy_for_the_sampler_and_one_line(shim: Shim) -> None:
    shim.spool_dir.write_text("a file where the folder should be")

    assert shim.run("prolog") == SILENT
    assert len(shim.files("tickets", spool=False)) == 1
    (line,) = shim.heard()
    assert "Not a directory" in line


def test_folder_that_everybody_may_write_is_refused(shim: Shim) -> None:
    shim.client_dir.mkdir()
    shim.client_dir.chmod(0o777)

    assert shim.run("prolog") == SILENT
    body = fields_of(shim.files("tickets")[0])
    assert body["progress_path"] is None
    assert "root" in body["why"]["progress_path"]


def test_no_space_for_any_file_is_two_lines_and_no_half_file(shim: Shim) -> None:
    def no_bytes() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    assert shim.run("prolog", preexec_fn=no_bytes) == SILENT
    assert len([line for line in shim.heard() if "File too large" in line]) == 2
    assert [p for p in shim.folder.rglob("*") if p.suffix in {".tmp", ".json"}] == []


@pytest.mark.root
@pytest.mark.parametrize(
    ("options", "words"), [("mode=750,size=4k", "No space left"), ("mode=750,ro", "Read-only")]
)
def test_full_and_read_only_disks_are_one_line_each(shim: Shim, options: str, words: str) -> None:
    shim.spool_dir.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(shim.spool_dir)]).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        if "size" in options:
            (shim.spool_dir / "ballast").write_bytes(b"x" * 4096)

        assert shim.run("prolog") == SILENT
        assert len(shim.files("tickets", spool=False)) == 1
        assert len([line for line in shim.heard() if words in line]) == 1
    finally:
        subprocess.run(["umount", str(shim.spool_dir)], check=True)


HANG = """
import os, sys
sys.path.insert(0, {lib!r})
from slurm_guard.hooks import boundary, ticket
real, fifo, stubborn = ticket.write_file, {fifo!r}, {stubborn}
def hang(place, *rest):
    if not place.durable:
        return real(place, *rest)
    while True:
        try:
            os.open(fifo, os.O_RDONLY)  # nobody will ever write
        except BaseException:
            if not stubborn:
                raise
ticket.write_file = hang
boundary.run(["prolog", "run_dir={run}", "spool_dir={spool}", "client_dir={client}", "start_sampler=no",
              "syslog={log}", "disabled={log}.no"])
"""


@pytest.mark.parametrize("stubborn", [False, True])
def test_hanging_spool_ends_after_two_seconds_with_a_trace(shim: Shim, stubborn: bool) -> None:
    fifo = shim.folder / "fifo"
    os.mkfifo(fifo)
    code = HANG.format(
        lib=str(ROOT),
        fifo=str(fifo),
        stubborn=stubborn,
        run=shim.run_dir,
        spool=shim.spool_dir,
        client=shim.client_dir,
        log=shim.log_path,
    )

    begin_s = time.monotonic()
    done = subprocess.run([shim.settings["PYTHON"], "-IS", "-c", code], env=ENV, timeout=20)
    took_s = time.monotonic() - begin_s

    assert done.returncode == 0
    assert 1.9 < took_s < 4
    assert len(shim.files("tickets", spool=False)) == 1
    assert stubborn or "gave up after 2 s" in shim.heard()[0]


def test_network_snapshot_is_there_with_the_ticket(shim: Shim) -> None:
    shim.run("prolog")

    net = fields_of(shim.files("tickets")[0])["net"]
    assert list(net) == list(wire.NetState._fields)
    assert net["n_listen"] is not None
    assert "lo" in net["interfaces"]


def test_where_no_sampler_runs_each_hook_says_so(shim: Shim) -> None:
    """START_SAMPLER=no is for systemd; a dead service must not be silent."""
    for hook in ("prolog", "epilog"):
        assert shim.run(hook)[0] == 0
        (line,) = shim.heard(of_sampler=True)
        assert line.startswith("no sampler runs on this node")
