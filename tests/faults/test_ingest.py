"""Bad files, torn files, hostile names, a full lake, a killed collector: the rest of the night stands."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slurm_guard import wire
from slurm_guard.errors import GuardError
from slurm_guard.lake import ingest, places, turns
from slurm_guard.lake.ingest import CollectReport, collect
from slurm_guard.lake.write import write_whole
from tests.faults.others import NOBODY, let_in
from tests.spools import AT, NODE, RUN, digest, make, put, reading, segment, single, tree

WINDOW = make(wire.Window, run=RUN)
NAME, GOOD = segment([WINDOW])
TICKET = f"{wire.stem(RUN)}.json"


def take(tmp_path: Path) -> CollectReport:
    return collect([tmp_path / "spool"], tmp_path / "lake")


def reason_of(tmp_path: Path, kind: str, name: str, content: str | bytes) -> str:
    """The slug that one file is refused for, beside a good one that is taken; the spool is left as it was."""
    put(tmp_path / "spool", kind, name, content)
    put(tmp_path / "spool", "ends", "42_1.json", single(make(wire.EndMark)))
    before = tree(tmp_path / "spool")

    report = take(tmp_path)

    assert tree(tmp_path / "spool") == before
    assert (report.n_new, len(report.refused)) == (1, 1)
    words = (tmp_path / "lake" / "quarantine" / NODE / kind / f"{name}.reason").read_text()
    assert words.startswith(report.refused[0].slug + ": ")
    assert (tmp_path / "lake" / "quarantine" / NODE / kind / name).read_bytes() == before[
        f"{NODE}/{kind}/{name}"
    ]
    return report.refused[0].slug


def resealed(change: Callable[[dict[str, Any]], None], line: int = 1) -> str:
    """The good segment with one line changed and the tail's digest made right again."""
    lines = GOOD.splitlines()
    body = json.loads(lines[line])
    change(body)
    lines[line] = json.dumps(body)
    head = "\n".join(lines[:-1]) + "\n"
    return head + json.dumps(json.loads(lines[-1]) | {"sha256": digest(head)}) + "\n"


@pytest.mark.parametrize(
    ("content", "slug"),
    [
        (b"", "record-order"),
        (GOOD[:-1], "torn"),
        (GOOD[: GOOD.rindex('{"k":"tail"')], "torn"),
        (GOOD[: len(GOOD) // 2], "torn"),
        (GOOD.replace('"gpu":"x"', '"gpu":"y"'), "digest"),
        (GOOD + "\n", "json"),
        (GOOD + GOOD, "record-order"),
        (GOOD.encode() + b"\xff\n", "json"),
        (b"\x00" * 4096, "torn"),
        (b"\x1f\x8b" + b"\n" * 50, "json"),
        (b"[" * 100_000 + b"\n", "json"),
        (b'{"k":"head","format":' + b"9" * 5000 + b"}\n", "json"),
        (b"x" * (wire.MAX_LINE + 10), "line-too-long"),
        (single(make(wire.Ticket)), "record-order"),
    ],
)
def test_a_segment_that_is_not_whole_is_refused_whole(
    tmp_path: Path, content: str | bytes, slug: str
) -> None:
    assert reason_of(tmp_path, "sealed", NAME, content) == slug


@pytest.mark.parametrize(
    ("change", "line", "slug"),
    [
        ({"energy_mj": "many"}, 1, "record-shape"),
        ({"energy_mj": 1.5}, 1, "record-shape"),
        ({"energy_mj": True}, 1, "record-shape"),
        ({"energy_mj": -1}, 1, "record-shape"),
        ({"energy_mj": 1 << 70}, 1, "record-shape"),
        ({"start_at": None}, 1, "record-shape"),
        ({"start_at": 12.0}, 1, "record-shape"),
        ({"end_at": 1e300}, 1, "record-shape"),
        ({"start_at": float("nan")}, 1, "json"),
        ({"start_at": float("inf")}, 1, "json"),
        ({"shared": 1}, 1, "record-shape"),
        ({"why": {"power": 1}}, 1, "record-shape"),
        ({"procs": [{}]}, 1, "record-shape"),
        ({"run": "alpha/42/other/0f9d2c1e/1"}, 1, "run-key"),
        ({"run": "../../../etc/passwd"}, 1, "run-key"),
        ({"k": "point"}, 1, "record-shape"),
        ({"k": "ticket"}, 1, "record-shape"),
        ({"k": "not a kind"}, 1, "record-kind"),
        ({"k": ["window"]}, 1, "record-kind"),
        ({"node": "other"}, 0, "name"),
        ({"seq": 7}, 0, "name"),
        ({"format": 2}, 0, "format-newer"),
        ({"format": 2, "opened_at": "another shape"}, 0, "format-newer"),
        ({"cluster": "beta"}, 0, "run-key"),
    ],
)
def test_a_record_that_cannot_be_is_refused(
    tmp_path: Path, change: dict[str, Any], line: int, slug: str
) -> None:
    assert reason_of(tmp_path, "sealed", NAME, resealed(lambda body: body.update(change), line)) == slug


def test_a_missing_field_that_may_be_null_is_null_and_an_unknown_one_is_left_out(tmp_path: Path) -> None:
    def age(body: dict[str, Any]) -> None:
        del body["energy_mj"]
        body["later_release"] = {"x": 1}

    put(tmp_path / "spool", "sealed", NAME, resealed(age))

    assert take(tmp_path).refused == ()


def later(n: int) -> str:
    """The good segment with records of a kind of a later release between its own."""
    lines = GOOD.splitlines()
    lines[2:2] = ['{"k":"gpu-link","run":null,"peers":[1,2]}'] * n
    head = "\n".join(lines[:-1]) + "\n"
    tail = json.loads(lines[-1])
    return head + json.dumps(tail | {"sha256": digest(head), "n": tail["n"] + n}) + "\n"


def test_records_of_a_later_releases_kind_are_left_out_and_counted_and_the_rest_is_taken(
    tmp_path: Path,
) -> None:
    put(tmp_path / "spool", "sealed", NAME, later(3))
    put(tmp_path / "plain", "sealed", NAME, GOOD)

    report = take(tmp_path)

    assert (report.refused, report.left_out) == ((), (("gpu-link", 3),))
    assert report.n_rows == collect([tmp_path / "plain"], tmp_path / "other").n_rows
    assert take(tmp_path).left_out == ()


@pytest.mark.parametrize(
    ("change", "slug"),
    [
        (lambda text: text.replace('"peers":[1,2]', '"peers":[2,1]', 1), "digest"),
        (lambda text: text.replace('{"k":"gpu-link","run":null,"peers":[1,2]}\n', "", 1), "digest"),
        (lambda text: '{"k":"gpu-link"}\n' + text, "record-order"),
        (lambda text: text + '{"k":"gpu-link"}\n', "record-order"),
    ],
)
def test_a_later_releases_records_are_no_way_round_digest_and_order(
    tmp_path: Path, change: Callable[[str], str], slug: str
) -> None:
    assert reason_of(tmp_path, "sealed", NAME, change(later(2))) == slug


@pytest.mark.parametrize(
    ("kind", "name", "content", "slug"),
    [
        ("tickets", "other.json", single(make(wire.Ticket)), "name"),
        ("tickets", TICKET, single(make(wire.Ticket)) * 2, "record-order"),
        ("tickets", TICKET, single(make(wire.Seal)), "record-order"),
        ("tickets", "notes.txt", "hello", "name"),
        ("ends", "43_1.json", single(make(wire.EndMark)), "name"),
        ("progress", reading([], read=2)[0], reading([], read=1)[1], "name"),
        ("progress", NAME, GOOD, "record-order"),
    ],
)
def test_a_file_whose_name_does_not_fit_is_refused(
    tmp_path: Path, kind: str, name: str, content: str, slug: str
) -> None:
    assert reason_of(tmp_path, kind, name, content) == slug


def test_what_a_log_claims_is_kept_however_odd(tmp_path: Path) -> None:
    points = [make(wire.Point, at=at, step=step) for at, step in ((-5.0, -1), (1e18, 2**62), (None, None))]
    put(tmp_path / "spool", "progress", *reading([make(wire.LogFile), *points]))

    report = take(tmp_path)

    assert (report.refused, report.n_rows) == ((), 4)


def test_a_name_that_is_no_unicode_does_not_cost_a_segment(tmp_path: Path) -> None:
    seen = make(wire.FileSeen, path="/home/u/caf\udce9.log")
    put(tmp_path / "spool", "sealed", *segment([seen]))

    assert take(tmp_path).refused == ()


def test_names_that_would_leave_the_quarantine_stay_in_it(tmp_path: Path) -> None:
    odd = ["..json", "a\nb.json", "-rf", "x" * 250, "caf\udce9.json"]
    for name in odd:
        put(tmp_path / "spool", "tickets", name, "{}")
    put(tmp_path / "spool", "tickets", "good.json", "{}", node="..n")

    take(tmp_path)

    inside = [path for path in tree(tmp_path) if not path.startswith(("spool/", "lake/"))]
    assert inside == []
    for path in (tmp_path / "lake" / "quarantine").rglob("*"):
        assert path.name.isascii()
        assert path.name.isprintable()
        assert not path.name.startswith((".", "-"))


def test_a_link_a_pipe_and_a_folder_are_refused_and_never_waited_for(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("do not copy")
    folder = tmp_path / "spool" / NODE / "tickets"
    folder.mkdir(parents=True)
    (folder / "link.json").symlink_to(secret)
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()

    report = take(tmp_path)

    assert [refused.slug for refused in report.refused] == ["not-a-file"] * 3
    assert not any("do not copy" in str(raw) for raw in tree(tmp_path / "lake").values())


def test_a_file_too_large_is_named_and_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MAX_FILE", 100)
    put(tmp_path / "spool", "sealed", NAME, GOOD)

    report = take(tmp_path)

    assert [refused.slug for refused in report.refused] == ["too-large"]
    assert [p for p in tree(tmp_path / "lake") if p.startswith("quarantine")] == [
        f"quarantine/{NODE}/sealed/{NAME}.reason"
    ]


def test_open_segments_and_unfinished_names_are_not_touched(tmp_path: Path) -> None:
    put(tmp_path / "spool", "open", NAME, GOOD[:100])
    put(tmp_path / "spool", "tickets", f".{TICKET}.12.tmp", "{")

    assert take(tmp_path) == CollectReport(0, 0, 0, ())


def test_a_good_file_that_changes_afterwards_is_refused_and_what_was_taken_stays(tmp_path: Path) -> None:
    put(tmp_path / "spool", "sealed", NAME, GOOD)
    take(tmp_path)
    before = {k: v for k, v in tree(tmp_path / "lake").items() if k.endswith(".parquet")}
    put(tmp_path / "spool", "sealed", NAME, segment([WINDOW._replace(gpu="another")])[1])

    slugs = [[refused.slug for refused in take(tmp_path).refused] for _ in range(2)]

    assert slugs == [["changed"], ["changed"]]
    assert {k: v for k, v in tree(tmp_path / "lake").items() if k.endswith(".parquet")} == before


def test_a_file_that_was_only_touched_is_known(tmp_path: Path) -> None:
    path = put(tmp_path / "spool", "sealed", NAME, GOOD)
    take(tmp_path)
    os.utime(path, (AT, AT))

    assert take(tmp_path) == CollectReport(0, 1, 0, ())


def test_a_bad_file_put_right_is_taken(tmp_path: Path) -> None:
    put(tmp_path / "spool", "sealed", NAME, GOOD[:-5])
    take(tmp_path)
    put(tmp_path / "spool", "sealed", NAME, GOOD)

    report = take(tmp_path)

    assert (report.n_new, report.refused) == (1, ())


def test_a_lost_or_broken_manifest_costs_a_reading_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path / "spool", "sealed", NAME, GOOD)
    take(tmp_path)
    before = tree(tmp_path / "lake")
    (manifest,) = (tmp_path / "lake").rglob("manifest/*.json")
    manifest.write_text('{"format": 1, "files": {"sealed/x": [1]}}')

    assert take(tmp_path) == CollectReport(0, 1, 0, ())
    assert tree(tmp_path / "lake") == before


@pytest.mark.parametrize("dies_at", range(5))
def test_a_collector_killed_at_any_write_is_made_good_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    records = [WINDOW, make(wire.Event, run=RUN), make(wire.FileSeen)]
    put(tmp_path / "spool", "sealed", *segment(records))
    collect([tmp_path / "spool"], tmp_path / "whole")
    left = [dies_at]

    def write_or_die(path: Path, content: Any) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        write_whole(path, content)

    monkeypatch.setattr(ingest, "write_whole", write_or_die)
    monkeypatch.setattr("slurm_guard.lake.manifest.write_whole", write_or_die)
    with pytest.raises(KeyboardInterrupt):
        take(tmp_path)
    monkeypatch.undo()

    take(tmp_path)

    assert tree(tmp_path / "lake") == tree(tmp_path / "whole")


def test_a_full_lake_is_an_error_that_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "spool", "sealed", NAME, GOOD)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GuardError, match=r"lake-full: .*No space left"):
        take(tmp_path)
    monkeypatch.undo()

    assert [name for name in tree(tmp_path / "lake") if name != ".lock"] == []


def test_no_spool_at_all_is_an_error_and_one_of_two_is_enough(tmp_path: Path) -> None:
    with pytest.raises(GuardError, match="spool-missing"):
        take(tmp_path)
    put(tmp_path / "spool", "sealed", NAME, GOOD)

    assert collect([tmp_path / "none", tmp_path / "spool"], tmp_path / "lake").n_new == 1


def test_two_collections_at_once_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "spool", "sealed", NAME, GOOD)
    monkeypatch.setattr(turns, "PATIENCE_S", 0.1)
    with turns.alone(tmp_path), pytest.raises(GuardError, match="lake-busy"):
        collect([tmp_path / "spool"], tmp_path)


@pytest.mark.root
def test_what_the_collector_may_not_read_is_said_each_time_and_taken_once_it_may(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody who may not read")
    path = put(tmp_path / "spool", "sealed", NAME, GOOD)
    path.chmod(0o000)
    let_in(tmp_path)
    (tmp_path / "lake").mkdir()
    os.chown(tmp_path / "lake", NOBODY, NOBODY)

    closed = _collect_as_nobody(tmp_path)
    path.chmod(0o644)
    opened = _collect_as_nobody(tmp_path)

    assert closed == [0, 0, "unreadable"]
    assert opened == [1, 0]
    assert list((tmp_path / "lake" / "quarantine").rglob("*.reason")) == []


def _collect_as_nobody(tmp_path: Path) -> list[Any]:
    """New files, known files and the slugs of refused ones, collected by a process without rights."""
    code = """import json, sys
from pathlib import Path
from slurm_guard.lake.ingest import collect
report = collect([Path(sys.argv[1])], Path(sys.argv[2]))
print(json.dumps([report.n_new, report.n_known, *(refused.slug for refused in report.refused)]))"""
    command = [sys.executable, "-c", code, str(tmp_path / "spool"), str(tmp_path / "lake")]
    done = subprocess.run(
        command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=False
    )
    if "ModuleNotFoundError" in done.stderr or "Permission denied" in done.stderr:
        pytest.skip("this checkout is closed to others, so nobody cannot run it")
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[Any] = json.loads(done.stdout)
    return found
