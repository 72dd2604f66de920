"""Event files of one folder: a resume, ranks, and two runs that were written at once."""

import os
from pathlib import Path

import pytest

from slurm_guard.progress import eventruns
from slurm_guard.progress.eventruns import Written, group, writer_of
from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.unit import Input, read_unit
from tests.unit.progress.event_files import event, scalar, version

T0 = 1_785_568_777.0
NAME = "events.out.tfevents.1785568777"


def tracks(tmp_path: Path, *files: tuple[str, list[tuple[int, float]]]) -> dict[str, list[int | None]]:
    """Track -> its steps, of files of (writer, [(step, seconds)…])."""
    inputs = []
    for nth, (writer, rows) in enumerate(files):
        path = tmp_path / f"{NAME}.{writer}"
        path.write_bytes(
            version(T0) + b"".join(event(T0 + at, step, scalar("loss", 1.0)) for step, at in rows)
        )
        fd = os.open(path, os.O_RDONLY)
        inputs.append(Input(nth, fd, str(path), "fd", path.stat().st_size, 1 << 20))
    told, marks = read_unit(inputs)
    for one in inputs:
        os.close(one.fd)
    assert told[0].track
    found: dict[str, list[int | None]] = {}
    for mark in marks:
        found.setdefault(mark.track.rpartition("~")[2][6:], []).append(mark.step)
    return found


def test_a_resume_goes_on_in_one_track(tmp_path: Path) -> None:
    first = [(n, 10.0 * n) for n in range(20)]
    second = [(n, 300 + 10.0 * n) for n in range(15, 30)]

    assert list(tracks(tmp_path, ("h.7.0", first), ("h.8.0", second))) == [""]


def test_ranks_in_step_are_one(tmp_path: Path) -> None:
    rows = [(n, 10.0 * n) for n in range(20)]

    found = tracks(tmp_path, ("h.7.0", rows), ("h.8.0", [(n, at + 0.5) for n, at in rows]))

    assert found == {"": list(range(20))}


def test_two_writers_of_one_process_are_one(tmp_path: Path) -> None:
    found = tracks(
        tmp_path,
        ("h.7.0", [(n, 10.0 * n) for n in range(20)]),
        ("h.7.1", [(7 * n, 9.0 * n) for n in range(9)]),
    )

    assert list(found) == [""]


@pytest.mark.parametrize("pace", [3.0, 25.0])
def test_two_runs_at_once_are_two(tmp_path: Path, pace: float) -> None:
    slow = [(n, 10.0 * n) for n in range(60)]
    other = [(n, 100 + pace * n) for n in range(60)]

    found = tracks(tmp_path, ("h.7.0", slow), ("h.8.0", other))

    assert found == {"": list(range(60)), ".2": list(range(60))}


@pytest.mark.parametrize(
    ("name", "writer"),
    [("h.7.0", "h.7"), ("n1.cluster.example.42.0.v2", "n1.cluster.example.42"), ("n1", ""), ("", "")],
)
def test_the_writer_stands_in_the_name(name: str, writer: str) -> None:
    assert writer_of(f"/w/{NAME}.{name}") == writer


def test_each_file_is_gone_through_once_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    gaps: list[int] = []
    counted = eventruns._gap

    def count(times: dict[int, float]) -> float:
        gaps.append(len(times))
        return counted(times)

    monkeypatch.setattr(eventruns, "_gap", count)
    ranks = [
        Written([Claim(50 * n, "step", step=n, at=T0 + n + rank / 100) for n in range(40)], f"h{rank}.{rank}")
        for rank in range(8)
    ]
    other = Written([Claim(50 * n, "step", step=3 * n + 1, at=T0 + n) for n in range(40)], "x.1")

    groups = group([*ranks, other])

    assert sorted(groups) == [list(range(8)), [8]]
    assert gaps == [40] * 9


def test_files_without_a_single_step_are_told_apart_and_raise_nothing() -> None:
    empty = [Written([Claim(9, "x", at=T0), Claim(9, "x", at=T0 + 99)], f"h.{nth}") for nth in range(2)]

    assert group(empty) == [[0], [1]]
    assert group([Written([], "a"), Written([], "b")]) == [[0, 1]]
