"""Faults of the sampler as a process: killed, stopped, no fork, a clock that is set, a node that reboots."""

import errno
import os
import signal
import time
import uuid
from functools import partial

from tests.rig import procs
from tests.rig.faults.case import Case, Fault
from tests.rig.faults.evidence import read_seals
from tests.rig.layout import RigError

CLOCK_STEP_S = 120.0
STOP_S = 10.0


def _stop(case: Case) -> None:
    case.begin()
    case.bench.signal(signal.SIGSTOP)
    try:
        time.sleep(STOP_S)
    finally:
        case.bench.signal(signal.SIGCONT)
    case.finish()


def _no_fork_in_prolog(case: Case) -> None:
    """The prolog cannot fork, so that no sampler is started: until the next prolog can."""
    bench = case.bench
    bench.end_sampler()
    bench.site.hooks.set(fork_errno=errno.EAGAIN)
    case.begin()
    case.must(bench.site.hooks.count("n_forks_refused") > 0, "the prolog forked nothing")
    bench.site.hooks.ease()
    bench.revive()
    case.finish()


def _no_fork_in_sampler(case: Case) -> None:
    """No helper and no reader can be started, from mid-job until after the end."""
    bench = case.bench
    case.begin(wait_s=3.0)
    bench.site.sampler.set(fork_errno=errno.EAGAIN)
    case.finish()
    bench.wait_told("reader-failed", case.since_at, 15.0, case.job)
    case.must(bench.site.sampler.count("n_forks_refused") > 0, "the sampler forked nothing")
    bench.site.sampler.ease()


def _helper_hangs(case: Case) -> None:
    """A stat of a user's file does not come back: the child that is at it stays until it is killed."""
    bench = case.bench
    case.begin(wait_s=2.0)
    bench.site.sampler.set(stat_hangs=True)
    bench.wait_told("helper-hung", case.since_at, 30.0)
    case.must(bench.site.sampler.count("n_stats_hung") > 0, "no child hung")
    bench.site.sampler.ease()
    case.finish()


def _reader_killed(case: Case) -> None:
    """As the kernel does when memory ends: KILL for the child that reads the run's logs."""
    bench = case.bench
    case.begin()
    killed: list[int] = []

    def kill() -> bool:
        for pid in bench.children("slurm_guard.progress.node"):
            if pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        return bool(killed)

    try:
        procs.wait_for("a reader to start", kill, 60.0, 0.01)
    except RigError:
        case.must(False, "no reader was seen")
    case.finish()
    bench.wait_told("reader-failed", case.since_at, 10.0, case.job)


def _clock(case: Case, step_s: float) -> None:
    """The wall clock of the sampler and its children is set, and 6 s later set right again."""
    page = case.bench.site.sampler
    case.begin()
    with case.unseen():  # what is written meanwhile bears another time
        page.set(clock_us=int(step_s * 1e6))
        time.sleep(6.0)
        case.must(page.count("n_clock") > 0, "nobody asked for the time")
        page.ease()
    case.finish()


def _reboot(case: Case) -> None:
    """A run dies with its node, without an epilog; on the node's next boot the witness is the first job."""
    bench = case.bench
    victim = bench.submit(case.seed + 5000)
    case.victims.append(victim)
    bench.wait_begun(victim)
    time.sleep(6.0)
    (bench.site.folder / "no-epilog").touch()
    bench.signal(signal.SIGKILL)
    bench.slurm("scancel", "--signal=KILL", "--full", str(victim.job))
    bench.wait_ended(victim, 30.0)
    bench.site.drop("no-epilog")
    bench.site.put("boot_id", f"{uuid.uuid4()}\n", 0o444)
    case.begin()
    case.finish()
    case.settle()
    if any(seal.get("ended_by") == "reboot" for seal in read_seals(bench.rig, bench.node, victim.job)):
        case.proofs.append(f"the run that the reboot cut, job {victim.job}, is sealed: reboot")
    bench.end_sampler()
    bench.site.drop("boot_id")


def _switch(case: Case) -> None:
    site = case.bench.site
    case.begin()
    with case.unseen(case.bench.table_interval_s):
        (site.folder / "disabled").touch()
        time.sleep(6.0)
        site.drop("disabled")
    case.finish()


def _misspelt(case: Case) -> None:
    """One key of guard.toml is misspelt: the sampler cannot start, until it is mended."""
    bench = case.bench
    bench.end_sampler()
    bench.site.configure(misspell="sample_interval_s")
    case.begin(wait_s=6.0)
    case.must(bench.watch.pid() is None, "the sampler took the file")
    bench.site.configure()
    bench.revive()
    case.finish()


def _no_syslog(case: Case) -> None:
    """/dev/log has nobody who listens, and the hooks' socket is gone; the sampler is killed meanwhile."""
    bench = case.bench
    bench.site.stop_syslog()
    case.begin()
    bench.signal(signal.SIGKILL)
    time.sleep(1.0)
    bench.revive()
    case.finish()
    case.must(not (bench.site.folder / "log").exists(), "the socket is there")
    case.settle()
    bench.end_sampler()  # the next one finds the new socket at /dev/log


FAULTS = (
    Fault("stopped", "sampler", f"SIGSTOP for {STOP_S:.0f} s, then SIGCONT", _stop, ("event:stalled",)),
    Fault(
        "no-fork-prolog",
        "prolog",
        "fork fails with EAGAIN: no sampler is started",
        _no_fork_in_prolog,
        ("syslog:not started",),
    ),
    Fault(
        "no-fork-sampler",
        "sampler",
        "fork fails with EAGAIN: no helper, no reader",
        _no_fork_in_sampler,
        ("event:reader-failed",),
    ),
    Fault(
        "stat-hangs",
        "sampler",
        "stats of users' files do not come back, as on a file system whose server is gone",
        _helper_hangs,
        ("event:helper-hung",),
    ),
    Fault(
        "reader-killed",
        "sampler",
        "kill -9 of the reader of the run's logs",
        _reader_killed,
        ("event:reader-failed",),
    ),
    Fault(
        "clock-forward",
        "sampler",
        f"wall clock {CLOCK_STEP_S:.0f} s ahead for 6 s",
        partial(_clock, step_s=CLOCK_STEP_S),
        ("any",),
    ),
    Fault(
        "clock-back",
        "sampler",
        f"wall clock {CLOCK_STEP_S:.0f} s behind for 6 s",
        partial(_clock, step_s=-CLOCK_STEP_S),
        ("any",),
    ),
    Fault("reboot", "node", "a run dies with it; the next boot has another boot id", _reboot, ("proof",)),
    Fault("kill-switch", "node", "switched off for 6 s in mid-job", _switch, ("event:switched-off",)),
    Fault(
        "misspelt-key",
        "guard.toml",
        "a key of [node] misspelt until mid-job",
        _misspelt,
        ("syslog:sample_interval_s_",),
    ),
    Fault(
        "no-syslog", "/dev/log", "gone, while the sampler is killed", _no_syslog, ("event:sampler-started",)
    ),
)
