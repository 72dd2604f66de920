"""What can be done to one node: to its sampler, its hooks, its boards, its jobs."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.rig import procs, users
from tests.rig.faults.evidence import read_told, said_by
from tests.rig.faults.site import Site
from tests.rig.gpu.build import SOURCE as NVML
from tests.rig.guardconf import make_config
from tests.rig.layout import USERS, Rig, RigError
from tests.rig.submit import job_env, submit

STEPS = 40
WORK_S = 0.45  # of one step; the whole loop takes about 20 s
_LOOK_S = 0.1
_SCRIPT = Path(__file__).resolve().parent / "witness.sbatch"


class Witness(NamedTuple):
    """An ordinary user's job on the node while the fault is there."""

    job: int
    seed: int
    user: str
    submitted_at: float


class Watch(threading.Thread):
    """Notes when the node's sampler was not there, or was stopped, from outside."""

    def __init__(self, rig: Rig, node: str) -> None:
        super().__init__(daemon=True)
        self._pid_file = rig.path / "run" / node / "sampler.pid"
        self.down: list[tuple[float, float]] = []
        self.over = threading.Event()

    def run(self) -> None:
        """Until `over`."""
        since_at: float | None = None
        while not self.over.wait(_LOOK_S):
            up, now = self.is_up(), time.time()
            if not up and since_at is None:
                since_at = now - _LOOK_S
                self.down.append((since_at, now))
            elif not up:
                self.down[-1] = (self.down[-1][0], now)
            elif since_at is not None:
                self.down[-1] = (self.down[-1][0], now)
                since_at = None

    def pid(self) -> int | None:
        """The sampler's; null: none lives."""
        with contextlib.suppress(OSError, ValueError):
            pid, ticks = (int(word) for word in self._pid_file.read_text("ascii").split())
            return pid if procs.start_ticks(pid) == ticks else None
        return None

    def is_up(self) -> bool:
        """Alive and not stopped."""
        pid = self.pid()
        with contextlib.suppress(OSError):
            stat = b"" if pid is None else Path(f"/proc/{pid}/stat").read_bytes()
            return bool(stat) and stat.rpartition(b")")[2].split()[0] != b"T"
        return False


class Bench:
    """One node under test, with everything that can be done to it."""

    store_lock = threading.Lock()  # one lake for all nodes

    def __init__(self, rig: Rig, site: Site) -> None:
        self.rig, self.site, self.node = rig, site, site.node
        self.knobs_file = rig.gpu_dir(self.node) / "knobs"
        self.table_interval_s = make_config(rig).node.table_interval_s
        self.reopen_s = 5.0  # a spool that refused is tried again after this (sampler/writer.py)
        self.look_again_s = 30.0  # … and a driver that was gone (sampler/nvml.py)
        self.spool, self.run_dir = rig.path / "spool" / self.node, rig.path / "run" / self.node
        self.watch = Watch(rig, self.node)
        self.watch.start()

    # -- jobs

    def submit(self, seed: int, beside: str = "", steps: int = STEPS) -> Witness:
        """A witness on this node, as an ordinary user."""
        user = USERS[seed % 2]
        env = {"RIG_BESIDE": beside} if beside else {}
        options = [f"--nodelist={self.node}", "--gres=gpu:1"]
        args = ["--seed", str(seed), "--steps", str(steps), "--work", str(WORK_S)]
        at = time.time()
        return Witness(submit(self.rig, str(_SCRIPT), user, args, env, options), seed, user, at)

    def begun_at(self, who: Witness) -> float | None:
        """When the job's own first line was written, by its own clock; null: not yet."""
        for line in said_by(self.rig, who.user, who.job):
            if line.startswith("begin "):
                return float(line.split()[1])
        return None

    def wait_begun(self, who: Witness, limit_s: float = 90.0) -> float:
        """Until it runs."""
        procs.wait_for(f"job {who.job} to begin", lambda: self.begun_at(who) is not None, limit_s, 0.2)
        return self.begun_at(who) or time.time()

    def state(self, job: int) -> str:
        """Slurm's word; empty: Slurm has forgotten it, or does not answer now."""
        try:
            return procs.call(
                self.rig, ["squeue", "-h", "-t", "all", "-j", str(job), "-o", "%T"], 30.0
            ).strip()
        except RigError:
            return ""

    def wait_ended(self, who: Witness, limit_s: float) -> None:
        """Until it is over for Slurm, epilog included."""
        alive = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED")

        def is_over() -> bool:
            state = self.state(who.job)
            return state != "" and state not in alive

        procs.wait_for(f"job {who.job} to end", is_over, limit_s, 0.5)

    def nudge(self) -> None:
        """A job of a moment without a GPU: without systemd the next prolog is what starts a sampler."""
        argv = [
            *users.as_user(USERS[1]),
            "sbatch",
            "--parsable",
            f"--nodelist={self.node}",
            "--output=/dev/null",
        ]
        argv += [f"--chdir={self.rig.home(USERS[1])}", "--job-name=next", "--wrap", "true"]
        subprocess.run(
            argv, env=job_env(self.rig, USERS[1]), cwd="/", capture_output=True, timeout=60, check=True
        )

    def revive(self) -> None:
        """The next prolog starts the sampler again; until it has."""
        until = time.monotonic() + 40
        while self.watch.pid() is None:
            if time.monotonic() > until:
                raise RigError(f"{self.node}: no prolog started a sampler within 40 s")
            self.nudge()
            with contextlib.suppress(RigError):
                procs.wait_for("the sampler", lambda: self.watch.pid() is not None, 8.0, 0.1)

    def slurm(self, *argv: str) -> str:
        """A Slurm command, again while the controller is away."""
        for _ in range(20):
            with contextlib.suppress(RigError):
                return procs.call(self.rig, list(argv), 30.0)
            time.sleep(0.5)
        return procs.call(self.rig, list(argv), 30.0)

    # -- the sampler

    def signal(self, number: int) -> None:
        """To the sampler, if it lives."""
        pid = self.watch.pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end_sampler(self) -> None:
        """TERM, and KILL when it does not listen: before a fault that must be there from the start."""
        pid = self.watch.pid()
        if pid is not None:
            self.signal(signal.SIGCONT)
            procs.end([pid], 5.0)

    def children(self, word: str) -> list[int]:
        """Children of the sampler with the word in their command line."""
        pid, found = self.watch.pid(), []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
                if parent == pid and word.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def wait_told(self, name: str, since_at: float, limit_s: float, job: int | None = None) -> bool:
        """Whether the event came; `job`: one that names a run of this job."""

        def is_told() -> bool:
            told = [one for one in read_told(self.rig, self.node, since_at) if one.name == name]
            return any(job is None or f"/{job}/" in (one.run or "") for one in told)

        with contextlib.suppress(RigError):
            procs.wait_for(name, is_told, limit_s, 0.5)
            return True
        return False

    # -- the boards

    def knob(self, *lines: str) -> None:
        """What the boards' library is told (tests/rig/nvml/knobs.h); without lines: nothing."""
        if lines and not (NVML / "knobs.h").exists():
            raise RigError("the boards' library has no knobs")
        if not lines:
            self.knobs_file.unlink(missing_ok=True)
            return
        fresh = self.knobs_file.with_name("knobs.new")
        fresh.write_text("".join(f"{line}\n" for line in lines), "ascii")
        fresh.chmod(0o644)
        fresh.replace(self.knobs_file)

    def gpu_of(self, who: Witness) -> int:
        """The job's GPU by NVML index."""
        text = self.slurm("scontrol", "show", "job", "-d", str(who.job)).partition("(IDX:")[2]
        return int(text.partition(")")[0].split("-")[0].split(",")[0])

    # -- the disks

    @contextmanager
    def tmpfs(self, folder: Path, options: str) -> Iterator[None]:
        """A real small file system over a folder of the node."""
        folder.mkdir(parents=True, exist_ok=True)
        procs.call(self.rig, ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)])
        try:
            yield
        finally:
            procs.call(self.rig, ["umount", "-l", str(folder)])

    def fill(self, folder: Path) -> None:
        """Until no byte fits."""
        with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as out:
            while True:
                out.write(b"\0" * 1024)

    def heal(self, renew: bool) -> None:
        """Everything as installed. `renew`, or other settings: also another sampler, by the next prolog."""
        self.knob()
        self.site.sampler.ease()
        self.site.hooks.ease()
        self.site.drop("boot_id", "disabled", "no-epilog", "no-prolog")
        self.site.settle()
        if self.site.configure() or renew:
            self.end_sampler()
        self.site.start_syslog()
