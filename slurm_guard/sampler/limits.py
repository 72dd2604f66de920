"""What the sampler may cost: niceness, a cgroup of its own, and a look at itself once a minute."""

from __future__ import annotations

import os

from slurm_guard.light import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple, Protocol

if TYPE_CHECKING:
    from slurm_guard.config import NodeConfig
    from slurm_guard.sampler.writer import Instant

CHECK_S = 60.0
# Tables at half the pace cost half: below half the bound the full pace would be below the bound again.
_CALM = 0.5
CGROUP = "slurm-guard"
_UNTOUCHED = ("name=systemd",)  # systemd's own bookkeeping of v1: what it put there stays there


class Usage(NamedTuple):
    """What the process has taken. `rss_b` null: /proc did not say."""

    cpu_s: float  # user and system, without children
    rss_b: int | None


class Costly(Protocol):
    """What is slowed down or ended."""

    def slow_tables(self, factor: float) -> None:
        """Look at the tables this many times less often than configured."""

    def event(self, name: str, run: str | None = None, **detail: Any) -> None:
        """A word of the sampler's own."""

    stop_reason: str | None


def read_usage(proc: str = "/proc") -> Usage:
    """Of this process."""
    times = os.times()
    try:
        with open(f"{proc}/self/statm", encoding="ascii") as text:
            rss_b = int(text.read(256).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        rss_b = None
    return Usage(times.user + times.system, rss_b)


class Moved(NamedTuple):
    """Hierarchies (`` is v2's) in which we left slurmd's cgroup, and why not in the others."""

    done: list[str]
    kept: dict[str, str]


class Limits:
    """Once a minute. Too much CPU: the tables are looked at half as often until it calms.

    Too much memory: the sampler ends itself, and begins anew (renewal.py) or systemd starts a new one;
    nothing sealed is lost.
    """

    def __init__(self, config: NodeConfig, loop: Costly, usage: Callable[[], Usage] = read_usage) -> None:
        self.most_pct, self.most_b = config.cpu_pct, config.memory_mib << 20
        self.loop, self.usage = loop, usage
        self.slowed = False
        self.cpu_pct: float | None = None  # of one core, in the last minute
        self.moved = Moved([], {})
        self._last: tuple[float, Usage] | None = None

    def tick(self, now: Instant) -> None:
        """Look at ourselves when a minute has passed."""
        if self._last is not None and now.mono_s - self._last[0] < CHECK_S:
            return
        usage = self.usage()
        if self._last is not None and now.mono_s > self._last[0]:
            since_s, before = self._last
            self.cpu_pct = 100 * (usage.cpu_s - before.cpu_s) / (now.mono_s - since_s)
            self._judge_cpu(self.cpu_pct)
        self._last = (now.mono_s, usage)
        if self.most_b and usage.rss_b is not None and usage.rss_b > self.most_b:
            self.loop.event("cap-reached", what="memory", rss_b=usage.rss_b, most_b=self.most_b)
            self.loop.stop_reason = "memory"

    def _judge_cpu(self, pct: float) -> None:
        if not self.slowed and pct > self.most_pct:
            self.slowed = True
            self.loop.slow_tables(2)
            self.loop.event("cap-reached", what="cpu", pct=round(pct, 1), most_pct=self.most_pct)
        elif self.slowed and pct < _CALM * self.most_pct:
            self.slowed = False
            self.loop.slow_tables(1)
            self.loop.event("cap-left", what="cpu", pct=round(pct, 1), most_pct=self.most_pct)

    def tell(self) -> dict[str, Any]:
        """What it costs now, and whether the tables are slowed down."""
        usage = self.usage()
        return {
            "rss_b": usage.rss_b,
            "cpu_s": round(usage.cpu_s, 2),
            "cpu_pct": None if self.cpu_pct is None else round(self.cpu_pct, 2),
            "slowed": self.slowed,
            "left_cgroups": self.moved.done,
            "kept_cgroups": self.moved.kept,
        }

    def close(self, now: Instant) -> None:
        """Nothing is left behind."""


def be_nice(nice: int) -> None:
    """At least this nice; one who was started nicer stays so."""
    try:
        if nice > os.getpriority(os.PRIO_PROCESS, 0):
            os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError:
        pass


# -- a cgroup of our own


def leave_slurmd(environ: Mapping[str, str], root: str = "/sys/fs/cgroup", proc: str = "/proc") -> Moved:
    """Out of the cgroup of the slurmd whose prolog started us, into one of our own at the hierarchy's top.

    There a restart of slurmd would find its cgroup populated, and Slurm's MemSpecLimit would count us. Under
    systemd, and where we are in no cgroup of Slurm's (started by hand), nothing is moved. No limit is set.
    """
    moved = Moved([], {})
    if "INVOCATION_ID" in environ:
        return moved
    try:
        with open(f"{proc}/self/cgroup", encoding="utf-8", errors="replace") as text:
            lines = text.read(1 << 16).splitlines()
    except OSError as error:
        return Moved([], {"": error.strerror or "unreadable"})
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers in _UNTOUCHED or not any(_is_slurms(part) for part in path.split("/")):
            continue
        try:
            _move(_top(root, controllers), controllers)
            moved.done.append(controllers)
        except OSError as error:
            moved.kept[controllers] = error.strerror or type(error).__name__
    return moved


def _is_slurms(part: str) -> bool:
    """slurm, slurm_<node>, slurmd.service, <node>_slurmstepd.scope; not our own."""
    return part.startswith(("slurmd", "slurmstepd", "slurm_")) or part == "slurm" or "_slurm" in part


def _top(root: str, controllers: str) -> str:
    """The mount of a hierarchy: v2's is the root, or `unified` in systemd's hybrid layout."""
    if controllers:
        return f"{root}/{controllers.removeprefix('name=')}"
    return root if os.path.exists(f"{root}/cgroup.controllers") else f"{root}/unified"


def _move(top: str, controllers: str) -> None:
    """Make the cgroup and enter it."""
    folder = f"{top}/{CGROUP}"
    if not os.path.exists(f"{top}/cgroup.procs"):
        raise FileNotFoundError(2, "no hierarchy there", top)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    if "cpuset" in controllers.split(","):  # v1: a new one has neither, and takes nobody in before
        for name in ("cpuset.cpus", "cpuset.mems"):
            with open(f"{top}/{name}", encoding="ascii") as above:
                _write(f"{folder}/{name}", above.read(4096).strip())
    _write(f"{folder}/cgroup.procs", str(os.getpid()))


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)
