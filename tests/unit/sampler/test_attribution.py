"""Two clocks, two clusters, two nodes: what attribution knows and what it must not guess."""

import pytest

from slurm_guard.sampler.attribution import (
    Ancestor,
    Found,
    Origin,
    RunFacts,
    Started,
    find_by_uid,
    find_job,
    find_run,
    is_other_nodes,
    run_of_job,
)
from slurm_guard.sampler.cgroups import JobRef

JOB = JobRef(7, None, None, "batch")
RUN = RunFacts("c/7/n1/b/1", 7, None, 1000, 5000.0, None, frozenset(), "c", 100.0)
LATER = Started(5010.0, 110.0)


def _origin(uid: int | None, ref: JobRef | None = JOB, *above: Ancestor) -> Origin:
    return Origin(uid, LATER, ref, list(above))


@pytest.mark.parametrize("wall", [0.0, 5000.0, 9e9])
def test_the_boot_clock_decides_whatever_the_wall_clock_says(wall: float) -> None:
    ended = RUN._replace(ended_at=5100.0, ended_boot_s=200.0)

    assert ended.started_after_begin_s(Started(wall, 99.0)) == -1.0
    assert ended.started_after_end_s(Started(wall, 201.0)) == 1.0
    assert find_by_uid(1000, Started(wall, 150.0), [ended], None) == Found(RUN.run, "uid-time")
    assert find_by_uid(1000, Started(wall, 90.0), [ended], None) is None
    assert find_by_uid(1000, Started(wall, 210.0), [ended], None) is None


def test_a_ticket_without_a_boot_time_is_compared_on_the_wall_clock() -> None:
    old = RUN._replace(boot_s=None)

    assert old.started_after_begin_s(Started(5010.0, 3.0)) == 10.0
    assert old.started_after_end_s(Started(5010.0, 3.0)) is None


def test_of_two_runs_of_a_job_the_one_before_the_process_is_taken_though_the_clock_was_set() -> None:
    second = RUN._replace(run="second", at=1400.0, boot_s=300.0)  # an hour back

    assert run_of_job(JOB, [RUN, second], Started(1450.0, 350.0)) == second
    assert run_of_job(JOB, [RUN, second], Started(1350.0, 250.0)) == RUN


def test_the_same_job_id_in_two_clusters_is_told_apart_by_the_uid_or_not_at_all() -> None:
    other = RUN._replace(run="d/7/n1/b/2", cluster="d", uid=2000, boot_s=105.0)

    assert find_run(_origin(1000), [RUN, other], "n1") == Found(RUN.run, "cgroup")
    assert find_run(_origin(2000), [RUN, other], "n1") == Found(other.run, "cgroup")
    assert find_run(_origin(3000), [RUN, other], "n1") is None
    assert find_run(_origin(1000), [RUN, other._replace(uid=1000)], "n1") is None


@pytest.mark.parametrize(
    ("uid", "run_uid", "found"),
    [
        (1000, 1000, Found(RUN.run, "cgroup")),
        (100_999, 1000, Found(RUN.run, "cgroup", other_uid=True)),
        (1000, None, Found(RUN.run, "cgroup")),  # the ticket knows no uid: there is none to differ from
        (0, 1000, None),
        (None, 1000, None),
    ],
)
def test_in_the_jobs_cgroup_any_users_process_is_the_runs(
    uid: int | None, run_uid: int | None, found: Found | None
) -> None:
    assert find_run(_origin(uid), [RUN._replace(uid=run_uid)], "n1") == found


def test_an_ancestor_gives_nobody_another_users_process() -> None:
    stepd, memory = Ancestor(JOB, None, 0), Ancestor(None, RUN.run, 1000)

    assert find_run(_origin(1000, None, stepd), [RUN], "n1") == Found(RUN.run, "stepd")
    assert find_run(_origin(2000, None, stepd), [RUN], "n1") is None
    assert find_run(_origin(2000, None, memory), [RUN], "n1") is None


@pytest.mark.parametrize("by", ["cgroup", "stepd"])
@pytest.mark.parametrize(("node", "other"), [("n1", False), ("n2", True), (None, False)])
def test_a_process_of_another_slurmd_on_the_host_is_known_as_such(
    by: str, node: str | None, other: bool
) -> None:
    job = JOB._replace(node=node)
    origin = _origin(1000, job) if by == "cgroup" else _origin(1000, None, Ancestor(job, None, 0))

    assert is_other_nodes(origin, "n1") is other
    assert find_job(origin) == job
    assert (find_run(origin, [RUN], "n1") is None) is other


def test_a_process_in_no_job_is_no_other_nodes() -> None:
    origin = _origin(1000, None, Ancestor(None, None, 1000))

    assert (find_job(origin), is_other_nodes(origin, "n1")) == (None, False)
