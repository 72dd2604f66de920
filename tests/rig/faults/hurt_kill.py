"""Faults that kill the sampler: in mid-job, in the middle of a write, while it writes a run's end."""

import signal
import time
from functools import partial

from tests.rig import procs
from tests.rig.faults.case import Case, Fault
from tests.rig.faults.evidence import said_by
from tests.rig.layout import RigError


def _kill(case: Case) -> None:
    case.begin()
    case.bench.signal(signal.SIGKILL)
    time.sleep(2.0)
    case.bench.revive()
    case.finish()


def _kill_at_write(case: Case, k: int) -> None:
    """In the middle of the k-th write to the spool from here: half of its bytes are in the file."""
    case.begin()
    _die_at(case, k)
    case.finish()


def _kill_at_first_write(case: Case) -> None:
    """The first write after the prolog: with a new run, the head of its segment."""
    case.bench.site.sampler.set(kill_at=1)
    case.submit()
    _await_death(case)
    case.finish()


def _kill_at_seal(case: Case, k: int) -> None:
    """While the run's end is written: last window, tail, seal."""
    case.begin(wait_s=1.0)
    procs.wait_for("the witness's last words", lambda: _is_done(case), 90.0, 0.05)
    _die_at(case, k)
    case.finish()


def _is_done(case: Case) -> bool:
    assert case.who is not None
    lines = said_by(case.bench.rig, case.who.user, case.who.job)
    return bool(lines) and " done after " in lines[-1]


def _die_at(case: Case, k: int) -> None:
    case.bench.site.sampler.set(kill_at=k)
    _await_death(case)


def _await_death(case: Case) -> None:
    page = case.bench.site.sampler
    try:
        procs.wait_for("the write at which it dies", lambda: page.count("n_kills") > 0, 30.0, 0.05)
    except RigError:
        case.must(False, "that many writes never came")
    page.ease()
    time.sleep(1.0)
    case.bench.revive()


FAULTS = (
    Fault(
        "kill", "sampler", "kill -9 in mid-job, 2 s until the next prolog", _kill, ("event:sampler-started",)
    ),
    Fault(
        "kill-first-write",
        "sampler",
        "kill -9 in the first write after the prolog",
        _kill_at_first_write,
        ("event:sampler-started",),
    ),
    Fault(
        "kill-2nd-write",
        "sampler",
        "kill -9 in the 2nd write in mid-job",
        partial(_kill_at_write, k=2),
        ("event:sampler-started",),
    ),
    Fault(
        "kill-5th-write",
        "sampler",
        "kill -9 in the 5th write in mid-job",
        partial(_kill_at_write, k=5),
        ("event:sampler-started",),
    ),
    Fault(
        "kill-at-end",
        "sampler",
        "kill -9 in the 2nd write after the job's last line",
        partial(_kill_at_seal, k=2),
        ("event:sampler-started",),
    ),
    Fault(
        "kill-at-seal",
        "sampler",
        "kill -9 in the 4th write after the job's last line",
        partial(_kill_at_seal, k=4),
        ("event:sampler-started",),
    ),
)
