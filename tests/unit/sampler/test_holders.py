"""Holders of a GPU's device file against NVML's list, on a node of fakes."""

from pathlib import Path

import pytest

from slurm_guard.sampler.budget import (
    AGAIN_S,
    EVENTS,
    EVENTS_REFILL,
    MOST_OWNERS,
    MOST_RECORDS,
    LeftOut,
    Purses,
)
from slurm_guard.sampler.holders import CYCLE, MOST_LINKS
from slurm_guard.sampler.mounts import MOST_TEXT
from slurm_guard.sampler.reading import GpuProc
from tests.unit.sampler.fakes import Node

JOB = "0::/system.slice/slurmstepd.scope/job_{}/step_0/user/task_0"
HARD = ("foreign-process", "leftover")


def _node(tmp_path: Path, n_gpus: int = 1) -> Node:
    node = Node(tmp_path, n_gpus=n_gpus)
    node.proc.link_texts["self/ns/mnt"] = "mnt:[1]"
    return node


def _hold(node: Node, pid: int, *minors: int, uvm: bool = True, kind: str = "devtmpfs") -> None:
    """The process opens device files, as CUDA does; on tmpfs files that are only called so."""
    node.proc.files[f"{pid}/mountinfo"] = f"24 30 0:5 / /dev rw - {kind} udev rw\n"
    node.proc.files[f"{pid}/maps"] = "7f00-7f01 r--p 00000000 08:01 7 /usr/lib/libc.so.6\n"
    node.proc.link_texts[f"{pid}/ns/mnt"] = "mnt:[1]"
    names = [f"nvidia{minor}" for minor in minors] + (["nvidia-uvm"] if uvm else [])
    for n, name in enumerate(names):
        node.proc.link_texts[f"{pid}/fd/{n}"] = f"/dev/{name}"
        node.proc.files[f"{pid}/fdinfo/{n}"] = "mnt_id:\t24\n"


def _hard(node: Node) -> list[str]:
    return [event["name"] for event in node.records("event") if event["name"] in HARD]


def _window(node: Node, run: str | None) -> dict[str, object]:
    found: dict[str, object] = node.records("window", run)[0]
    return found


def test_an_unlisted_process_of_another_user_is_in_the_window_and_told(tmp_path: Path) -> None:
    node = _node(tmp_path)
    run = node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, JOB.format(1))
    node.proc.start(60, 3000)
    _hold(node, 50, 0)
    _hold(node, 60, 0)
    node.gpus.procs["GPU-0"] = [GpuProc(50, 100, 50.0)]
    node.turn(61)

    window = _window(node, run)
    ticks = node.proc.started[60]
    assert window["held"] == [{"pid": 60, "start_ticks": ticks, "run": None, "uvm": True}]
    assert (window["n_own"], window["held_truncated"]) == (1, False)
    assert [share["holds"] for share in window["procs"]] == [True]  # type: ignore[attr-defined]
    (event,) = node.events("unlisted-holder")
    assert (event["detail"]["pid"], event["detail"]["uid"], event["detail"]["holders"]) == (60, 3000, [run])
    (process,) = node.records("process", None)
    assert (process["pid"], process["devices"], process["gpus"]) == (60, ["GPU-0"], [])
    assert _hard(node) == []


@pytest.mark.parametrize(("uid", "uvm"), [(0, True), (990, True), (3000, False)])
def test_services_and_monitors_are_recorded_and_not_told(tmp_path: Path, uid: int, uvm: bool) -> None:
    node = _node(tmp_path)
    node.proc.start(60, uid)
    _hold(node, 60, 0, uvm=uvm)
    node.turn(61)

    assert [h["uvm"] for h in _window(node, None)["held"]] == [uvm]  # type: ignore[attr-defined]
    assert node.events("unlisted-holder") == []


def test_what_a_listed_process_forked_or_opened_elsewhere_is_explained(tmp_path: Path) -> None:
    node = _node(tmp_path, n_gpus=2)
    a, b = node.ticket(1, 1000, [0]), node.ticket(2, 2000, [1])
    node.proc.start(50, 1000, JOB.format(1))
    node.proc.start(51, 1000, JOB.format(1), ppid=50)
    node.proc.start(60, 2000, JOB.format(2))
    for pid in (50, 51, 60):
        _hold(node, pid, 0, 1)  # CUDA opens every GPU's file, and forks hand them on
    node.gpus.procs = {"GPU-0": [GpuProc(50, 100, 50.0)], "GPU-1": [GpuProc(60, 100, 50.0)]}
    node.turn(61)

    assert [_window(node, run)["held"] for run in (a, b)] == [[], []]
    assert [_window(node, run)["n_own"] for run in (a, b)] == [2, 1]
    assert node.events("unlisted-holder") == []


def test_without_a_list_the_holders_are_told_and_no_time_is_made_up(tmp_path: Path) -> None:
    node = _node(tmp_path)
    run = node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, JOB.format(1))
    node.proc.start(60, 3000)
    _hold(node, 50, 0)
    _hold(node, 60, 0)
    node.gpus.procs["GPU-0"] = None
    node.turn(61)

    window = _window(node, run)
    assert (window["procs"], window["n_own"]) == ([], 1)
    assert [h["pid"] for h in window["held"]] == [60]  # type: ignore[attr-defined]


def test_a_listed_process_without_a_device_file_accuses_nobody(tmp_path: Path) -> None:
    node = _node(tmp_path)
    run = node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, JOB.format(1))
    node.proc.start(60, 3000)  # the number that means another process where NVML counts
    _hold(node, 50, 0)
    node.proc.files["60/mountinfo"] = "24 30 0:5 / /dev rw - devtmpfs udev rw\n"
    node.proc.files["60/maps"] = "7f00-7f01 r--p 00000000 08:01 7 /usr/lib/libc.so.6\n"
    node.gpus.procs["GPU-0"] = [GpuProc(60, 100, 50.0)]
    node.turn(61)

    assert [share["holds"] for share in _window(node, run)["procs"]] == [False]  # type: ignore[attr-defined]
    assert len(node.events("listed-without-device")) == 1
    assert _hard(node) == []


@pytest.mark.parametrize("maps", [None, "7f00-7f01 rw-s 00000000 00:05 9 /dev/nvidiactl\n"])
def test_who_closed_his_descriptors_is_not_taken_for_another(tmp_path: Path, maps: str | None) -> None:
    node = _node(tmp_path)
    node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, JOB.format(1))
    node.proc.start(60, 3000)
    _hold(node, 50, 0)
    if maps is not None:
        node.proc.files["60/maps"] = maps
    node.gpus.procs["GPU-0"] = [GpuProc(60, 100, 50.0)]
    node.turn(61)

    assert _hard(node) == ["foreign-process"]


@pytest.mark.parametrize("info", ["mnt_id:\t65\n", None])
def test_a_device_file_on_a_detached_mount_softens_nothing(tmp_path: Path, info: str | None) -> None:
    node = _node(tmp_path)
    node.ticket(1, 1000, [0])
    node.proc.start(50, 1000, JOB.format(1))
    node.proc.start(60, 3000)
    _hold(node, 50, 0)
    _hold(node, 60, uvm=False)
    node.proc.link_texts["60/ns/mnt"] = "mnt:[9]"
    node.proc.link_texts["60/fd/0"] = "/"
    if info is not None:
        node.proc.files["60/fdinfo/0"] = info
    node.gpus.procs["GPU-0"] = [GpuProc(60, 100, 50.0)]
    node.turn(61)

    assert _hard(node) == ["foreign-process"]
    assert node.events("listed-without-device") == []


def test_a_file_that_is_called_so_on_a_tmpfs_proves_nothing(tmp_path: Path) -> None:
    node = _node(tmp_path)
    node.proc.start(50, 1000)
    node.proc.start(60, 3000)
    _hold(node, 50, 0)
    _hold(node, 60, uvm=False)
    node.proc.files["50/mountinfo"] = "24 30 0:25 / /dev/shm rw - tmpfs shm rw\n"
    node.proc.link_texts["50/ns/mnt"] = "mnt:[9]"
    node.gpus.procs["GPU-0"] = [GpuProc(60, 100, 50.0)]
    node.turn(61)

    assert node.loop.tables.holders.proven is False
    assert _hard(node) == ["foreign-process"]


def test_mount_tables_cost_a_bounded_amount_and_what_is_left_comes_next(tmp_path: Path) -> None:
    node = _node(tmp_path)
    table = "24 30 0:5 / /dev rw - devtmpfs udev rw\n" * 5000
    for pid in range(100, 130):
        node.proc.start(pid, 3000)
        node.proc.files[f"{pid}/mountinfo"] = table
        node.proc.link_texts[f"{pid}/ns/mnt"] = f"mnt:[{pid}]"
    read_b: list[int] = []
    seen: set[str] = set()
    read_all = node.proc.read_all

    def counted(name: str, limit: int) -> str | None:
        text = read_all(name, limit)
        if name.endswith("mountinfo"):
            read_b[-1] += len(text or "")
            seen.add(name)
        return text

    node.proc.read_all = counted  # type: ignore[method-assign]
    holders = node.loop.tables.holders
    n_left = []
    for _ in range(8):
        read_b.append(0)
        node.turn(10)
        n_left.append(holders.n_left)

    assert max(read_b) <= MOST_TEXT
    assert n_left[0] > 0
    assert len(seen) == 30


def test_on_a_node_where_no_holder_was_ever_found_nothing_follows_from_none(tmp_path: Path) -> None:
    node = _node(tmp_path)
    node.proc.start(60, 3000)
    node.proc.files["60/maps"] = ""
    node.gpus.procs["GPU-0"] = [GpuProc(60, 100, 50.0)]
    node.turn(61)

    assert [share["holds"] for share in _window(node, None)["procs"]] == [None]  # type: ignore[attr-defined]
    assert _hard(node) == ["foreign-process"]


def test_another_slurmds_jobs_on_the_host_are_left_out(tmp_path: Path) -> None:
    node = _node(tmp_path)
    node.proc.start(60, 3000, "0::/system.slice/n2_slurmstepd.scope/job_9/step_0/user/task_0")
    _hold(node, 60, 0)
    node.turn(61)

    assert _window(node, None)["held"] == []
    assert node.events("unlisted-holder") == []


def test_who_may_not_be_looked_at_truncates_the_look(tmp_path: Path) -> None:
    node = _node(tmp_path)
    node.proc.start(60, 3000)
    node.proc.refused.add(60)
    node.turn(61)

    assert (_window(node, None)["held"], _window(node, None)["held_truncated"]) == ([], True)


def test_a_gpu_whose_minor_nobody_knows_was_not_looked_at(tmp_path: Path) -> None:
    node = _node(tmp_path)
    node.gpus.infos = [node.gpus.infos[0]._replace(minor=None)]
    node.turn(61)

    assert [_window(node, None)[name] for name in ("held", "n_own", "held_truncated")] == [None] * 3


def test_one_that_opens_the_file_late_is_found_within_a_cycle(tmp_path: Path) -> None:
    node = _node(tmp_path)
    node.proc.start(60, 3000)
    node.turn(61)
    _hold(node, 60, 0)
    node.turn(10 * (CYCLE + 2))

    assert len(node.events("unlisted-holder")) == 1


def test_a_crowd_costs_a_bounded_number_of_links_and_is_marked(tmp_path: Path) -> None:
    node = _node(tmp_path)
    for pid in range(100, 140):
        node.proc.start(pid, 3000)
        for fd in range(300):
            node.proc.link_texts[f"{pid}/fd/{fd}"] = "socket:[1]"
    read = 0
    fds = node.proc.fds

    def counted(pid: int, most: int) -> tuple[list[tuple[str, str]], int] | None:
        nonlocal read
        found = fds(pid, most)
        read += 0 if found is None else len(found[0])
        return found

    node.proc.fds = counted  # type: ignore[method-assign, assignment]
    node.turn(1)
    first = read
    node.turn(60)

    assert MOST_LINKS <= first <= MOST_LINKS + 300
    assert _window(node, None)["held_truncated"] is True
    assert node.loop.tables.holders.n_left == 0  # the next looks reached the others


def test_a_known_holder_costs_a_link_a_file_and_a_look_in_its_turn(tmp_path: Path) -> None:
    node = _node(tmp_path)
    node.proc.start(60, 3000)
    _hold(node, 60, 0)
    node.turn(61)
    looks = 0
    look = node.loop.tables.holders.files.look

    def counted(pid: int) -> object:
        nonlocal looks
        looks += 1
        return look(pid)

    node.loop.tables.holders.files.look = counted  # type: ignore[method-assign,assignment]
    node.turn(10 * CYCLE)

    assert looks == 1


def _flood(node: Node, kind: str, looks: int = 4, n: int = 300, first: int = 1000) -> None:
    """At each look new processes of user 3000's job, without a GPU, that hold what is called a GPU's file."""
    living: list[range] = []
    for _ in range(looks):
        batch = range(first, first + n)
        for pid in batch:
            node.proc.start(pid, 3000, JOB.format(2), cmdline="x" * 2000)
            _hold(node, pid, *range(len(node.gpus.infos)), kind=kind)
        living.append(batch)
        if len(living) > 2:
            for pid in living.pop(0):
                node.proc.end(pid)
        first += n
        node.turn(10)


@pytest.mark.parametrize("kind", ["tmpfs", "devtmpfs"])
def test_files_that_are_open_in_a_thousand_processes_lift_no_bound(tmp_path: Path, kind: str) -> None:
    """Whoever could write so much would push the evidence of others out of the spool."""
    node = _node(tmp_path, n_gpus=3)
    node.ticket(1, 1000, [0])
    run = node.ticket(2, 3000, [])
    node.turn(11)
    _flood(node, kind)

    assert len(node.records("process", run)) <= 4 * MOST_RECORDS
    assert EVENTS <= len(node.events("unlisted-holder")) <= EVENTS + 6 * EVENTS_REFILL
    (left_out,) = node.events("holders-truncated")
    assert (left_out["run"], left_out["detail"]["most"]) == (run, EVENTS)
    assert left_out["detail"]["n"] > 0


def test_who_floods_with_files_that_are_only_called_so_hides_no_holder_of_a_device_file(
    tmp_path: Path,
) -> None:
    node = _node(tmp_path, n_gpus=2)
    node.ticket(1, 1000, [0])
    run = node.ticket(2, 3000, [])
    node.turn(11)
    _flood(node, "tmpfs", looks=9, n=270)  # the run's purses are empty
    node.proc.start(90_000, 3000, JOB.format(2))
    _hold(node, 90_000, 0)
    node.proc.link_texts["90000/ns/mnt"] = "mnt:[2]"
    _flood(node, "tmpfs", looks=4, n=270, first=50_000)

    assert 90_000 in {event["detail"]["pid"] for event in node.events("unlisted-holder")}
    assert 90_000 in {record["pid"] for record in node.records("process", run)}
    told = [event for event in node.events("unlisted-holder") if event["detail"]["pid"] != 90_000]
    assert len(told) <= EVENTS + 16 * EVENTS_REFILL


def test_what_was_left_out_is_told_at_once_and_then_at_most_every_ten_minutes() -> None:
    left_out = LeftOut()
    left_out.add("a", 3)
    assert left_out.take(0.0) == [("a", 3)]
    left_out.add("a")
    left_out.add("b", 2)
    assert left_out.take(10.0) == [("b", 2)]
    left_out.add("a")

    assert left_out.take(AGAIN_S - 1) == []
    assert left_out.take(AGAIN_S) == [("a", 2)]
    assert left_out.take(3 * AGAIN_S) == []


def test_owners_without_number_share_one_purse() -> None:
    purses = Purses()
    purses.begin()

    assert sum(purses.spend(n) for n in range(10 * MOST_OWNERS)) == MOST_OWNERS + EVENTS
