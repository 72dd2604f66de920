"""The sampler's own bounds: slower when it costs too much, gone when it holds too much."""

import os
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.config import NodeConfig
from slurm_guard.sampler.limits import Limits, Usage, leave_slurmd, read_usage
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import Node


class Loop:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.stop_reason: str | None = None
        self.factor = 1.0
        self.events: list[tuple[str, dict[str, Any]]] = []

    def slow_tables(self, factor: float) -> None:
        self.factor = factor

    def event(self, name: str, run: str | None = None, **detail: Any) -> None:
        self.events.append((name, detail))


def limits_of(loop: Loop, seen: list[Usage]) -> Limits:
    return Limits(NodeConfig(cpu_pct=5.0, memory_mib=96), loop, lambda: seen[-1])


def test_too_much_cpu_halves_the_tables_pace_until_it_calms() -> None:
    loop, seen = Loop(), [Usage(0.0, 1)]
    limits = limits_of(loop, seen)
    factors = []

    for minute, cpu_s in enumerate([0.0, 1.0, 6.0, 8.5, 11.0, 12.0, 13.0]):
        seen.append(Usage(cpu_s, 1))
        limits.tick(Instant(5.0, 60.0 * minute))
        factors.append(loop.factor)

    # 1.7 %, 8.3 % (above 5), 4.2 % and 4.2 % (not calm: twice that is above 5), 1.7 % (calm)
    assert factors == [1, 1, 2, 2, 2, 1, 1]
    assert [(name, detail["what"]) for name, detail in loop.events] == [
        ("cap-reached", "cpu"), ("cap-left", "cpu"),
    ]  # fmt: skip
    assert loop.stop_reason is None


def test_too_much_memory_ends_the_sampler_with_a_word() -> None:
    loop, seen = Loop(), [Usage(0.0, 96 << 20)]
    limits = limits_of(loop, seen)
    limits.tick(Instant(5.0, 0.0))
    assert loop.stop_reason is None
    seen.append(Usage(0.0, (96 << 20) + 1))

    limits.tick(Instant(5.0, 60.0))

    assert loop.stop_reason == "memory"
    assert loop.events == [("cap-reached", {"what": "memory", "rss_b": (96 << 20) + 1, "most_b": 96 << 20})]


@pytest.mark.parametrize(("memory_mib", "rss_b"), [(0, 1 << 40), (96, None)])
def test_no_bound_and_no_reading_end_nothing(memory_mib: int, rss_b: int | None) -> None:
    loop = Loop()
    limits = Limits(NodeConfig(memory_mib=memory_mib), loop, lambda: Usage(0.0, rss_b))

    limits.tick(Instant(5.0, 0.0))

    assert (loop.stop_reason, loop.events) == (None, [])


def test_between_minutes_nothing_is_read() -> None:
    reads = []

    def usage() -> Usage:
        reads.append(1)
        return Usage(0.0, 1)

    limits = Limits(NodeConfig(), Loop(), usage)
    for n in range(150):
        limits.tick(Instant(5.0, float(n)))

    assert len(reads) == 3


def test_the_real_reading_is_of_this_process() -> None:
    usage = read_usage()

    assert usage.cpu_s > 0
    assert usage.rss_b is not None
    assert 1 << 20 < usage.rss_b < 1 << 40
    assert read_usage("/nowhere").rss_b is None


def test_a_sampler_ended_by_its_memory_loses_nothing_and_the_next_one_goes_on(tmp_path: Path) -> None:
    node = Node(tmp_path, window_s=10, memory_mib=96)
    (limits,) = [part for part in node.loop.parts if isinstance(part, Limits)]
    limits.usage = lambda: Usage(0.0, 1 << 20)
    run = node.ticket(1, 1000, [0])
    node.turn(25)
    limits.usage = lambda: Usage(0.0, 1 << 40)
    node.turn(61)
    assert node.loop.stop_reason == "memory"
    node.loop.stop("memory")
    before = node.records("window", run)

    node.sampler()
    (limits,) = [part for part in node.loop.parts if isinstance(part, Limits)]
    limits.usage = lambda: Usage(0.0, 1 << 20)
    node.turn(30)

    windows = node.records("window", run)
    assert windows[: len(before)] == before
    assert len(windows) > len(before)
    heads, tails = node.records("head", run), node.records("tail")
    assert heads[1]["prev_sha256"] in {tail["sha256"] for tail in tails}
    assert node.events("sampler-stopped")[0]["detail"]["reason"] == "memory"


def test_slowed_tables_are_looked_at_half_as_often(tmp_path: Path) -> None:
    node = Node(tmp_path, table_interval_s=10.0)
    looks: list[float] = []
    look = node.loop.tables.look

    def counted(*args: Any) -> None:
        looks.append(node.clock.mono_s())
        look(*args)

    node.loop.tables.look = counted  # type: ignore[method-assign,assignment]
    node.turn(60)
    n_before = len(looks)
    node.loop.slow_tables(2)
    node.turn(120)

    assert n_before == 6
    assert 6 <= len(looks) - n_before <= 7


# -- cgroups: folders that look like the kernel's


def hierarchy(top: Path) -> None:
    top.mkdir(parents=True, exist_ok=True)
    (top / "cgroup.procs").touch()


def prepared(tmp_path: Path, lines: list[str]) -> tuple[str, str]:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "fs"), str(tmp_path / "proc")


def own(tmp_path: Path, *names: str) -> str | None:
    """What was written into our cgroup's list of processes."""
    path = tmp_path.joinpath("fs", *names, "slurm-guard", "cgroup.procs")
    return path.read_text() if path.exists() else None


def plant(top: Path, *more: str) -> None:
    """The kernel fills a new cgroup's folder at once; a plain one must have the files before."""
    hierarchy(top)
    (top / "slurm-guard").mkdir()
    for name in ("cgroup.procs", *more):
        (top / "slurm-guard" / name).touch()


def test_started_by_a_prolog_it_leaves_slurmds_cgroup_v2(tmp_path: Path) -> None:
    root, proc = prepared(tmp_path, ["0::/system.slice/slurmd.service"])
    plant(tmp_path / "fs")
    (tmp_path / "fs" / "cgroup.controllers").touch()

    moved = leave_slurmd({}, root, proc)

    assert (moved.done, moved.kept) == ([""], {})
    assert own(tmp_path) == str(os.getpid())


def test_a_prolog_that_ran_in_the_job_is_left_too(tmp_path: Path) -> None:
    path = "0::/system.slice/n1_slurmstepd.scope/job_7/step_extern/slurm"
    root, proc = prepared(tmp_path, [path])
    plant(tmp_path / "fs" / "unified")

    assert leave_slurmd({}, root, proc).done == [""]
    assert own(tmp_path, "unified") == str(os.getpid())


def test_of_v1_only_slurms_hierarchies_are_left_and_a_cpuset_is_filled_first(tmp_path: Path) -> None:
    root, proc = prepared(
        tmp_path,
        [
            "9:name=systemd:/system.slice/slurmd.service",
            "6:freezer:/slurm_n1",
            "4:memory:/",
            "3:cpuset:/slurm/uid_0",
        ],
    )
    for name in ("freezer", "memory", "systemd"):
        plant(tmp_path / "fs" / name)
    plant(tmp_path / "fs" / "cpuset", "cpuset.cpus", "cpuset.mems")
    (tmp_path / "fs" / "cpuset" / "cpuset.cpus").write_text("0-3\n")
    (tmp_path / "fs" / "cpuset" / "cpuset.mems").write_text("0\n")

    moved = leave_slurmd({}, root, proc)

    assert moved.done == ["freezer", "cpuset"]
    assert (own(tmp_path, "memory"), own(tmp_path, "systemd")) == ("", "")
    assert (tmp_path / "fs" / "cpuset" / "slurm-guard" / "cpuset.cpus").read_text() == "0-3"


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"INVOCATION_ID": "x"}, "0::/system.slice/slurmd.service"),
        ({}, "0::/user.slice/user-0.slice/session-3.scope"),
        ({}, "0::/system.slice/slurm-guardd.service"),
        ({}, "0::/slurm-guard"),
    ],
)
def test_under_systemd_by_hand_and_at_home_it_stays(
    tmp_path: Path, environ: dict[str, str], line: str
) -> None:
    root, proc = prepared(tmp_path, [line])
    plant(tmp_path / "fs")
    (tmp_path / "fs" / "cgroup.controllers").touch()

    assert leave_slurmd(environ, root, proc) == ([], {})
    assert own(tmp_path) == ""


def test_a_cgroup_that_may_not_be_written_keeps_us_with_the_reason(tmp_path: Path) -> None:
    root, proc = prepared(tmp_path, ["0::/system.slice/slurmd.service", "nonsense"])

    moved = leave_slurmd({}, root, proc)

    assert (moved.done, list(moved.kept)) == ([], [""])
    assert leave_slurmd({}, root, "/nowhere").kept == {"": "No such file or directory"}
