"""slurmd's environment as untrusted data."""

import pytest

from slurm_guard.hooks.environ import Environ, is_safe_name, parse_indices


@pytest.mark.parametrize(
    ("text", "indices"),
    [("0", [0]), ("0,2,3", [0, 2, 3]), ("0-3", [0, 1, 2, 3]), ("1,4-5", [1, 4, 5]), ("", [])],
)
def test_indices_are_read_as_slurm_writes_them(text: str, indices: list[int]) -> None:
    assert parse_indices(text) == indices


@pytest.mark.parametrize("text", [",", "0,", "a", "3-1", "-1", "0-", "1e1", "0-99999999", "9999", "²", "0 1"])
def test_anything_else_is_no_list_of_indices(text: str) -> None:
    with pytest.raises(ValueError):
        parse_indices(text)


def test_absent_gpus_are_null_and_an_empty_list_is_none_given() -> None:
    absent, empty = Environ({}), Environ({b"SLURM_JOB_GPUS": b""})

    assert absent.gpus() is None
    assert absent.why["gpus"] == "SLURM_JOB_GPUS is not set"
    assert empty.gpus() == []


def test_overlong_gpu_list_is_null_with_a_reason() -> None:
    environ = Environ({b"SLURM_JOB_GPUS": b"0," * 100_000 + b"1"})

    assert environ.gpus() is None
    assert "gpus" in environ.why


@pytest.mark.parametrize(
    "value", [b"-1", b"1.0", b" 1", b"1\n", b"", b"\xd9\xa3", b"9" * 5000, b"4294967296"]
)
def test_odd_integer_is_null_with_a_reason(value: bytes) -> None:
    environ = Environ({b"SLURM_JOB_UID": value})

    assert environ.integer("uid", "SLURM_JOB_UID") is None
    assert "SLURM_JOB_UID" in environ.why["uid"]


@pytest.mark.parametrize(("value", "uid"), [(b"4294967294", 4294967294), (b"4294967295", None)])
def test_what_the_kernel_takes_for_no_change_is_no_uid(value: bytes, uid: int | None) -> None:
    environ = Environ({b"SLURM_JOB_ID": b"7", b"SLURM_JOB_UID": value})

    assert environ.identity().uid == uid
    assert ("SLURM_JOB_UID" in environ.why.get("uid", "")) == (uid is None)


def test_zero_is_a_value() -> None:
    environ = Environ({b"SLURM_JOB_RESTART_COUNT": b"0"})

    assert environ.integer("restart_count", "SLURM_JOB_RESTART_COUNT") == 0
    assert environ.why == {}


def test_second_name_serves_when_the_first_is_unset() -> None:
    assert Environ({b"SLURM_UID": b"5"}).integer("uid", "SLURM_JOB_UID", "SLURM_UID") == 5


@pytest.mark.parametrize("name", ["n1", "gpu-a100.cluster_2", "N"])
def test_host_names_are_safe(name: str) -> None:
    assert is_safe_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "-n", "a/b", "a b", "a\n", "é", "x" * 81, "a\0"])
def test_what_could_leave_its_folder_is_not(name: str) -> None:
    assert not is_safe_name(name)


def test_hostile_node_name_falls_back_with_a_reason() -> None:
    environ = Environ({b"SLURM_JOB_ID": b"7", b"SLURMD_NODENAME": b"../x", b"SLURM_CLUSTER_NAME": b"c/d"})

    who = environ.identity()

    assert is_safe_name(who.node)
    assert who.cluster == "unknown"
    assert {"node", "cluster"} <= environ.why.keys()


def test_job_without_an_id_is_refused() -> None:
    with pytest.raises(ValueError, match="SLURM_JOB_ID is not set"):
        Environ({}).identity()


def test_without_a_proc_the_reason_is_said() -> None:
    with pytest.raises(ValueError, match=r"no /nowhere \(No such file or directory\): nothing is written"):
        Environ({b"SLURM_JOB_ID": b"7"}, "/nowhere").identity()
