"""What a reading found by its walk is followed from then on."""

import json
from pathlib import Path

from slurm_guard.clock import FakeClock
from slurm_guard.sampler.files import MOST_FAILS, RunFiles
from slurm_guard.sampler.helper import Answer
from slurm_guard.sampler.walked import Findings, walked
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import FakeHelper, FakeProc
from tests.unit.sampler.test_files import _ticket


def reading(tmp_path: Path, *logs: dict[str, object]) -> str:
    path = tmp_path / "r.000001.jsonl"
    rows = [
        {"k": "read"},
        *({"k": "log", **log} for log in logs),
        {"k": "point", "how": "walk", "path": "/no"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def files(most: int = 64) -> RunFiles:
    return RunFiles(_ticket(), FakeProc(FakeClock()), FakeHelper(), most=most)


def test_only_walked_files_that_could_be_opened_are_taken(tmp_path: Path) -> None:
    path = reading(
        tmp_path,
        {"how": "walk", "path": "/w/files/wandb-metadata.json", "size": 9},
        {"how": "fd", "path": "/w/a.log", "size": 9},
        {"how": "walk", "path": "/w/metrics.jsonl", "size": 9},
        {"how": "walk", "path": "/w/theirs.csv", "size": None},
    )

    assert walked(path) == Findings(["/w/metrics.jsonl"], [], [])


def test_a_reading_that_is_gone_or_torn_has_none(tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    torn.write_text('{"k": "read"}\n{"k": "log", "how": "wa')
    odd = tmp_path / "odd"
    odd.write_text('{"k": "read"}\n[1]\n')

    assert [walked(str(path)) for path in (tmp_path / "gone", torn, odd)] == 3 * [Findings([], [], [])]


def test_an_adopted_file_is_looked_at_and_handed_to_the_next_reading(tmp_path: Path) -> None:
    clock = FakeClock()
    run = files()
    run.adopt(["/w/metrics.jsonl", "/w/metrics.jsonl"])
    watched = run.watched["/w/metrics.jsonl"]
    run._take(watched, Answer(clock.now_at(), 1, 5, 70, 0, None))

    (asked,) = [one for one in run.request() if one["path"] == "/w/metrics.jsonl"]

    assert asked["how"] == "walk"
    assert [row[1] for row in asked["obs"]] == [70]


def test_adopted_files_leave_half_of_the_room_to_open_ones_and_what_is_left_out_is_told() -> None:
    run = files(most=8)
    run.adopt(f"/w/checkpoint-{n}/trainer_state.json" for n in range(50))

    assert len(run.watched) == 4
    assert run.truncated


def test_an_adopted_file_that_is_gone_is_let_go() -> None:
    run = files()
    run.adopt(["/w/checkpoint-5/trainer_state.json"])
    watched = run.watched["/w/checkpoint-5/trainer_state.json"]
    now = Instant(FakeClock().now_at(), 0.0)
    run._take(watched, Answer(now.at, 1, 5, 70, 0, None))
    for _ in range(MOST_FAILS):
        run._take(watched, Answer(now.at, None, None, None, None, "No such file or directory"))

    assert "/w/checkpoint-5/trainer_state.json" not in run.watched


def test_checkpoints_are_kept_for_the_next_reading(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    point = {"k": "point", "file": 1, "step": 500, "obs_lo_at": None, "obs_hi_at": 2e9, "flags": ["weak"]}
    rows = [
        {"k": "read"},
        {"k": "log", "file": 0, "how": "fd", "path": "/w/a.log", "size": 9, "source": "keyvalue"},
        {"k": "log", "file": 1, "how": "walk", "path": "/w/out", "source": "checkpoint", "params": 7},
        point, {**point, "step": 600, "obs_lo_at": 1.9e9, "flags": ["epoch", "weak"]}, {**point, "file": 0},
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    found = walked(str(path))

    assert found.paths == []
    assert found.checkpoints == [["/w/out", 500, False, None, 2e9], ["/w/out", 600, True, 1.9e9, 2e9]]
    assert found.models == [["/w/out", 7, None]]
