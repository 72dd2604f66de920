"""The harness itself, without a cluster: a fault that did not happen, or that hurt, must never pass."""

import errno
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.rig.faults.case import Case, Fault
from tests.rig.faults.evidence import Row, Told, seen_s
from tests.rig.faults.judge import EDGE_S, Found, judge
from tests.rig.faults.shim import Page, build_shim
from tests.rig.faults.table import FAULTS, choose
from tests.rig.workloads.witness import last_line, learn

LINE = last_line(1, 5)


class Watched(NamedTuple):
    down: list[tuple[float, float]]


class Node(NamedTuple):
    """As much of a bench as a judge looks at."""

    watch: Watched


def a_case(traces: tuple[str, ...] = ("none",), where: str = "sampler") -> Any:
    case = Case(Fault("x", where, "something", lambda _case: None, traces), Node(Watched([])), 1)  # type: ignore[arg-type]
    case.since_at, case.until_at, case.begun_at = 100.0, 130.0, 101.0
    case.who = type("W", (), {"job": 7})()
    return case


def found(covered_s: float = 20.0, **changed: Any) -> Found:
    rows = [Row(7, "COMPLETED", "0:0", 100, 120, 20, "n1", 1)]
    windows = [{"covered_ms": int(covered_s * 1000), "energy_mj": 5}]
    return Found(rows, windows, [], [LINE], [], [], "", [], [])._replace(**changed)


def problems(case: Any, what: Found) -> str:
    """Without those of the audit, which this test has none of."""
    return "; ".join(p for p in judge(case, what, LINE, 5.0).problems if "audit has no such run" not in p)


def test_a_run_that_was_seen_and_ended_well_passes() -> None:
    assert problems(a_case(), found()) == ""


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (found(rows=[Row(7, "FAILED", "1:0", 100, 120, 20, "n1", 1)]), "ended as FAILED"),
        (found(said=["something else"]), "its output ends with"),
        (found(drained=["out of service: n1 drained"]), "out of service"),
        (found(covered_s=20.0 - EDGE_S - 5.5), "without data"),
        (found(rows=[]), "no end of the job"),
        (found(open_names=["x.000000.jsonl"]), "never closed"),
        (found(seals=[{"n_windows": 0}]), "speak of 0 windows"),
    ],
)
def test_each_harm_fails_the_row(what: Found, words: str) -> None:
    assert words in problems(a_case(), what)


def test_a_fault_without_its_trace_fails_and_another_runs_trace_is_none() -> None:
    case = a_case(("event:stalled",))
    assert "no trace" in problems(case, found())

    case.told = [Told(110.0, "stalled", "rig/8/n1/aa/1", "{}")]
    assert "no trace" in problems(case, found())

    case.told = [Told(110.0, "stalled", None, "{}")]
    assert problems(case, found()) == ""


def test_time_without_a_sampler_is_allowed_and_no_more() -> None:
    case = a_case()
    case.bench.watch.down.append((105.0, 109.0))

    assert problems(case, found(covered_s=20.0 - EDGE_S - 5.0 - 3.0)) == ""
    assert "without data" in problems(case, found(covered_s=1.0))


def test_a_fault_that_did_not_take_place_fails() -> None:
    case = a_case()
    case.must(False, "nothing was written")

    assert "not injected" in problems(case, found())


def test_windows_without_any_counter_count_as_unseen() -> None:
    assert seen_s([{"covered_ms": 5000, "energy_mj": None, "busy_ms": 0}]) == 5.0
    assert seen_s([{"covered_ms": 5000, "energy_mj": None, "busy_ms": None}]) == 0.0


def test_there_are_at_least_25_faults_with_names_of_their_own() -> None:
    names = [fault.name for fault in FAULTS]

    assert len(names) >= 25
    assert len(set(names)) == len(names)
    assert {fault.name for fault in choose(["ENOSPC"])} == {"ENOSPC", "ENOSPC-at-end", "hooks-ENOSPC"}


def test_the_witness_learns_the_same_from_the_same_seed() -> None:
    assert last_line(3, 40) == last_line(3, 40) != last_line(4, 40)
    assert learn(3, 40)[-1] < learn(3, 40)[0]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, built."""
    if subprocess.run(["gcc", "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no gcc")
    return build_shim(tmp_path_factory.mktemp("shim"))


def run_with(shim: Path, folder: Path, code: str, role: str = "-c") -> "subprocess.CompletedProcess[str]":
    env = {"LD_PRELOAD": str(shim), "FAULTS_PAGE": str(folder / "page"), "FAULTS_BELOW": f"{folder}/spool/"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**env, "FAULTS_ROLE": role},
        cwd=folder,
        capture_output=True,
        text=True,
    )


WRITE = (
    "import os; fd = os.open('{0}', os.O_WRONLY | os.O_CREAT); os.write(fd, b'abcd'); os.write(fd, b'efgh')"
)


def test_the_library_kills_in_the_middle_of_the_write_that_was_named(shim: Path, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    page = Page(tmp_path / "page")
    page.set(kill_at=2)

    done = run_with(shim, tmp_path, WRITE.format(tmp_path / "spool" / "x"))

    assert done.returncode == -9
    assert (tmp_path / "spool" / "x").read_bytes() == b"abcdef"
    assert page.count("n_kills") == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_the_library_refuses_writes_below_the_folder_and_nowhere_else(
    shim: Path, tmp_path: Path, number: int
) -> None:
    (tmp_path / "spool").mkdir()
    page = Page(tmp_path / "page")
    page.set(write_errno=number)

    inside = run_with(shim, tmp_path, WRITE.format(tmp_path / "spool" / "x"))
    outside = run_with(shim, tmp_path, WRITE.format(tmp_path / "y"))
    another = run_with(shim, tmp_path, WRITE.format(tmp_path / "spool" / "x"), role="another program")

    assert errno.errorcode[number] in inside.stderr or f"[Errno {number}]" in inside.stderr
    assert page.count("n_refused") == 1
    assert (outside.returncode, another.returncode) == (0, 0)


def test_the_library_sets_the_wall_clock_of_children_too_and_no_other_clock(
    shim: Path, tmp_path: Path
) -> None:
    page = Page(tmp_path / "page")
    page.set(clock_us=-3_600_000_000)
    code = (
        "import subprocess, sys, time; print(time.time(), time.monotonic());"
        "print(subprocess.run([sys.executable, '-c', 'import time; print(time.time())'],"
        " capture_output=True, text=True).stdout)"
    )

    now_at, now_s = time.time(), time.monotonic()
    said = [float(word) for word in run_with(shim, tmp_path, code).stdout.split()]

    assert abs(said[0] - (now_at - 3600)) < 60
    assert 0 <= said[1] - now_s < 60
    assert abs(said[2] - (now_at - 3600)) < 120


def test_the_library_refuses_forks_and_lets_them_pass_again(shim: Path, tmp_path: Path) -> None:
    page = Page(tmp_path / "page")
    page.set(fork_errno=errno.EAGAIN)
    code = "import subprocess, sys; subprocess.run(['true'], check=True); print('done')"

    refused = run_with(shim, tmp_path, code)
    page.ease()
    passed = run_with(shim, tmp_path, code)

    assert "BlockingIOError" in refused.stderr
    assert page.count("n_forks_refused") > 0
    assert passed.stdout == "done\n"
