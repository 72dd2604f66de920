"""Event files by the process in their name: a container counts its own pids, and each has the same."""

import json
import os
from typing import Any

import pytest

from slurm_guard.progress.named import KNOWN, OTHER_WRITER, UNKNOWN, by_name
from slurm_guard.progress.request import Request, parse_request

AT = 1_795_000_000.0
HOST_PID, INNER = 41_234, 7


def asked(*authors: list[Any], whole: bool = True) -> Request:
    body = {
        "run": "c/1/gpu-01/ab/1", "node": "gpu-01", "cluster": "c", "uid": 1, "gid": 1, "read": 0,
        "at": AT + 3600, "ticket_at": AT - 60, "ended_at": None, "work_dir": "/w", "out": "/o",
        "authors": list(authors), "all_authors": whole,
    }  # fmt: skip
    return parse_request(json.dumps(body).encode())


def name(pid: int, at: float = AT, host: str = "gpu-01") -> str:
    return f"/w/runs/events.out.tfevents.{at:.0f}.{host}.{pid}.0"


CONTAINED = [HOST_PID, INNER, AT - 20, AT + 3000]
PLAIN = [50, 50, AT - 20, AT + 3000]


def test_a_containers_process_is_known_by_the_pid_that_it_has_inside() -> None:
    assert by_name(name(INNER), asked(CONTAINED)) == (KNOWN, [])


def test_a_containers_process_never_wrote_under_the_pid_that_the_host_gives_it() -> None:
    confidence, problems = by_name(name(HOST_PID), asked(CONTAINED))

    assert confidence == OTHER_WRITER
    assert problems[0].startswith("other-writer: ")


@pytest.mark.parametrize("off_s", [-4000.0, 4000.0])
def test_another_containers_process_of_the_same_number_is_not_taken_for_ours(off_s: float) -> None:
    """Each container begins at 1: only the life of the process tells them apart; nothing is refused by it."""
    assert by_name(name(INNER, AT + off_s), asked(CONTAINED)) == (UNKNOWN, [])


def test_a_process_that_ended_before_the_reading_is_still_known() -> None:
    early = [60, 60, AT - 20, AT + 10]

    assert by_name(name(60), asked(early, PLAIN)) == (KNOWN, [])


@pytest.mark.parametrize(
    "request_",
    [
        asked(PLAIN, whole=False),  # another sampler's time, or too many
        asked(PLAIN, [51, None, AT, AT]),  # a namespace that the kernel does not tell of
        asked(),
    ],
)
def test_where_processes_may_be_missing_nobody_is_called_another(request_: Request) -> None:
    assert by_name(name(999), request_) == (UNKNOWN, [])


def test_the_same_number_on_another_host_says_nothing() -> None:
    assert by_name(name(50, host="gpu-02"), asked(PLAIN)) == (UNKNOWN, [])
    assert by_name(name(50, host="gpu"), asked(PLAIN)) == (UNKNOWN, [])


@pytest.mark.parametrize("host", ["gpu-01", "gpu-01.example.org", os.uname().nodename.split(".")[0]])
def test_the_node_is_known_by_slurms_name_and_its_own(host: str) -> None:
    assert by_name(name(50, host=host), asked(PLAIN)) == (KNOWN, [])


@pytest.mark.parametrize(
    "path",
    [
        f"/w/events.out.tfevents.{AT:.0f}.gpu-01",  # tensorboardX
        "/w/events.out.tfevents.x.gpu-01.50.0",
        "/w/events.out.tfevents.",
        "/w/gpu-01.50.csv",
    ],
)
def test_names_without_a_process_say_nothing(path: str) -> None:
    assert by_name(path, asked(PLAIN)) == (UNKNOWN, [])
