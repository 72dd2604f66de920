"""The request, the reading, and the command, without rights to give up."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.progress.node import read_run
from slurm_guard.progress.opener import Opened, open_own
from slurm_guard.progress.parser_child import _checked
from slurm_guard.progress.reading import write_reading
from slurm_guard.progress.request import Request, RequestError, parse_request
from slurm_guard.wire import KINDS
from tests.unit.progress.event_files import event, scalar, version
from tests.unit.progress.wandb_files import log, row, written_in

NOW = time.time()


def body(tmp_path: Path, *files: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "run": "c/1/n1/ab/1", "node": "n1", "cluster": "c", "job_id": 1, "uid": os.getuid(),
        "gid": os.getgid(), "read": 3, "at": NOW + 1, "ticket_at": NOW - 600, "ended_at": NOW,
        "work_dir": None,
        "out": str(tmp_path / "out"),
        # The parser is nice to everybody else, so a busy machine makes it slow.
        "limits": {"file_mib": 1, "run_mib": 4, "timeout_s": 240},
        "authors": [[7, 7, 0, 4e9]], "all_authors": True, "files": list(files), **more,
    }  # fmt: skip


def rows(tmp_path: Path, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The reading's lines, opened with our own rights."""
    request = parse_request(json.dumps(asked).encode())
    result = read_run(request, open_own)
    path = write_reading(request, result.logs, result.points, result.truncated)
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_a_reading_is_head_files_points_tail_and_its_digest_holds(tmp_path: Path) -> None:
    log = tmp_path / "slurm.out"
    log.write_text("step=1 loss=2\nstep=2 loss=1\n")

    found = rows(tmp_path, body(tmp_path, {"path": str(log), "how": "stdout", "obs": [], "pids": [7]}))

    assert [row["k"] for row in found] == ["read", "log", "point", "point", "readtail"]
    assert all(set(row) == {"k", *KINDS[row["k"]]._fields} for row in found)  # type: ignore[attr-defined]
    raw = (tmp_path / "out" / "c_1_n1_ab_1.000003.jsonl").read_bytes()
    before = raw[: raw.rindex(b"\n", 0, -1) + 1]
    assert found[-1]["sha256"] == hashlib.sha256(before).hexdigest()
    assert found[-1]["n"] == 3


def test_sights_bracket_the_points(tmp_path: Path) -> None:
    log = tmp_path / "slurm.out"
    log.write_text("step=1 loss=2\nstep=2 loss=1\n")
    ctime = int(NOW * 1e9)
    sights = [[NOW - 500, 0, None, ctime], [NOW - 400, 14, None, ctime], [NOW - 300, 28, None, ctime]]

    found = rows(tmp_path, body(tmp_path, {"path": str(log), "how": "fd", "obs": sights, "pids": []}))

    assert [(r["obs_lo_at"], r["obs_hi_at"]) for r in found if r["k"] == "point"] == [
        (NOW - 500, NOW - 400), (NOW - 400, NOW - 300),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seen_b", "after_s", "said"),
    [(28, 50.0, True), (28, 3.0, False), (14, 50.0, False), (None, 50.0, False)],
    ids=["edited", "at the end", "grown", "never seen"],
)
def test_an_edit_after_the_end_is_told(
    tmp_path: Path, seen_b: int | None, after_s: float, said: bool
) -> None:
    log = tmp_path / "slurm.out"
    log.write_text("step=1 loss=2\nstep=9 loss=1\n")
    end_at = log.stat().st_ctime - after_s
    obs = [] if seen_b is None else [[end_at - 20, seen_b, None, int((end_at - 25) * 1e9)]]
    wanted = {"path": str(log), "how": "fd", "obs": obs, "pids": []}
    times = {"ticket_at": end_at - 600, "ended_at": end_at, "at": end_at + after_s + 1}

    found = rows(tmp_path, body(tmp_path, wanted, **times))

    words = "changed-after-end: it was changed, and not longer, after the run's end"
    assert (words in next(row["problems"] for row in found if row["k"] == "log")) is said


def test_event_files_of_one_folder_continue_one_track(tmp_path: Path) -> None:
    first = version() + b"".join(event(NOW - 500 + n, n, scalar("loss", 1.0)) for n in range(10))
    second = version() + b"".join(event(NOW - 400 + n, n, scalar("loss", 1.0)) for n in range(5, 20))
    files = []
    for name, data in (("1.h.7.0", first), ("2.h.8.0", second)):
        path = tmp_path / f"events.out.tfevents.{name}"
        path.write_bytes(data)
        files.append({"path": str(path), "how": "fd", "obs": [], "pids": []})

    points = [row for row in rows(tmp_path, body(tmp_path, *files)) if row["k"] == "point"]

    assert len({row["track"] for row in points}) == 1
    assert [row["step"] for row in points if row["segment"] == 0] == list(range(10))
    assert [row["step"] for row in points if row["segment"] == 1] == list(range(5, 20))


def test_files_beyond_the_runs_cap_are_named_and_the_reading_says_it_was_cut(tmp_path: Path) -> None:
    files = []
    for n in range(6):
        path = tmp_path / f"{n}.log"
        path.write_bytes(b"step=1 loss=2\n" + (b"." * 2000 + b"\n") * 560)
        files.append({"path": str(path), "how": "fd", "obs": [], "pids": []})

    found = rows(tmp_path, body(tmp_path, *files))

    problems = [problem for row in found if row["k"] == "log" for problem in row["problems"]]
    assert "run-capped: not read" in problems
    assert found[-1]["truncated"] is True


def test_a_run_that_lists_the_same_run_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    log = tmp_path / "a.out"
    log.write_text("".join(f"step={n} loss=1\n" for n in range(200)))
    os.utime(log, (NOW, NOW))
    asked = body(tmp_path, {"path": str(log), "how": "fd", "obs": [], "pids": []})

    assert rows(tmp_path, asked) == rows(tmp_path, asked)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not JSON"), (b"[1]", "not an object"), (b"{}", "at"), (b"[" * 100_000, "not JSON"),
        (b'{"at": 1, "ticket_at": 1, "run": "a\\u0000b", "node": "n", "cluster": "c"}', "run"),
    ],
)  # fmt: skip
def test_a_request_that_is_none_names_its_field(raw: bytes, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        parse_request(raw)


def test_a_bad_request_ends_with_usage_and_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "slurm_guard.progress.node"],
        input=b"{}", capture_output=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stderr == b"progress: bad request: at\n"


@pytest.mark.parametrize(
    "row",
    [
        ["told", 9, "text", "t:x", 1, 1, []],  # a file that was not handed in
        ["told", 0, "<b>", "t:x", 1, 1, []],
        ["mark", 0, "t:<script>", 0, None, False, 1, None, None, None, None, "train", 1, []],
        ["mark", 0, "text:x", 0, 9e99, False, 1, None, None, None, None, "train", 1, []],
        ["mark", 0, "text:x", 0, None, False, -1, None, None, None, None, "train", 1, []],
        ["mark", 0, "text:x", 0, None, False, True, None, None, None, None, "train", 1, []],
        ["mark", 0, "text:x", 0, None, False, 1, None, None, None, None, "sold", 1, []],
        ["mark", 0, "text:x", 0, None, False, 1, None, None, None, None, ["train"], 1, []],
        ["mark", 0, "text:x", 0, None, False, 1, None, None, None, 1e300, "train", 1, []],
        ["mark", 0, "text:x", 0, None, False, 1, None, None, None, None, "train", 1, ["future"]],
        ["rm", "-rf"], [], {}, None, 7,
    ],
)  # fmt: skip
def test_a_parsers_word_is_checked_field_by_field(row: Any) -> None:
    raw = json.dumps(row).encode() + b'\n["end", false]\n'

    answer = _checked(raw, {0}, None)

    assert (answer.told, answer.marks) == ([], [])
    assert answer.problem is not None


def test_show_prints_tracks_and_problems_without_the_jobs_control_characters(tmp_path: Path) -> None:
    log = tmp_path / "a\x1b[31m.out"
    log.write_text("step=1 loss=2\nstep=2 loss=1\n")
    command = "from slurm_guard.cli.app import main; main()"
    paths = [str(log), str(tmp_path / "none")]

    done = subprocess.run(
        [sys.executable, "-c", command, "progress", "show", "--points", "1", *paths],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "step 1 to step 2" in done.stdout
    assert "not-opened" in done.stdout


@pytest.mark.parametrize(
    ("job", "confidence", "problems"),
    [
        ("1", 0.8, []),
        ("2", 0.2, ["other-job: it says that Slurm job 2 wrote it"]),
        ("", 0.5, []),
        ("x", 0.5, []),
    ],
)
def test_a_walked_file_that_names_a_slurm_job_is_bound_by_it(
    tmp_path: Path, job: str, confidence: float, problems: list[str]
) -> None:
    path = tmp_path / "run-a.wandb"
    path.write_bytes(log(written_in(job), row(_step=1), row(_step=2)))
    asked = body(tmp_path, {"path": str(path), "how": "fd", "obs": [], "pids": []})

    def as_if_walked(request: Request, deadline_s: float) -> list[Opened]:
        return [one._replace(how="walk", nths=()) for one in open_own(request, deadline_s)]

    logs = read_run(parse_request(json.dumps(asked).encode()), as_if_walked).logs

    assert [(one.source, one.bind_conf, one.problems) for one in logs] == [("wandb", confidence, problems)]


@pytest.mark.parametrize(
    ("metadata", "confidence", "problems"),
    [
        ({"slurm": {"job_id": "1"}, "host": "n9"}, 0.8, []),
        ({"slurm": {"job_id": 2}}, 0.2, ["other-job: it says that Slurm job 2 wrote it"]),
        ({"host": "n1.cluster.example"}, 0.6, []),
        ({"host": "n9", "slurm": {}}, 0.5, []),
        ({"host": "n1\x1b", "slurm": {"job_id": "x"}}, 0.5, []),
        ([1], 0.5, []),
    ],
)
def test_wandbs_metadata_says_whose_the_file_beside_it_is(
    tmp_path: Path, metadata: object, confidence: float, problems: list[str]
) -> None:
    folder = tmp_path / "wandb" / "run-20260101_000000-a"
    (folder / "files").mkdir(parents=True)
    (folder / "run-a.wandb").write_bytes(log(row(_step=1), row(_step=2)))
    (folder / "files" / "wandb-metadata.json").write_text(json.dumps(metadata))
    asked = body(tmp_path, work_dir=str(tmp_path), ended_at=None, at=time.time() + 1)

    logs = read_run(parse_request(json.dumps(asked).encode()), open_own).logs

    by_name = {Path(one.path).name: one for one in logs}
    assert (by_name["run-a.wandb"].bind_conf, by_name["run-a.wandb"].problems) == (confidence, problems)
    assert by_name["wandb-metadata.json"].source is None
