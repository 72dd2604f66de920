"""What hooks leave alone: paths of the job's owner, a sampler that hangs; and what they do when alone."""

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.hook_shim import ENV, NODE, ROOT, Shim, end_process, fields_of, is_running, stub_sampler

SILENT = (0, b"", b"")
# Every event of the interpreter that has a text in it, and the calls of `os` that have no event of their own
AUDITED = """
import os, sys
told = []
def spell(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
sys.addaudithook(lambda name, args: told.extend(spell(arg) for arg in args if isinstance(arg, (str, bytes))))
def watched(real):
    def call(*args, **kwargs):
        told.extend(spell(arg) for arg in args if isinstance(arg, (str, bytes, os.PathLike)))
        return real(*args, **kwargs)
    return call
for name in ("stat", "lstat", "access", "readlink", "statvfs", "listdir", "scandir", "open", "mkdir", "chown",
             "chmod", "rename", "unlink", "link", "symlink", "getxattr", "listxattr", "truncate", "utime"):
    setattr(os, name, watched(getattr(os, name)))
leave = os._exit
def tell(status):
    with real_open({out!r}, "a") as out:  # the epilog's child, and then the hook itself
        out.write("\\n".join([*told, ""]))
    leave(status)
real_open, os._exit = open, tell
sys.path.insert(0, {lib!r})
from slurm_guard.hooks import boundary
boundary.run({args!r})
"""


@pytest.fixture
def shim(tmp_path: Path) -> Iterator[Shim]:
    shim = Shim(tmp_path)
    yield shim
    shim.close()


def _paths_of(shim: Shim, hook: str, env: dict[str, str]) -> str:
    """All text that the hook handed to the system, one a line."""
    out = shim.folder / "told"
    names = ("run_dir", "spool_dir", "client_dir")
    args = [hook, *[f"{name}={getattr(shim, name)}" for name in names], "start_sampler=no"]
    args += [
        f"syslog={shim.log_path}",
        f"disabled={shim.folder / 'disabled'}",
        f"gpu_devices={shim.folder}/gpu",
    ]
    code = AUDITED.format(out=str(out), lib=str(ROOT), args=args)
    subprocess.run([shim.settings["PYTHON"], "-IS", "-c", code], env=env, check=True, timeout=30)
    return out.read_text()


@pytest.mark.parametrize("hook", ["prolog", "epilog"])
def test_no_path_of_the_jobs_owner_is_ever_looked_at(shim: Shim, hook: str) -> None:
    """A root process that follows a user's path can be made to hang, or to open what it should not."""
    home = shim.folder / "home-of-the-user"
    home.mkdir()
    mine = (
        "WORK_DIR",
        "STDOUT",
        "STDERR",
        "STDIN",
        "COMMENT",
        "EXTRA",
        "ACCOUNT",
        "PARTITION",
        "RESERVATION",
    )
    env = {**ENV, **{f"SLURM_JOB_{name}": f"{home}/{name.lower()}" for name in mine}}
    env |= {
        "SLURM_CONF": f"{home}/slurm.conf",
        "HOME": str(home),
        "TMPDIR": str(home),
        "SLURM_JOB_USER": str(home),
    }

    told = _paths_of(shim, hook, env)

    assert str(shim.spool_dir) in told  # the recorder hears
    assert str(home) not in told
    (written,) = shim.files("tickets" if hook == "prolog" else "ends")
    assert fields_of(written)["comment"] == f"{home}/comment"


def test_the_processes_of_the_owner_are_looked_at_through_proc_alone(shim: Shim) -> None:
    """The epilog reads where their descriptors point to, and never goes there."""
    uid = 65534 if os.getuid() == 0 else os.getuid()
    secret = shim.folder / "gpu-of-the-user"
    secret.touch(0o666)
    options = {"user": uid, "group": uid, "extra_groups": []} if os.getuid() == 0 else {}
    for folder in [shim.folder, *shim.folder.parents]:
        if os.getuid() == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    with secret.open() as held:
        sleeper = subprocess.Popen(["/bin/sleep", "60"], stdin=held, **options)  # type: ignore[call-overload]
    try:
        told = _paths_of(shim, "epilog", {**ENV, "SLURM_JOB_UID": str(uid)})
    finally:
        end_process(sleeper.pid)
        sleeper.wait()

    assert f"/proc/{sleeper.pid}/fd/0" in told
    assert str(secret) not in told


# -- no child to be had

NO_CHILD = """
import sys
sys.path.insert(0, {lib!r})
from slurm_guard.hooks import boundary
boundary.run({args!r})
"""


@pytest.mark.root
def test_a_fork_that_fails_in_the_prolog_is_status_0_a_trace_and_a_ticket(shim: Shim) -> None:
    def no_forks() -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # of a user: root is not bound by it

    for folder in [shim.folder, *shim.folder.parents]:
        folder.chmod(folder.stat().st_mode | 0o011)
    args = ["prolog"]
    for name in ("run_dir", "spool_dir", "client_dir"):
        getattr(shim, name).mkdir()
        os.chown(getattr(shim, name), 65534, 65534)
        args.append(f"{name}={getattr(shim, name)}")
    shim.log_path.chmod(0o666)
    args += [f"syslog={shim.log_path}", f"disabled={shim.folder}/no", "sampler_python=/bin/true"]
    code = NO_CHILD.format(lib=str(ROOT), args=args)
    python = [shim.settings["PYTHON"], "-IS", "-c", code]
    ids = {"SLURM_JOB_UID": "65534", "SLURM_JOB_GID": "65534"}

    done = subprocess.run(
        python, env={**ENV, **ids}, capture_output=True, timeout=30,
        user=65534, group=65534, extra_groups=[], preexec_fn=no_forks,
    )  # fmt: skip

    if b"ModuleNotFoundError" in done.stderr or b"PermissionError" in done.stderr:
        pytest.skip("the checkout cannot be read by an ordinary user")
    assert (done.returncode, done.stdout, done.stderr) == SILENT
    heard = shim.heard()
    assert [line for line in heard if "no child to be had" in line], heard
    assert len(shim.files("tickets")) == 1
    assert shim.sampler_pid() is None


# -- a sampler that lives and does not go round


def _boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _pid_line(pid: int) -> str:
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return f"{pid} {ticks}\n"


@pytest.mark.parametrize("start_sampler", ["yes", "no"])
def test_a_sampler_that_has_not_gone_round_for_long_gets_one_line_and_no_twin(
    shim: Shim, start_sampler: str
) -> None:
    """Stopped with SIGSTOP: its pid and its lock look as alive as ever."""
    shim.set(START_SAMPLER=start_sampler, SAMPLER_PYTHON=str(stub_sampler(shim.folder)))
    folder = shim.run_dir / NODE
    folder.mkdir(parents=True)
    shim.run_dir.chmod(0o711)
    (folder / "sampler.pid").write_text(_pid_line(1))  # init: alive since the boot
    (folder / "beat").write_text("1.5\n")
    if _boot_s() < 600:
        pytest.skip("the machine has just booted: nothing can have been silent for long")

    try:
        assert shim.run("prolog") == SILENT
        (line,) = shim.heard()
        assert "has not gone round for" in line
        assert shim.sampler_pid() == 1
        assert not (shim.folder / "started").exists()
    finally:
        (folder / "sampler.pid").unlink()  # or the fixture would end the process of that name


@pytest.mark.parametrize("beat", ["now", "", "garbage", "nan", "inf", "-inf", "1e400", "9" * 80, None])
def test_a_fresh_beat_and_an_odd_one_say_nothing(shim: Shim, beat: str | None) -> None:
    folder = shim.run_dir / NODE
    folder.mkdir(parents=True)
    shim.run_dir.chmod(0o711)
    (folder / "sampler.pid").write_text(_pid_line(1))
    if beat is not None:
        (folder / "beat").write_text(f"{_boot_s() - 10}" if beat == "now" else beat)

    try:
        assert shim.run("prolog") == SILENT
        assert shim.heard() == []
    finally:
        (folder / "sampler.pid").unlink()


def test_a_new_sampler_is_not_judged_by_its_predecessors_beat(shim: Shim) -> None:
    shim.set(START_SAMPLER="yes", SAMPLER_PYTHON=str(stub_sampler(shim.folder)))
    (shim.run_dir / NODE).mkdir(parents=True)
    shim.run_dir.chmod(0o711)
    (shim.run_dir / NODE / "beat").write_text("1.0\n")

    assert shim.run("prolog") == SILENT
    pid = shim.sampler_pid()
    assert pid is not None
    assert is_running(pid)
    assert shim.heard() == []


# -- the switch, the new fields


@pytest.mark.parametrize("which", [0, 1])
def test_any_of_several_switches_stops_the_hooks(shim: Shim, which: int) -> None:
    switches = [shim.folder / "off here", shim.folder / "off-there"]
    shim.set(DISABLED=":".join(str(switch) for switch in switches))
    assert shim.run("prolog") == SILENT
    assert len(shim.files("tickets")) == 1
    switches[which].touch()

    assert shim.run("prolog") == shim.run("epilog") == SILENT
    assert len(shim.files("tickets")) == 1
    assert shim.files("ends") == []
    assert [str(switches[which]) in line for line in shim.heard()] == [True, True]


def test_ticket_and_end_mark_carry_the_boot_clock_and_what_tells_runs_apart(shim: Shim) -> None:
    env = {**ENV, "SLURM_JOB_START_TIME": "1780000000", "SLURM_JOB_SLUID": "sEKNKTV3WPV500"}
    env |= {
        "CUDA_VISIBLE_DEVICES": "0,2",
        "SLURM_JOB_OVERSUBSCRIBE": "YES",
        "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "50",
    }
    before_s = _boot_s()
    shim.run("prolog", env)
    shim.run("epilog", {**env, "SLURM_JOB_COMMENT": "guard:task=other"})
    after_s = _boot_s()

    ticket, end = fields_of(shim.files("tickets")[0]), fields_of(shim.files("ends")[0])
    assert before_s <= ticket["boot_s"] < end["boot_s"] <= after_s
    assert (ticket["visible"], ticket["sharing"]) == ("0,2", ["mps"])
    assert (end["slurm_start_at"], end["sluid"]) == (1_780_000_000.0, "sEKNKTV3WPV500")
    assert None not in (ticket["intent_sha256"], end["intent_sha256"])
    assert ticket["intent_sha256"] != end["intent_sha256"]


def test_an_unchanged_intent_has_the_same_hash_at_both_ends_whatever_its_bytes(shim: Shim) -> None:
    env: dict[bytes, bytes] = {name.encode(): value.encode() for name, value in ENV.items()}
    env[b"SLURM_JOB_COMMENT"] = b"\xff\xfe" + b"x" * 100_000
    shim.run("prolog", env)
    shim.run("epilog", env)

    ticket, end = fields_of(shim.files("tickets")[0]), fields_of(shim.files("ends")[0])
    assert ticket["intent_sha256"] == end["intent_sha256"] is not None


def test_visible_devices_of_any_length_are_bounded(shim: Shim) -> None:
    assert shim.run("prolog", {**ENV, "CUDA_VISIBLE_DEVICES": "MIG-" + "a" * 90_000}) == SILENT

    assert len(fields_of(shim.files("tickets")[0])["visible"]) == 4096


# What a user's process can do to whoever reads its descriptors: no signal but KILL ends the wait.
HANGS = """
import sys
sys.path.insert(0, {lib!r})
import _signal, time
from slurm_guard.hooks import boundary, end
def hang(*args):
    _signal.pthread_sigmask(_signal.SIG_BLOCK, range(1, _signal.NSIG))
    time.sleep(20)
end._holds_gpu = hang
boundary.run({args!r})
"""


def test_a_process_whose_descriptors_cannot_be_read_costs_the_epilog_a_word_and_not_its_mark(
    shim: Shim,
) -> None:
    uid = 65534 if os.getuid() == 0 else os.getuid()
    args = ["epilog", *[f"{name}={getattr(shim, name)}" for name in ("run_dir", "spool_dir", "client_dir")]]
    args += ["start_sampler=no", f"syslog={shim.log_path}", f"disabled={shim.folder / 'disabled'}"]
    code = HANGS.format(lib=str(ROOT), args=args)
    since_s = time.monotonic()

    subprocess.run(
        [shim.settings["PYTHON"], "-IS", "-c", code],
        env={**ENV, "SLURM_JOB_UID": str(uid)},
        check=True,
        timeout=10,
    )

    assert time.monotonic() - since_s < 2.0
    (mark,) = shim.files("ends")
    assert fields_of(mark)["alive"] is None
    assert "no answer" in fields_of(mark)["why"]["alive"]
