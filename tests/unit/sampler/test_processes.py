"""Processes find their run by cgroup, by slurmstepd, by memory; never another uid's or another node's."""

from typing import Any

import pytest

from slurm_guard.clock import FakeClock
from slurm_guard.sampler.attribution import RunFacts, Started, find_by_uid
from slurm_guard.sampler.processes import ProcessTable, flags_of
from slurm_guard.sampler.writer import Instant
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
