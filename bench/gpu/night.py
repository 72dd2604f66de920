"""A night on a real GPU: hooks, sampler and jobs of an ordinary user are real, Slurm is played (slurmd.py).

`python -m bench.gpu night --out FOLDER` as root, on a machine with an NVIDIA GPU, PyTorch, CuPy and
transformers. It leaves the spool, accounting's rows, what truly ran and the raw readings; `judge` audits
them, on any machine."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench import _usage
from bench.gpu import slurmd
from bench.gpu.jobs import Job, make_jobs
from slurm_guard.sampler.nvml import NvmlReader

_ROOT = Path(__file__).resolve().parents[2]
_TRACE_HZ = 10.0


class Order(NamedTuple):
    """Which night. `production`: the default time scales instead of the rig's, and the sampler's cost is
    watched beside the first job; `only`: names of jobs, all where it is empty."""

    name: str
    seconds: float
    only: list[str]
    production: bool


def record(out: Path, folder: Path, user: str, order: Order) -> int:
    """Run the night and leave it in `out`; a line a job. Returns 1 when a job's own program failed."""
    site = _prepare(folder, user, order.production)
    say = f"control groups: {site.cgroups}" if site.cgroups else "no control groups: slurmstepd's children"
    print(say, flush=True)
    unit_ms = _calibrate(site)
    print(f"a unit alone, ms: {unit_ms}", flush=True)
    jobs = [job for job in make_jobs(order.name, order.seconds) if not order.only or job.name in order.only]
    known: dict[str, Any] = {"set": order.name, "unit_ms": unit_ms, "gpu": _first_gpu(), "jobs": []}
    with _traced(out / "trace.jsonl.gz"), _watched(site, order.production) as busy:
        time.sleep(3)
        for number, job in enumerate(jobs, 9001):
            known["jobs"].append(_run(site, number, job, unit_ms, order.seconds + 90))
            _keep(site, out, known)
        time.sleep(7)  # the last run's end is believed after its grace
        known["sampler"] = {**_stop_sampler(site), **busy}
    _keep(site, out, known)
    return 1 if any(job["status"] for job in known["jobs"]) else 0


def _run(
    site: slurmd.Site, number: int, job: Job, unit_ms: dict[str, float], limit_s: float
) -> dict[str, Any]:
    words, beside = _commands(site, job, number, unit_ms)
    done = slurmd.run_job(site, number, (job.name, job.task), words, beside, limit_s)
    log = site.folder / "home" / f"{number}.out"
    tail = log.read_text("utf-8", "replace")[-300:] if done.status else ""
    print(f"{job.name}: status {done.status}, {done.end_at - done.start_at} s {tail}", flush=True)
    return {**done._asdict(), "unit": job.unit}


def _first_gpu() -> dict[str, Any] | None:
    reader = NvmlReader()
    gpus = reader.gpus()
    reader.close()
    return gpus[0]._asdict() if gpus else None


def _commands(
    site: slurmd.Site, job: Job, number: int, unit_ms: dict[str, float]
) -> tuple[list[str], list[str] | None]:
    home = site.folder / "home"
    known = {name: f"{ms:.4f}" for name, ms in unit_ms.items()}
    log = ["--log", f"{home}/{number}.jsonl"] if job.words[0] != "trainer" else []
    tail = ["--truth", f"{site.folder}/truth/{number}.jsonl", "--seed", str(number)]

    def words(given: list[str]) -> list[str]:
        filled = [word.format(home=home, **known) for word in given]
        return [site.python, f"{site.folder}/work.py", *filled, *tail]

    first = [*words(job.words), *log]
    if job.beside is None:
        return first, None
    wait_s = float(job.words[job.words.index("--seconds") + 1]) / 3
    inner = " ".join(words(job.beside))
    return first, ["sh", "-c", f"sleep {wait_s:.1f}; exec {inner}"]


def _prepare(folder: Path, user: str, production: bool) -> slurmd.Site:
    """The folders with the owners that a site gives them, and a copy of the package that users can read."""
    owner = pwd.getpwnam(user)
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("home", "truth", "libexec", "lib", "etc", "spool", "run", "progress"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    for name in ("home", "truth"):
        os.chown(folder / name, owner.pw_uid, owner.pw_gid)
    shutil.copytree(_ROOT / "slurm_guard", folder / "lib" / "slurm_guard")
    shutil.copyfile(_ROOT / "bench" / "gpu" / "work.py", folder / "work.py")
    for shim in ("prolog/slurm-guard-prolog", "epilog/slurm-guard-epilog"):
        shutil.copyfile(_ROOT / shim, folder / "libexec" / Path(shim).name)
        (folder / "libexec" / Path(shim).name).chmod(0o755)
    (folder / "etc" / "guard.toml").write_text(_guard_toml(folder, production), "utf-8")
    base = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
    settings = {
        "PYTHON": base,
        "LIB": f"{folder}/lib",
        "RUN_DIR": f"{folder}/run",
        "SPOOL_DIR": f"{folder}/spool",
        "CLIENT_DIR": f"{folder}/progress",
        "CONFIG": f"{folder}/etc/guard.toml",
        "SAMPLER_PYTHON": sys.executable,
        "SAMPLER_LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
        "SYSLOG": f"{folder}/log",
        "DISABLED": f"{folder}/etc/disabled",
    }
    lines = "".join(f"{name}={value}\n" for name, value in settings.items() if value)
    (folder / "libexec" / "slurm-guard-hooks.conf").write_text(lines, "utf-8")
    (folder / "libexec" / "slurm-guard-hooks.conf").chmod(0o644)
    return slurmd.Site(folder, user, sys.executable, folder / "libexec", slurmd.find_cgroups(folder))


def _guard_toml(folder: Path, production: bool) -> str:
    """The rig's time scales (tests/rig/guardconf.py): a job of a minute stands for one of some hours."""
    node: dict[str, Any] = {"run_dir": f"{folder}/run", "spool_dir": f"{folder}/spool"}
    if not production:
        node |= {"sample_interval_s": 0.25, "window_s": 2.5, "table_interval_s": 1.0, "file_interval_s": 2.0}
        node |= {"segment_s": 30.0, "end_grace_s": 5.0}
    audit = {"least_gpu_h": 0.001, "silence_s": 15.0, "parked_s": 30.0, "startup_s": 30.0, "slack_s": 3.0}
    parts = {"node": node, "progress": {"client_dir": f"{folder}/progress"}, "audit": audit}
    lines = []
    for section, values in parts.items():
        lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def _calibrate(site: slurmd.Site) -> dict[str, float]:
    """Milliseconds of a unit of each kind of other work on the idle GPU, measured as the jobs' user."""
    words = [site.python, str(site.folder / "work.py"), "calibrate"]
    owner = pwd.getpwnam(site.user)
    done = subprocess.run(
        words,
        user=owner.pw_uid,
        group=owner.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        cwd=site.folder / "home",
        env={**os.environ, "HOME": str(site.folder / "home")},
        check=False,
        timeout=120,
    )
    if done.returncode != 0:
        raise RuntimeError(f"calibrate failed: {done.stderr[-1500:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextlib.contextmanager
def _traced(out: Path) -> Iterator[None]:
    words = [sys.executable, "-m", "bench.gpu.trace", str(out), str(_TRACE_HZ)]
    tracer = subprocess.Popen(words, cwd=_ROOT)
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            tracer.wait(5)
        tracer.kill()


@contextlib.contextmanager
def _watched(site: slurmd.Site, wanted: bool) -> Iterator[dict[str, Any]]:
    """What the sampler costs beside a job, from ten seconds after its start on; filled in when known."""
    found: dict[str, Any] = {}

    def watch() -> None:
        until_s = time.monotonic() + 60
        while (pid := _sampler(site)) is None and time.monotonic() < until_s:
            time.sleep(0.2)
        if pid is not None:
            found["beside_a_job"] = _usage.watch(pid, 10.0, 20.0)._asdict()

    thread = threading.Thread(target=watch, daemon=True)
    if wanted:
        thread.start()
    yield found


def _sampler(site: slurmd.Site) -> int | None:
    """Its process id; null before the first prolog."""
    file = site.folder / "run" / slurmd.NODE / "sampler.pid"
    return int(file.read_text().split()[0]) if file.exists() else None


def _stop_sampler(site: slurmd.Site) -> dict[str, Any]:
    """As systemd would: SIGTERM, and its last words are written. Its cost until then, with all its
    processes."""
    pid = _sampler(site)
    if pid is None:
        return {"alive": False}
    seen = _usage.watch(pid, 0.0, 5.0)  # nothing runs any more: at rest
    found = {"alive": True, "at_rest": seen._asdict(), **_spent(pid)}
    os.kill(pid, signal.SIGTERM)
    time.sleep(2)
    return found


def _spent(pid: int) -> dict[str, float]:
    """CPU seconds since its start, of the sampler and its processes, and the seconds that it lived."""
    cells = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    started_s = int(cells[19]) / os.sysconf("SC_CLK_TCK")
    return {"cpu_s": _usage.cpu_s(pid), "lived_s": time.clock_gettime(time.CLOCK_BOOTTIME) - started_s}


def _keep(site: slurmd.Site, out: Path, known: dict[str, Any]) -> None:
    """What a judge needs, in one archive; written after each job, so that a cut-off night leaves its part."""
    ran = [slurmd.Ran(**{name: job[name] for name in slurmd.Ran._fields}) for job in known["jobs"]]
    (out / "sacct.txt").write_text(slurmd.sacct_text(site, ran, "nvidia"), "utf-8")
    (out / "night.json").write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    with tarfile.open(out / "night.tar.gz", "w:gz") as archive:
        for name in ("spool", "truth", "etc", "run"):
            archive.add(site.folder / name, name, filter=_plain)
        for log in sorted((site.folder / "home").iterdir()):
            if log.is_file() and log.stat().st_size < 4 << 20:
                archive.add(log, f"home/{log.name}")


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return member if member.isfile() or member.isdir() else None
