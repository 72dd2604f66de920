"""Processes find their run by cgroup, by slurmstepd, by memory; never another uid's or another node's."""

from itertools import pairwise
from typing import Any

import pytest

from slurm_guard.clock import FakeClock
from slurm_guard.sampler.attribution import RunFacts, Started, find_by_uid
from slurm_guard.sampler.process import flags_of
from slurm_guard.sampler.processes import MOST_PROGRAMS, ProcessTable
from slurm_guard.sampler.writer import Instant
from slurm_guard.wire import encode
from tests.unit.sampler.fakes import NODE, FakeProc

STEPD = "slurmstepd: [7.batch]"


class _Host:
    """One host's /proc and a table that looks at it."""

    def __init__(self, most: int = 100) -> None:
        self.clock = FakeClock()
        self.proc = FakeProc(self.clock)
        self.table = ProcessTable(self.proc, NODE, most)
        self.runs = [self.facts(7, 1000)]
        self.clock.sleep(10)

    def facts(self, job_id: int, uid: int, **more: Any) -> RunFacts:
        at = self.clock.now_at()
        return RunFacts(f"run-{job_id}-{at:.0f}", job_id, None, uid, at, None, frozenset())._replace(**more)

    def look(self) -> dict[int, tuple[str | None, str | None]]:
        self.table.look(Instant(self.clock.now_at(), self.clock.mono_s()), self.runs)
        return {pid: (p.run, p.how) for pid, p in self.table.by_pid.items()}


@pytest.fixture
def host() -> _Host:
    return _Host()


def test_a_process_in_the_jobs_cgroup_is_the_runs(host: _Host) -> None:
    host.proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0")

    assert host.look()[50] == (host.runs[0].run, "cgroup")


def test_another_uid_in_the_jobs_cgroup_is_the_runs_but_root_is_not(host: _Host) -> None:
    host.proc.start(50, 2000, "0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0")
    host.proc.start(51, 0, "0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0")

    found = host.look()

    assert (found[50], found[51]) == ((host.runs[0].run, "cgroup"), (None, None))
    assert host.table.by_pid[50].flags == ["other-uid"]


def test_another_uid_below_the_jobs_slurmstepd_alone_is_not_the_runs(host: _Host) -> None:
    host.proc.start(40, 0, ppid=1, cmdline=STEPD, comm="slurmstepd")
    host.proc.start(50, 2000, ppid=40)

    assert host.look()[50] == (None, None)


def test_the_same_job_of_another_node_on_one_host_is_not_ours(host: _Host) -> None:
    host.proc.start(50, 1000, "6:freezer:/slurm_n2/uid_1000/job_7/step_batch")
    host.proc.start(51, 1000, "0::/system.slice/n2_slurmstepd.scope/job_7/step_batch/user/task_0")
    host.proc.start(52, 1000, "6:freezer:/slurm_n1/uid_1000/job_7/step_batch")

    assert {pid: run for pid, (run, _) in host.look().items()} == {50: None, 51: None, 52: host.runs[0].run}


def test_without_cgroups_a_slurmstepd_above_says_the_job(host: _Host) -> None:
    host.proc.start(40, 0, ppid=1, cmdline=STEPD, comm="slurmstepd")
    host.proc.start(50, 1000, ppid=40)
    host.proc.start(51, 1000, ppid=50)

    found = host.look()

    assert found[50] == (host.runs[0].run, "stepd")
    assert found[51][0] == host.runs[0].run
    assert found[40] == (None, None)
    assert [p.pid for p in host.table.stepds(host.runs[0])] == [40]


def test_a_users_process_that_calls_itself_slurmstepd_is_none(host: _Host) -> None:
    host.proc.start(40, 3000, ppid=1, cmdline=STEPD, comm="slurmstepd")
    host.proc.start(50, 1000, ppid=40)

    assert host.look()[50] == (None, None)


@pytest.mark.parametrize(("node", "ours"), [("n1", True), ("n2", False)])
def test_a_slurmstepds_socket_tells_the_node_where_several_share_a_host(
    host: _Host, node: str, ours: bool
) -> None:
    host.proc.start(40, 0, ppid=1, cmdline=STEPD, comm="slurmstepd")
    host.proc.link_texts["40/fd/5"] = "socket:[777]"
    host.proc.files["net/unix"] = (
        "Num RefCount Protocol Flags Type St Inode Path\n"
        f"0000: 00000002 00000000 00010000 0001 01 777 /var/spool/slurmd/{node}/{node}_7.4294967291\n"
    )
    host.proc.start(50, 1000, ppid=40)

    assert (host.look()[50][0] == host.runs[0].run) is ours


def test_a_daemonised_process_keeps_its_run_and_hands_it_on(host: _Host) -> None:
    host.proc.start(40, 0, ppid=1, cmdline=STEPD, comm="slurmstepd")
    host.proc.start(50, 1000, ppid=40)
    host.look()
    host.proc.end(40)
    host.proc.set_stat(50, 1, "python")
    host.proc.start(51, 1000, ppid=50)
    host.proc.start(52, 1000, ppid=1)

    found = host.look()

    assert found[50] == (host.runs[0].run, "stepd")
    assert found[51] == (host.runs[0].run, "remembered")
    assert found[52] == (None, None)


def test_a_reused_pid_is_a_new_process(host: _Host) -> None:
    host.proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    host.look()
    host.proc.end(50)
    host.clock.sleep(5)
    host.proc.start(50, 1000)

    assert host.look()[50] == (None, None)


def test_a_process_that_changes_its_uid_after_the_first_look_is_found_at_the_second(host: _Host) -> None:
    host.proc.start(50, 0, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    assert host.look()[50] == (None, None)
    host.proc.files["50/status"] = host.proc.files["50/status"].replace(
        "\t0\t0\t0\t0", "\t1000\t1000\t1000\t1000"
    )

    assert host.look()[50] == (host.runs[0].run, "cgroup")


def test_of_a_requeued_job_the_run_before_the_process_is_taken(host: _Host) -> None:
    host.proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    host.clock.sleep(20)
    host.runs.append(host.facts(7, 1000))
    host.clock.sleep(5)
    host.proc.start(51, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")

    found = host.look()

    assert (found[50][0], found[51][0]) == (host.runs[0].run, host.runs[1].run)


def test_more_processes_than_the_cap_keep_those_of_runs(host: _Host) -> None:
    host = _Host(most=10)
    host.proc.start(20, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    host.look()
    for pid in range(100, 200):
        host.proc.start(pid, 2000)

    found = host.look()

    assert (len(found), 20 in found, host.table.truncated) == (10, True, True)


def test_what_is_on_a_gpu_stays_in_the_table_however_large_the_crowd_of_its_own_run() -> None:
    host = _Host(most=10)
    cgroup = "0::/system.slice/slurmstepd.scope/job_7/step_0"
    host.proc.start(900, 1000, cgroup)
    host.look()
    host.table.mark_gpu(900, "GPU-0")
    for pid in range(100, 200):
        host.proc.start(pid, 1000, cgroup)
    host.look()
    first = host.table.by_pid[900]

    host.look()

    assert host.table.by_pid[900] is first
    assert len(host.table.by_pid) <= 11
    assert host.table.n_left_out == 91


def test_a_pid_that_nvml_lists_and_the_look_left_out_is_looked_up_with_what_is_above_it() -> None:
    host = _Host(most=10)
    host.proc.start(40, 0, ppid=1, cmdline=STEPD, comm="slurmstepd")
    host.proc.start(50, 1000, ppid=40)
    for pid in range(100, 200):
        host.proc.start(pid, 2000)
    host.look()
    assert 50 not in host.table.by_pid

    found = host.table.mark_gpu(50, "GPU-0")

    assert found is not None
    assert (found.run, found.how, found.gpus) == (host.runs[0].run, "stepd", frozenset({"GPU-0"}))
    assert host.table.mark_gpu(51, "GPU-0") is None


def test_a_ring_of_parents_is_walked_once() -> None:
    host = _Host(most=1)
    host.proc.start(99, 2000)
    host.look()
    host.proc.start(50, 1000, ppid=51)
    host.proc.start(51, 1000, ppid=50)

    found = host.table.mark_gpu(50, "GPU-0")

    assert found is not None
    assert len(found.parents) == 2


class _CountingProc(FakeProc):
    """Counts what a look asks of /proc."""

    n = 0

    def read(self, pid: int | str, name: str, limit: int = 1 << 16) -> str | None:
        self.n += 1
        return super().read(pid, name, limit)

    def link(self, pid: int | str, name: str) -> str | None:
        self.n += 1
        return super().link(pid, name)


def test_ten_thousand_short_lived_processes_between_looks_cost_a_look_no_more_than_the_cap() -> None:
    host = _Host(most=200)
    host.proc = host.table.proc = counting = _CountingProc(host.clock)
    for pid in range(20_000, 30_000):
        counting.start(pid, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    host.look()
    first, counting.n = counting.n, 0
    for store in (counting.started, counting.files):  # all of them end
        store.clear()
    for pid in range(30_000, 40_000):
        counting.start(pid, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    host.clock.sleep(10)

    host.look()

    assert max(first, counting.n) <= 200 * 10
    assert len(host.table.by_pid) == 200


def _changes(host: _Host, pid: int, looks: int) -> list[str | None]:
    """The command lines of the records that the looks would write."""
    told = []
    for _ in range(looks):
        host.clock.sleep(10)
        host.look()
        if host.table.by_pid[pid].take_change():
            told.append(host.table.by_pid[pid].record(gone=False).cmdline)
    return told


def test_an_execve_of_the_same_interpreter_is_noticed(host: _Host) -> None:
    host.proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    assert _changes(host, 50, 3) == ["python train.py"]
    host.proc.files["50/cmdline"] = "python\0mine.py\0"

    assert _changes(host, 50, 6) == ["python mine.py"]


def test_a_new_name_has_the_command_line_read_at_once(host: _Host) -> None:
    host.proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    assert len(_changes(host, 50, 1)) == 1
    host.proc.files["50/cmdline"] = "python\0mine.py\0"
    host.proc.set_stat(50, 1, "pt_main")

    assert _changes(host, 50, 1) == ["python mine.py"]


def test_titles_that_change_all_the_time_fill_no_disk_and_hide_no_gpu(host: _Host) -> None:
    host.proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    told = []
    for n in range(100):
        host.proc.files["50/cmdline"] = f"ray::task{n}\0"
        host.proc.set_stat(50, 1, f"ray::{n}")
        told += _changes(host, 50, 1)
    assert len(told) == 16
    assert host.table.by_pid[50].record(gone=True).cmdline == "ray::task99"

    host.table.mark_gpu(50, "GPU-0")

    assert host.table.by_pid[50].take_change()


def test_another_effective_uid_and_a_stopped_process_are_flagged(host: _Host) -> None:
    host.proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    host.proc.files["50/status"] = host.proc.files["50/status"].replace("Uid:\t1000\t1000", "Uid:\t1000\t0")
    host.look()
    record = host.table.by_pid[50].record(gone=False)
    assert (record.uid, record.flags, record.mono_s) == (1000, ["euid-0"], host.clock.mono_s())
    host.table.by_pid[50].take_change()
    host.proc.files["50/stat"] = host.proc.files["50/stat"].replace(") S ", ") T ")

    host.look()

    assert host.table.by_pid[50].take_change()
    assert host.table.by_pid[50].record(gone=False).flags == ["euid-0", "suspended"]


@pytest.mark.parametrize(
    "comm", [") S 1 (", "a b) R 9 9", "\udcff\udcfe", "x\ny", "((((", "slurmstepd: [7.0]"]
)
def test_a_hostile_name_forges_no_facts(host: _Host, comm: str) -> None:
    host.proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0", ppid=1, comm=comm)
    host.proc.files["50/cmdline"] = f"{comm}\0--token\0geheim\0"

    assert host.look()[50] == (host.runs[0].run, "cgroup")
    process = host.table.by_pid[50]
    assert (process.ppid, process.state, process.stepd) == (1, "S", None)
    line = encode(process.record(gone=False))
    assert line.count("\n") == 1
    assert "geheim" not in line


def test_secrets_on_a_command_line_stay_on_the_node(host: _Host) -> None:
    host.proc.start(50, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0", cmdline="x\0--token=abc\0")
    host.look()

    assert host.table.by_pid[50].record(gone=False).cmdline == "x --token=[redacted]"


@pytest.mark.parametrize(
    ("exe", "flags"),
    [
        ("/usr/bin/python3.11", []),
        ("/memfd:x (deleted)", ["memfd"]),
        ("/tmp/.x/a (deleted)", ["deleted", "tmp"]),
        ("/dev/shm/a", ["tmp"]),
        (None, []),
    ],
)
def test_an_exe_link_says_what_kind_of_file_runs(exe: str | None, flags: list[str]) -> None:
    assert flags_of(exe) == flags


def test_uid_and_time_name_a_run_only_when_one_fits(host: _Host) -> None:
    one, two = host.facts(1, 1000), host.facts(2, 1000)
    ended = host.facts(3, 1000, ended_at=host.clock.now_at() + 5)
    at = host.clock.now_at()

    assert find_by_uid(1000, Started(at + 1, None), [one], None) is not None
    assert find_by_uid(1000, Started(at + 1, None), [one, two], None) is None
    assert find_by_uid(2000, Started(at + 1, None), [one], None) is None
    assert find_by_uid(1000, Started(at - 60, None), [one], None) is None
    assert find_by_uid(1000, Started(at + 1, None), [], ended) is not None
    assert find_by_uid(1000, Started(at + 60, None), [], ended) is None


def _crowd(host: _Host, pids: range, look: int) -> None:
    """Another user's processes rename themselves, as at every look."""
    for pid in pids:
        host.proc.files[f"{pid}/cmdline"] = f"x{look}\0{pid}\0"
        host.proc.set_stat(pid, 1, f"c{look}")


def test_a_crowd_that_renames_itself_keeps_nobody_elses_program_from_being_read() -> None:
    host = _Host(most=4096)
    host.runs.append(host.facts(8, 3000))
    crowd = range(1000, 1000 + MOST_PROGRAMS + 100)
    for pid in crowd:
        host.proc.start(pid, 3000, "0::/system.slice/slurmstepd.scope/job_8/step_0")
    host.look()
    host.proc.start(50_000, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    _crowd(host, crowd, 0)
    host.look()
    assert host.table.by_pid[50_000].cmdline == "python train.py"
    assert host.table.n_unread > 0
    host.proc.files["50000/cmdline"] = "python\0mine.py\0"
    host.proc.set_stat(50_000, 1, "pt_main")
    _crowd(host, crowd, 1)

    host.look()

    assert host.table.by_pid[50_000].cmdline == "python mine.py"


def test_in_a_crowd_each_program_has_its_turn_and_those_on_a_gpu_have_it_at_once() -> None:
    host = _Host(most=4096)
    crowd = range(1000, 1000 + MOST_PROGRAMS + 100)
    for pid in crowd:
        host.proc.start(pid, 1000, "0::/system.slice/slurmstepd.scope/job_7/step_0")
    host.look()
    host.table.mark_gpu(crowd[-1], "GPU-0")
    read = []
    for look in range(4):
        _crowd(host, crowd, look)
        host.look()
        read.append({pid for pid in crowd if host.table.by_pid[pid].cmdline == f"x{look} {pid}"})

    assert all(crowd[-1] in pids for pids in read)
    assert all(len(pids) == MOST_PROGRAMS for pids in read)
    assert all(one | other == set(crowd) for one, other in pairwise(read))


def test_who_makes_its_reader_hang_is_known_by_what_was_read_before(
    host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = "0::/system.slice/slurmstepd.scope/job_7/step_0"
    host.proc.start(50, 1000, cgroup)
    assert _changes(host, 50, 1) == ["python train.py"]
    host.proc.start(51, 1000, cgroup)
    monkeypatch.setattr(host.proc, "is_left_alone", lambda pid: pid in (50, 51))
    for pid in (50, 51):
        del host.proc.link_texts[f"{pid}/exe"], host.proc.files[f"{pid}/cmdline"]

    assert _changes(host, 50, 8) == []
    known = host.table.by_pid[50].record(gone=True)
    assert (known.exe, known.cmdline) == ("/usr/bin/python", "python train.py")
    assert host.table.by_pid[51].due  # of which nothing was ever read: it is told without
