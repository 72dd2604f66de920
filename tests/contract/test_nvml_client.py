"""NVML from its own process: what hangs, dies or babbles there costs readings, never the sampler."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from slurm_guard.sampler import nvml_client, nvml_hangs
from slurm_guard.sampler.children import Child
from slurm_guard.sampler.nvml_client import NvmlClient, Pace
from slurm_guard.sampler.nvml_process import MOST_STUCK
from slurm_guard.sampler.reading import GpuFacts, GpuReading, PastProc
from tests.contract import nvml_rig
from tests.contract.nvml_rig import NvmlRig, work
from tests.unit.sampler.fakes import Node

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc: the rig's NVML cannot be built")
ROOT = Path(__file__).resolve().parents[2]
PACE = Pace(interval_s=0.2, gap_limit_s=3.0, lists_every_s=0.4, deadline_s=1.5)
PATIENT = PACE._replace(deadline_s=30.0)  # for tests in which nothing hangs: a busy machine may be slow
LONG_S = 60.0


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[NvmlRig]:
    rig = NvmlRig(tmp_path / "gpu")
    yield rig
    rig.end()


Make = Callable[..., NvmlClient]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Clients that are closed at the end."""
    made: list[NvmlClient] = []

    def client(pace: Pace = PATIENT, accounting: bool = False) -> NvmlClient:
        made.append(nvml_rig.client(tmp_path, pace, accounting))
        return made[-1]

    yield client
    for one in made:
        one.close()


def _turn(client: NvmlClient, until: Callable[[dict[str, GpuReading]], bool]) -> dict[str, GpuReading]:
    """Rounds until the readings are as wanted."""
    end_s = time.monotonic() + LONG_S
    last: dict[str, GpuReading] = {}
    while time.monotonic() < end_s:
        for gpu in client.gpus():
            reading = client.read(gpu)
            if reading is not None:
                last[gpu.uuid] = reading
        if until(last):
            return last
        time.sleep(client._pace.interval_s)
    raise AssertionError(f"not within {LONG_S} s: {last}")


def _all_good(n: int) -> Callable[[dict[str, GpuReading]], bool]:
    return lambda last: len(last) == n and all(r.power_mw is not None for r in last.values())


def test_readings_lists_and_facts_come_through_the_pipe(rig: NvmlRig, make: Make) -> None:
    rig.begin("h100", "v100")
    rig.step(1.0, work())
    client = make()

    last = _turn(client, lambda last: _all_good(2)(last) and last[rig.boards[0].uuid].sm_pct is not None)
    records: list[GpuFacts | PastProc] = []
    while not any(isinstance(record, GpuFacts) and "sm_pct" in record.answers for record in records):
        _turn(client, _all_good(2))
        records += client.take_records()
    first, second = client.gpus()
    (listed,) = client.processes(first) or []
    (again,) = client.processes(first) or []

    assert [gpu.model for gpu in (first, second)] == [board.spec.name for board in rig.boards]
    assert last[first.uuid].energy_mj == int(rig.boards[0].totals().energy_mj)
    assert last[first.uuid].more is not None
    assert last[second.uuid].why["sm_pct"] == "GPM: not on this GPU"
    assert abs(last[first.uuid].mono_s - time.monotonic()) < LONG_S
    assert (listed.pid, listed.sm_pct is None, again.sm_pct) == (4242, False, None)
    assert client.take_notes() == []


FORKED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from slurm_guard.sampler.nvml_client import NvmlClient, Pace
client = NvmlClient(time.monotonic, time.time, Pace(0.1, 3.0, 0.4, 30.0), sys.argv[2])
client.begin()
begun = client.process.child.pid
until_s = time.monotonic() + 60
reading = None
while (reading is None or reading.power_mw is None) and time.monotonic() < until_s:
    for gpu in client.gpus():
        reading = client.read(gpu) or reading
    time.sleep(0.1)
with open(f"/proc/{begun}/comm") as comm:
    name = comm.read().strip()
same = client.process.child.pid == begun
client.close()
print(reading.power_mw > 0, name, same, sorted(set(sys.modules) & {"pynvml", "ctypes"}), client.process.stuck)
"""


def test_a_child_that_is_forked_before_it_is_asked_reads_the_boards(rig: NvmlRig, tmp_path: Path) -> None:
    rig.begin("h100")
    command = [sys.executable, "-c", FORKED, str(ROOT), str(tmp_path)]
    env = {**os.environ, "LD_LIBRARY_PATH": str(rig.folder)}

    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=100)

    assert (done.stdout, done.stderr) == ("True guard-nvml True [] []\n", "")


def test_a_call_that_hangs_silences_its_gpu_with_a_reason_and_the_others_go_on(
    rig: NvmlRig, make: Make
) -> None:
    rig.begin("h100", "h100", "h100")
    client = make(PACE)
    _turn(client, _all_good(3))
    hung = client.gpus()[1].uuid

    rig.knobs("hang 1")
    silent = _turn(client, lambda last: hung in last and last[hung].power_mw is None)
    silent_at = {uuid: reading.mono_s for uuid, reading in silent.items()}
    after = _turn(
        client,
        lambda last: len(last) == 3
        and all(r.mono_s > silent_at.get(u, 0.0) + 0.5 for u, r in last.items())
        and [u for u, r in last.items() if r.power_mw is None] == [hung],
    )  # fmt: skip
    notes = client.take_notes()

    assert "did not answer" in silent[hung].why["power_mw"] or "hung" in silent[hung].why["power_mw"]
    assert "left out" in after[hung].why["power_mw"]
    assert [name for name, _ in notes] == ["nvml-apart", "nvml-hung"]
    assert [(note["gpu"], note["at"]) for _, note in notes] == [(hung, "counters")] * 2
    assert client.n_hung == 1
    assert [gpu.uuid for gpu in client.gpus()] == [board.uuid for board in rig.boards]


def test_a_gpu_that_was_left_out_is_tried_again(
    rig: NvmlRig, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml_hangs, "LEAST_OUT_S", 1.0)
    rig.begin("h100", "h100")
    client = make(PACE)
    _turn(client, _all_good(2))
    hung = client.gpus()[0].uuid

    rig.knobs("hang 0")
    _turn(client, lambda last: hung in last and "left out" in last[hung].why.get("power_mw", ""))
    rig.knobs()
    monkeypatch.setattr(nvml_client, "PROMPT", 3)

    _turn(client, _all_good(2))
    _turn(client, lambda last: _all_good(2)(last) and client.tell()["apart"] == [])

    assert [name for name, _ in client.take_notes()] == ["nvml-apart", "nvml-hung", "nvml-back"]


@pytest.mark.parametrize("knob", ["hang {}", "slow {} 700"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_others_readings_lie_no_farther_apart_than_a_gap_while_one_gpu_does_not_answer(
    rig: NvmlRig, make: Make, knob: str, place: int
) -> None:
    rig.begin("h100", "h100", "h100")
    client = make(PACE._replace(deadline_s=4.0))
    _turn(client, _all_good(3))
    uuids = [gpu.uuid for gpu in client.gpus()]
    seen: dict[str, list[GpuReading]] = {uuid: [] for uuid in uuids}

    rig.knobs(knob.format(place))
    end_s = time.monotonic() + 8.0
    while time.monotonic() < end_s:
        for gpu in client.gpus():
            reading = client.read(gpu)
            if reading is not None:
                seen[gpu.uuid].append(reading)
        time.sleep(PACE.interval_s)

    others = [uuid for uuid in uuids if uuid != uuids[place]]
    for uuid in others:
        assert all(reading.power_mw is not None for reading in seen[uuid])
        times = [reading.mono_s for reading in seen[uuid]]
        assert max(b - a for a, b in pairwise(times)) <= PACE.gap_limit_s
    own = [reading.mono_s for reading in seen[uuids[place]]]
    assert all(0 < b - a <= PACE.gap_limit_s for a, b in pairwise(own))  # its gaps are silence, no stalls
    silent = [reading for reading in seen[uuids[place]] if reading.power_mw is None]
    assert all("NVML" in reading.why["power_mw"] for reading in silent)
    assert client.tell()["apart"] + client.tell()["left_out"] == [place]


def test_more_gpus_than_are_asked_apart_are_left_out_one_by_one(rig: NvmlRig, make: Make) -> None:
    rig.begin(*["h100"] * 5)
    client = make(PACE)
    _turn(client, _all_good(5))
    last_uuid = client.gpus()[4].uuid

    rig.knobs(*[f"hang {place}" for place in range(4)])
    _turn(client, lambda last: sum(r.power_mw is None for r in last.values()) == 4)
    before = time.monotonic()
    _turn(client, lambda last: last_uuid in last and last[last_uuid].mono_s > before)

    assert len(client.tell()["apart"]) <= nvml_client.MOST_APART
    assert {note["gpu"] for name, note in client.take_notes() if name == "nvml-hung"} <= {
        gpu.uuid for gpu in client.gpus()[:4]
    }


def test_a_single_gpu_that_hangs_is_given_up_at_the_deadline(rig: NvmlRig, make: Make) -> None:
    rig.begin("h100")
    client = make(PACE)
    (gpu,) = _turn(client, _all_good(1))

    rig.knobs("hang 0")
    last = _turn(client, lambda last: last[gpu].power_mw is None if gpu in last else False)

    assert "left out" in last[gpu].why["power_mw"] or "did not answer" in last[gpu].why["power_mw"]
    assert [name for name, _ in client.take_notes()] == ["nvml-hung"]


def test_a_slow_driver_s_readings_are_kept_with_their_own_times(rig: NvmlRig, make: Make) -> None:
    rig.begin("h100")
    rig.knobs("slow 0 60")  # some twenty calls: more than a round waits
    client = make(PATIENT._replace(gap_limit_s=LONG_S))  # nor is an answer that a busy machine delays a gap
    seen: list[GpuReading] = []

    _turn(client, lambda last: _keep(seen, last) >= 3)

    assert all(reading.power_mw is not None for reading in seen)
    assert [r.mono_s for r in seen] == sorted(r.mono_s for r in seen)
    assert client.take_notes() == []
    assert client.n_hung == 0


def _keep(seen: list[GpuReading], last: dict[str, GpuReading]) -> int:
    seen += [reading for reading in last.values() if reading not in seen]
    return len(seen)


def test_a_killed_child_is_replaced(rig: NvmlRig, make: Make) -> None:
    rig.begin("h100")
    client = make()
    last = _turn(client, _all_good(1))
    first = client.process.child
    assert first is not None

    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    _turn(client, lambda now: _all_good(1)(now) and now != last and client.process.child not in (first, None))

    names = [name for name, _ in client.take_notes()]
    assert names[0] == "nvml-hung"
    assert names.count("nvml-hung") == 1


NONSENSE = [b"hello\n", b"[]\n", b'["hello", ["at"]]\n', b"", b"x" * (3 << 20)]


@pytest.mark.parametrize("words", NONSENSE, ids=["text", "empty", "version", "silence", "flood"])
def test_a_child_that_says_nonsense_is_given_up_with_a_reason(make: Make, words: bytes) -> None:
    def babble(_: int, out: int) -> None:
        with open(out, "wb") as said:
            said.write(words)

    client = make(PACE)
    client.process.main = babble
    end_s = time.monotonic() + LONG_S

    notes: list[tuple[str, dict[str, object]]] = []
    while not notes and time.monotonic() < end_s:
        assert client.gpus() == []
        time.sleep(0.1)
        notes = client.take_notes()

    assert [name for name, _ in notes] == ["nvml-hung"]
    assert "NVML process" in str(notes[0][1]["reason"])


def test_a_child_that_cannot_be_had_is_a_reason(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    client = make()
    monkeypatch.setattr(os, "fork", refuse)

    assert client.gpus() == []
    assert client.why == "no NVML process: Resource temporarily unavailable"


class _Stuck(Child):
    """As a child in an uninterruptible call: killed, and still there."""

    def poll(self) -> int | None:
        return None


def test_children_that_the_kernel_keeps_are_counted_and_no_more_are_started(rig: NvmlRig, make: Make) -> None:
    rig.begin("h100")
    client = make(PACE)
    _turn(client, _all_good(1))
    (gpu,) = client.gpus()
    ended = [_Stuck(0, -1, -1) for _ in range(MOST_STUCK)]
    client.process.stuck += ended

    assert client.process.child is not None
    client._give_up("NVML did not answer for 9 s", hung=True)
    last = _turn(client, lambda last: gpu.uuid in last and last[gpu.uuid].power_mw is None)

    assert client.process.child is None
    assert client.tell()["stuck"] >= MOST_STUCK
    assert last[gpu.uuid].why["power_mw"] != ""
    client.process.stuck = [c for c in client.process.stuck if c not in ended]


def test_accounting_is_put_back_at_the_end_and_after_a_kill(rig: NvmlRig, make: Make) -> None:
    rig.begin("h100")
    first = make(accounting=True)
    mode = rig.folder / "accounting.0"
    _turn(first, lambda _: mode.exists())

    assert first.process.child is not None
    first.process.child.kill()
    first.process.child.wait()
    first.close()
    left_on = mode.exists()
    second = make(accounting=True)
    _turn(second, _all_good(1))
    second.close()

    assert left_on
    assert not mode.exists()


def test_the_loop_writes_hangs_and_what_each_gpu_gives(
    rig: NvmlRig, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml_hangs, "LEAST_OUT_S", 1.0)
    rig.begin("h100", "h100")
    node = Node(tmp_path / "node")
    node.gpus = make(PACE)  # type: ignore[assignment]
    node.sampler()
    end_s = time.monotonic() + LONG_S

    def turn_until(done: Callable[[], bool]) -> None:
        while not done():
            assert time.monotonic() < end_s
            node.turn(1.0)
            time.sleep(0.1)

    turn_until(lambda: len(node.records("gpu")) >= 2 and len(node.loop.boards) == 2)
    rig.knobs("hang 1")
    turn_until(lambda: bool(node.events("nvml-hung")))
    rig.knobs()
    turn_until(lambda: bool(node.events("nvml-back")))
    node.loop.stop("end")

    hung = rig.boards[1].uuid
    assert node.events("nvml-hung")[0]["detail"]["gpu"] == hung
    seen = {record["gpu"]: record for record in node.records("gpu")}
    assert set(seen) == {board.uuid for board in rig.boards}
    assert seen[hung]["driver"] == "590.48.01"
    assert "energy_mj" in seen[hung]["answers"]
    assert node.events("sampler-error") == []
    windows = [window for window in node.records("window") if window["gpu"] == hung]
    assert any("hung" in window["why"].get("power_mw", "") for window in windows)


def test_a_client_that_gave_nvml_back_takes_it_again_with_the_next_question(rig: NvmlRig, make: Make) -> None:
    rig.begin("h100")
    client = make()
    before = _turn(client, _all_good(1))

    client.close()
    given_back = client.process.child is None
    after = _turn(client, lambda last: _all_good(1)(last) and last != before)

    assert given_back
    assert client.take_notes() == []
    assert set(after) == set(before)
