"""Faults of Slurm's own making: daemons that go, jobs that come twice, epilogs that come twice or never."""

import json
import subprocess
import time
from pathlib import Path

from tests.rig import procs, services, users
from tests.rig.faults.case import Case, Fault
from tests.rig.layout import CHECKOUT, RigError

# Slurm begins a requeued job once its old credential has expired and the scheduler comes round: that took
# more than 120 s beside other work on the machine.
REQUEUED_S = 240.0


def _slurmd_restart(case: Case) -> None:
    case.begin()
    bench, before = case.bench, case.bench.watch.pid()
    procs.kill(bench.rig, f"slurmd.{bench.node}")
    time.sleep(1.0)
    services.start_slurmd(bench.rig, bench.node)
    case.finish()
    if before is not None and bench.watch.pid() == before:
        case.proofs.append("same sampler before and after")


def _slurmctld_restart(case: Case) -> None:
    case.begin(wait_s=9.0)
    rig = case.bench.rig
    procs.kill(rig, "slurmctld")
    time.sleep(1.0)
    procs.start(rig, "slurmctld", ["slurmctld", "-D"])
    procs.wait_for("slurmctld", lambda: services.is_answering(rig), 60.0, 0.5)
    case.proofs.append("slurmctld answers again")


def _requeue(case: Case) -> None:
    case.begin()
    assert case.who is not None
    _requeue_now(case)
    procs.wait_for("two tickets", lambda: len(_tickets(case)) == 2, 5.0)
    case.finish()


def _requeue_now(case: Case) -> None:
    """Requeued and begun again, after Slurm's wait for the old credential to expire (slurmconf.py: 30 s)."""
    bench, who = case.bench, case.who
    assert who is not None
    out = bench.rig.home(who.user) / f"slurm-{who.job}.out"
    bench.slurm("scontrol", "requeue", str(who.job))
    procs.wait_for("the job to wait again", lambda: bench.state(who.job) == "PENDING", 40.0, 0.3)
    out.unlink(missing_ok=True)  # the second run's words alone
    case.begun_at = bench.wait_begun(who, REQUEUED_S)


def _tickets(case: Case) -> list[Path]:
    return list((case.bench.spool / "tickets").glob(f"*_{case.job}_*.json"))


def _epilog_twice(case: Case) -> None:
    case.begin()
    case.finish()
    _run_epilog(case, _kept_env(case))


def _stale_epilog(case: Case) -> None:
    """The first run's epilog comes again while the second run trains: it must not end it."""
    case.begin()
    _requeue_now(case)
    env = _kept_env(case)
    time.sleep(3.0)
    before = set(_ends(case))
    _run_epilog(case, env)
    marks = [json.loads(path.read_text("utf-8")) for path in set(_ends(case)) - before]
    first = min((json.loads(path.read_text("utf-8")) for path in _tickets(case)), key=lambda one: one["at"])
    if [mark["run"] for mark in marks] == [first["run"]]:
        case.proofs.append("its mark names the first run")  # 23.02 and later tell when a run began
    case.finish()


def _ends(case: Case) -> list[Path]:
    return list((case.bench.spool / "ends").glob(f"{case.job}_*"))


def _kept_env(case: Case) -> dict[str, str]:
    """What slurmd gave to the epilog of this job, as the dispatcher wrote it down."""
    path = case.bench.site.folder / f"epilog.env.{case.job}"
    procs.wait_for("the epilog's environment", path.exists, 20.0)
    words = path.read_bytes().decode("utf-8", "surrogateescape").split("\0")
    return dict(word.partition("=")[::2] for word in words if "=" in word)


def _run_epilog(case: Case, env: dict[str, str]) -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [str(case.bench.site.libexec / "slurm-guard-epilog")],
        env=env,
        cwd="/",
        check=False,
        timeout=30,
        capture_output=True,
    )
    took_s = time.monotonic() - begun
    case.must(done.returncode == 0 and done.stdout == b"", f"epilog by hand ended with {done.returncode}")
    case.proofs.append(f"epilog by hand: exit 0 in {took_s:.2f} s")


def _no_epilog(case: Case) -> None:
    """The site's epilog ends before ours is called."""
    (case.bench.site.folder / "no-epilog").touch()
    case.begin()
    case.finish()
    marks = list((case.bench.spool / "ends").glob(f"{case.job}_*"))
    case.must(not marks, "our epilog ran all the same")


def _suspend(case: Case) -> None:
    case.begin()
    bench = case.bench
    with case.unseen():  # a stopped job does no work, and Slurm does not charge it
        bench.slurm("scontrol", "suspend", str(case.job))
        time.sleep(6.0)
        bench.slurm("scontrol", "resume", str(case.job))
    case.finish()


def _edit(case: Case) -> None:
    """The job's owner declares another intent while it runs."""
    case.begin()
    assert case.who is not None
    argv = [
        *users.as_user(case.who.user),
        "scontrol",
        "update",
        f"JobId={case.job}",
        "Comment=guard:task=idle",
    ]
    procs.call(case.bench.rig, argv)
    case.finish()


def _fork_bomb(case: Case) -> None:
    """More processes than the sampler's table takes."""
    case.bench.end_sampler()
    case.bench.site.configure(max_procs=256)
    case.begin("i=0; while [ $i -lt 300 ]; do sleep 22 & i=$((i+1)); done", 4.0)
    n_sleeping = sum(_comm(path) == "sleep" for path in Path("/proc").iterdir() if path.name.isdigit())
    case.must(n_sleeping >= 300, f"only {n_sleeping} processes sleep")
    case.finish()


def _comm(path: Path) -> str:
    try:
        return (path / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _no_python(case: Case) -> None:
    """The hooks' interpreter is gone: an upgrade of the system took it."""
    case.bench.site.settle(PYTHON="/nonexistent/python3")
    with case.unseen():  # no hook, no ticket: the run belongs to nobody
        case.begin()
        case.finish()


def _two_samplers(case: Case) -> None:
    case.begin()
    bench, site = case.bench, case.bench.site
    before = bench.watch.pid()
    entry = "slurm_guard/hooks/sampler_main.py"
    argv = [str(site.folder / "sampler-python"), "-I", str(CHECKOUT / entry)]
    argv += ["--config", str(site.folder / "guard.toml"), "--node", bench.node]
    env = {**procs.base_env(bench.rig), procs.MARK: bench.rig.root}
    try:
        done = subprocess.run(argv, env=env, cwd="/", timeout=15, check=False, capture_output=True)
        case.proofs.append(f"the second one left with status {done.returncode}")
    except subprocess.TimeoutExpired as error:
        raise RigError("the second sampler stayed") from error
    case.must(bench.watch.pid() == before, "the first sampler is no longer the one that is named")
    case.finish()


FAULTS = (
    Fault(
        "slurmd-restart",
        "slurmd",
        "killed and started again in mid-job",
        _slurmd_restart,
        ("none", "proof"),
        False,
    ),
    Fault(
        "slurmctld-restart",
        "slurmctld",
        "killed and started again in mid-job",
        _slurmctld_restart,
        ("none",),
        False,
    ),
    Fault(
        "requeue",
        "scontrol",
        "requeued and begun again: two runs of one job",
        _requeue,
        ("seal:epilog", "seal:superseded"),
        False,
    ),
    Fault(
        "epilog-again",
        "epilog",
        "run a second time by hand, same environment",
        _epilog_twice,
        ("proof",),
        False,
    ),
    Fault(
        "epilog-stale",
        "epilog",
        "the first run's comes again in the second",
        _stale_epilog,
        ("event:end-doubted", "proof:names the first run"),
        False,
    ),
    Fault(
        "epilog-never",
        "epilog",
        "the site's own ends before ours is called",
        _no_epilog,
        ("seal:processes-gone",),
    ),
    Fault("suspend", "scontrol", "suspended for 6 s and resumed", _suspend, ("event:run-suspended",), False),
    Fault(
        "comment-edited",
        "scontrol",
        "the owner declares another intent",
        _edit,
        ("event:intent-edited",),
        False,
    ),
    Fault("two-samplers", "sampler", "a second one started by hand", _two_samplers, ("proof",), False),
    Fault(
        "fork-bomb", "job", "300 sleeping processes, room for 256", _fork_bomb, ("event:processes-truncated",)
    ),
    Fault("hook-no-python", "prolog", "its interpreter is missing", _no_python, ("syslog:did not run",)),
)
