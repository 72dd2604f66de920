"""Every event becomes a line: bounded, never waiting, and valid whatever stands in it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm_guard import wire
from slurm_guard.sampler.events import MOST_A_MINUTE, Journal
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import Node
from tests.unit.sampler.listener import Listener, listening


@pytest.fixture
def log() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


def event(name: str, **detail: Any) -> wire.Event:
    return wire.Event(5.0, "c/7/n1/abcdef01/123", name, detail)


def test_an_event_of_any_kind_is_one_line_and_a_hard_fact_is_a_warning(tmp_path: Path, log: Listener) -> None:
    journal = Journal("n1", log.path)

    for name in ("foreign-process", "gpu-found", "seal-failed", "gpu-unresolved"):
        journal.note(event(name), True, Instant(5.0, 5.0))

    lines = log.take()
    assert [line.split(b">")[0] for line in lines] == [b"<28", b"<30", b"<27", b"<29"]
    bodies = [json.loads(line.split(b": ", 1)[1]) for line in lines]
    assert [body["event"] for body in bodies][:2] == ["foreign-process", "gpu-found"]
    assert bodies[0]["run"] == "c/7/n1/abcdef01/123"


def test_a_flood_of_one_kind_is_counted_instead_and_hides_no_other_kind(
    tmp_path: Path, log: Listener
) -> None:
    journal = Journal("n1", log.path)
    told = []

    for n in range(MOST_A_MINUTE + 500):
        journal.tell(event("sampler-error", n=n), Instant(5.0, 5.0 + n / 100))
        told += log.bodies()
    journal.tell(event("leftover"), Instant(11.0, 11.0))
    journal.tick(Instant(66.0, 66.0))
    journal.tell(event("sampler-error", n=-1), Instant(67.0, 67.0))

    told += log.bodies()
    assert [body["event"] for body in told].count("sampler-error") == MOST_A_MINUTE + 1
    assert {"event": "events-suppressed", "run": None, "of": "sampler-error", "n": 500} in told
    assert told[-1]["n"] == -1
    assert "leftover" in [body["event"] for body in told]


def test_a_full_or_absent_socket_costs_the_line_and_no_time(tmp_path: Path, log: Listener) -> None:
    full, absent = Journal("n1", log.path), Journal("n1", str(tmp_path / "none"))

    for n in range(5000):  # nobody reads: net.unix.max_dgram_qlen is in the hundreds
        full.tell(event(f"kind-{n}"), Instant(5.0, 5.0))
    absent.tell(event("leftover"), Instant(5.0, 5.0))

    assert full.n_lost + len(log.take()) == 5000
    assert full.n_lost > 0
    assert absent.n_lost == 1


def test_what_is_no_json_costs_its_line_alone(tmp_path: Path, log: Listener) -> None:
    journal = Journal("n1", log.path)
    loop: list[Any] = []
    loop.append(loop)

    journal.tell(event("a", loop=loop), Instant(5.0, 5.0))
    journal.tell(event("b"), Instant(5.0, 5.0))

    assert [body["event"] for body in log.bodies()] == ["b"]
    assert journal.n_lost == 1


def test_the_loops_first_and_last_word_reach_the_journal_with_the_reason(
    tmp_path: Path, log: Listener
) -> None:
    node = Node(tmp_path)
    node.loop.streams.journal = Journal("n1", log.path)
    node.turn(3)

    node.loop.stop("SIGTERM")

    told = log.bodies()
    assert [body["event"] for body in told][-1] == "sampler-stopped"
    assert told[-1]["reason"] == "SIGTERM"


def test_the_tally_counts_what_was_recorded_and_what_the_disk_refused(tmp_path: Path, log: Listener) -> None:
    node = Node(tmp_path, window_s=10)
    run = node.ticket(1, 1000, [0])
    node.turn(35)
    tally = node.loop.streams.journal.tally

    windows = node.records("window")

    assert tally.n_windows == len(windows) > 3
    assert tally.gap_ms == sum(window["gap_ms"] for window in windows)
    assert tally.window_end_at[run] == max(w["end_at"] for w in windows if w["run"] == run)
    assert tally.events["sampler-started"] == 1
    assert tally.n_dropped == 0
    tally.count(event("leftover"), False)
    assert tally.n_dropped == 1
