"""A process's job is read from path components, in every layout that Slurm has had."""

import pytest

from slurm_guard.sampler.cgroups import JobRef, parse_cgroup, parse_stepd_socket, parse_title


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6:freezer:/slurm/uid_1000/job_45/step_batch\n0::/\n", JobRef(45, None, None, "batch")),
        ("6:freezer:/slurm_n1/uid_0/job_45/step_batch\n", JobRef(45, None, "n1", "batch")),
        ("12:devices:/x\n6:memory:/slurm_n1/uid_7/job_45/step_0/task_3\n", JobRef(45, None, "n1", "0")),
        ("6:freezer:/docker/abc/slurm/uid_7/job_9\n", JobRef(9, None, None, None)),
        ("6:freezer:/our.own.name/uid_7/job_9/step_extern\n", JobRef(9, None, None, "extern")),
        ("0::/system.slice/slurmstepd.scope/job_12/step_0/user/task_0\n", JobRef(12, None, None, "0")),
        ("0::/system.slice/n2_slurmstepd.scope/job_12/step_batch/slurm\n", JobRef(12, None, "n2", "batch")),
        (
            "0::/hpc.slice/sub.slice/gpu_01_slurmstepd.scope/job_12/step_interactive/user/task_special\n",
            JobRef(12, None, "gpu_01", "interactive"),
        ),
        (
            "0::/system.slice/slurmstepd.scope/sEKNKTV3WPV500/step_0\n",
            JobRef(None, "sEKNKTV3WPV500", None, "0"),
        ),
        ("0::/kubepods/pod1/abc/system.slice/slurmstepd.scope/job_3/step_1\n", JobRef(3, None, None, "1")),
        ("0::/system.slice/slurmstepd.scope/system\n", None),
        ("0::/system.slice/slurmd.service\n", None),
        ("0::/user.slice/user-1000.slice/user@1000.service/slurmstepd.scope/job_5/step_0\n", None),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
        ("0::/system.slice/slurmstepd.scope/job_4x/step_0\n", None),
        ("0::/uid_5/tmp/job_9\n", None),
        ("", None),
        ("garbage without colons", None),
    ],
)
def test_a_cgroup_names_its_job(text: str, expected: JobRef | None) -> None:
    assert parse_cgroup(text) == expected


def test_a_job_folder_inside_another_job_is_that_other_jobs() -> None:
    text = "0::/system.slice/slurmstepd.scope/job_1/step_0/user/task_0/slurmstepd.scope/job_2/step_0\n"

    assert parse_cgroup(text) == JobRef(1, None, None, "0")


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("slurmstepd: [44.batch]", JobRef(44, None, None, "batch")),
        ("slurmstepd: [44.0]", JobRef(44, None, None, "0")),
        ("slurmstepd: [44.extern]", JobRef(44, None, None, "extern")),
        ("slurmstepd: [100+1.0]", JobRef(100, None, None, "0")),
        ("slurmstepd: [sEKNKTV3WPV500.batch]", JobRef(None, "sEKNKTV3WPV500", None, "batch")),
        ("/usr/sbin/slurmd -N n1", None),
        ("python slurmstepd: [44.batch]", None),
        ("slurmstepd: x", None),
    ],
)
def test_a_slurmstepds_title_names_its_job(title: str, expected: JobRef | None) -> None:
    assert parse_title(title) == expected


def test_a_slurmstepds_socket_names_its_node() -> None:
    job = JobRef(44, None, None, "batch")

    assert parse_stepd_socket("/var/spool/slurmd/n1/n1_44.4294967291", job) == "n1"
    assert parse_stepd_socket("/var/spool/gpu_node-7_44.0", job) == "gpu_node-7"
    assert parse_stepd_socket("/var/spool/n1_45.0", job) is None
