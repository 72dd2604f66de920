"""The status file: whole, readable by all, true, and with a last word."""

import json
import os
from pathlib import Path
from typing import Any

from slurm_guard.sampler.status import Spool, describe, mark_stopped, read_status
from slurm_guard.sampler.tcpdiag import TcpDiag
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import Node


def status(node: Node) -> dict[str, Any]:
    found = read_status(node.folders.run)
    assert found is not None
    return found


def test_it_says_what_is_followed_now(tmp_path: Path) -> None:
    node = Node(tmp_path, n_gpus=2, window_s=10)
    run = node.ticket(7, 1000, [1])
    node.ticket(8, 1000, [5])
    node.turn(62)

    found = status(node)

    assert (found["node"], found["pid"], found["stopped"]) == ("n1", os.getpid(), None)
    assert [gpu["holders"] for gpu in found["gpus"]] == [[], [run]]
    assert found["gpus"][1]["power_mw"] == 300_000
    rows = {row["job_id"]: row for row in found["runs"]}
    assert (rows[7]["asked"], rows[7]["gpus"], rows[7]["resolved"]) == ([1], ["GPU-1"], True)
    assert (rows[8]["asked"], rows[8]["resolved"]) == ([5], False)
    assert rows[7]["window_end_at"] == max(w["end_at"] for w in node.records("window", run))
    assert found["counts"]["windows"] == len(node.records("window"))
    assert len(found["segments"]) == 3
    assert found["tables"]["processes_truncated"] is False
    assert found["parts"]["status"]["spool_b"] > 0
    assert found["last_error"] is None


def test_everybody_may_read_it_and_sees_it_whole(tmp_path: Path) -> None:
    node = Node(tmp_path)
    old = os.umask(0o077)
    try:
        node.turn(1)
    finally:
        os.umask(old)

    path = Path(node.folders.run) / "status.json"

    assert path.stat().st_mode & 0o777 == 0o644
    assert sorted(p.name for p in path.parent.iterdir()) == ["beat", "ends", "status.json", "tickets"]


def test_it_says_whether_ends_of_connections_are_heard(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert describe(node.loop, node.loop.now())["tables"]["ends_heard"] is False  # the text tables alone

    diag = node.loop.tables.sockets.diag = TcpDiag()
    diag.listen()

    assert describe(node.loop, node.loop.now())["tables"]["ends_heard"] is True
    diag.close()


def test_it_says_whether_bytes_of_connections_are_told(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert describe(node.loop, node.loop.now())["tables"]["bytes_counted"] is False
    diag = node.loop.tables.sockets.diag = TcpDiag()
    for told in (None, True):
        diag.tells_bytes = told
        assert describe(node.loop, node.loop.now())["tables"]["bytes_counted"] is told


def test_it_is_written_once_a_minute(tmp_path: Path) -> None:
    node = Node(tmp_path)
    stamps = set()

    for _ in range(150):
        node.turn(1)
        stamps.add(status(node)["at"])

    assert len(stamps) == 3


def test_its_last_word_is_the_reason(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.turn(2)
    node.loop.stop_reason = "SIGTERM"

    node.loop.stop("SIGTERM")

    assert status(node)["stopped"] == {"at": node.clock.now_at(), "reason": "SIGTERM"}


def test_an_error_is_kept_where_one_can_see_it(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.turn(2)
    node.gpus.fault = RuntimeError("a driver's words \x1b[31m")
    node.turn(1)
    node.gpus.fault = None

    node.turn(62)

    assert status(node)["last_error"]["kind"] == "RuntimeError"
    assert "\x1b" not in (Path(node.folders.run) / "status.json").read_text()


def test_a_run_folder_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for path in sorted(Path(node.folders.run).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    Path(node.folders.run).rmdir()

    node.turn(65)

    assert node.events("sampler-error") == []
    assert node.loop.stop_reason is None


def test_a_process_that_died_in_the_middle_gets_its_last_word_written(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text(json.dumps({"pid": os.getpid(), "stopped": None, "gpus": []}))

    mark_stopped(str(tmp_path), 5.0, "error: OSError at x.py:1")
    mark_stopped(str(tmp_path), 6.0, "a later word")

    assert read_status(str(tmp_path)) == {
        "pid": os.getpid(), "stopped": {"at": 5.0, "reason": "error: OSError at x.py:1"}, "gpus": [],
    }  # fmt: skip


def test_another_samplers_status_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text('{"pid": 1, "stopped": null}')

    mark_stopped(str(tmp_path), 5.0, "error")

    assert path.read_text() == '{"pid": 1, "stopped": null}'


def test_what_is_no_status_is_none(tmp_path: Path) -> None:
    for text in ("", "[]", "{", "\0" * 100):
        (tmp_path / "status.json").write_text(text)
        assert read_status(str(tmp_path)) is None
    assert read_status(str(tmp_path / "gone")) is None


def test_the_spool_is_added_up_every_five_minutes(tmp_path: Path) -> None:
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / "a").write_bytes(b"x" * 100)
    spool = Spool(str(tmp_path))
    seen = []

    for mono_s in (0.0, 60.0, 300.0):
        spool.look(Instant(5.0, mono_s))
        seen.append(spool.bytes)
        (tmp_path / "sealed" / "b").write_bytes(b"x" * 50)

    assert seen == [100, 100, 150]
