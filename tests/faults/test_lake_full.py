"""A lake whose disk fills up: said, nothing half written, the spool is kept, the next round catches up."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from slurm_guard.cli import app as cli
from slurm_guard.cli import reopened
from slurm_guard.cli.reopened import NAME, open_nights
from slurm_guard.config import Config, load_config
from slurm_guard.errors import EXIT_FAILURE, GuardError
from slurm_guard.lake import ingest, turns
from slurm_guard.lake.compact import compact
from slurm_guard.lake.ingest import collect
from tests.spools import tree
from tests.unit.cli.test_reopened import NIGHT
from tests.unit.lake.test_compact import N_SEGMENTS, NODES, put_segment

cli._register()
EVER = (date.min, date.max)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    for node in NODES:
        for seq in range(N_SEGMENTS):
            put_segment(tmp_path / "spool", node, seq)
    return tmp_path / "spool"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 320 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320k", "tmpfs", folder], capture_output=True)
    if made.returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder / "lake"
    subprocess.run(["umount", "-l", folder], check=True)


def _all_whole(lake: Path) -> bool:
    """Every Parquet file can be read, and nothing lies there under a name that is not final."""
    for path in lake.rglob("date=*/*.parquet"):
        pl.read_parquet(path, hive_partitioning=False)
    return not list(lake.rglob(".*.tmp"))


@pytest.mark.root
def test_a_disk_that_fills_up_is_said_and_the_rest_is_taken_when_there_is_room(
    spool: Path, small: Path
) -> None:
    before = tree(spool)

    with pytest.raises(GuardError, match="lake-full") as told:
        collect([spool], small)

    assert (_all_whole(small), tree(spool)) == (True, before)
    assert "new files are in it, the rest stays in the spools" in told.value.sentence
    subprocess.run(["mount", "-o", "remount,size=64m", small.parent], check=True)
    report = collect([spool], small)
    n_all = len(NODES) * N_SEGMENTS
    assert 0 < report.n_known < n_all
    assert report.n_new + report.n_known == n_all


@pytest.mark.root
def test_a_disk_that_fills_up_while_files_are_put_together_costs_no_row(spool: Path, small: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", small.parent], check=True)
    collect([spool], small)
    there = tree(small)
    used = subprocess.run(["du", "-sk", small], capture_output=True, text=True, check=True).stdout.split()[0]
    subprocess.run(["mount", "-o", f"remount,size={int(used) + 24}k", small.parent], check=True)

    with pytest.raises(OSError, match="space"):
        compact(small, EVER)

    assert _all_whole(small)
    assert {name: raw for name, raw in tree(small).items() if name in there} == there


def test_below_the_least_free_space_nothing_more_is_taken(spool: Path, tmp_path: Path) -> None:
    with pytest.raises(GuardError, match=r"lake-full.*min_free_mib"):
        collect([spool], tmp_path / "lake", least_free_b=1 << 60)

    assert list((tmp_path / "lake").rglob("*.parquet")) == []
    assert collect([spool], tmp_path / "lake").n_new == len(NODES) * N_SEGMENTS


def _site(lake: Path, reports: Path) -> tuple[Path, Config]:
    """With one audited night, to which the spool's rows belong."""
    path = reports.with_name("guard.toml")
    path.write_text(f'[lake]\npath = "{lake}"\n[report]\npath = "{reports}"\n', "utf-8")
    document = reports / NIGHT / "audit.json"
    document.parent.mkdir(parents=True)
    document.write_text("{}", "utf-8")
    os.utime(document, (document.stat().st_atime, document.stat().st_mtime - 60))
    return path, load_config(path)


def _full_collect(spool: Path, config: Path) -> str:
    done = CliRunner().invoke(cli.app, ["collect", "--spool", str(spool), "--config", str(config)])
    assert isinstance(done.exception, GuardError), done.output
    assert (done.exception.slug, done.exception.exit_code) == ("lake-full", EXIT_FAILURE), done.exception
    return done.output


def test_nights_that_got_rows_before_the_lake_was_full_are_said_and_open(
    spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = tmp_path / "lake"
    path, settings = _site(lake, tmp_path / "reports")
    free = iter([1 << 40] * 4 + [0])
    monkeypatch.setattr(ingest, "free_of", lambda _: next(free))

    said = _full_collect(spool, path)

    assert f"{NIGHT} was audited before this came: 1 runs on 1 nodes" in said
    assert json.loads((lake / NAME).read_text("utf-8"))["night"] == NIGHT
    assert open_nights(settings, lake) == [NIGHT]


def test_a_lake_that_is_full_before_anything_came_opens_no_night(
    spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, settings = _site(tmp_path / "lake", tmp_path / "reports")
    monkeypatch.setattr(ingest, "free_of", lambda _: 0)

    said = _full_collect(spool, path)

    assert "was audited before" not in said
    assert open_nights(settings, tmp_path / "lake") == []


@pytest.mark.root
def test_a_disk_without_room_for_the_line_has_it_beside_the_documents(
    spool: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, settings = _site(small, tmp_path / "reports")
    monkeypatch.setattr(ingest, "free_of", lambda _: 1 << 40)  # it is the disk that says so
    told = reopened.tell_reopened

    def fill_first(*given: Any) -> None:
        with suppress(OSError), (small / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        told(*given)

    monkeypatch.setattr(reopened, "tell_reopened", fill_first)

    said = _full_collect(spool, path)

    assert f"{NIGHT} was audited before this came" in said
    assert "not written down" not in said
    assert NIGHT in (tmp_path / "reports" / NAME).read_text("utf-8")
    assert open_nights(settings, small) == [NIGHT]


def _call(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli.app, words)
    return done.exit_code, done.output


def test_collect_puts_no_files_together_where_little_is_free_and_says_so(
    spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = str(tmp_path / "lake")
    assert _call("collect", "--spool", str(spool), "--lake", lake)[0] == 0
    monkeypatch.setattr(ingest, "free_of", lambda _: 0)

    code, said = _call("compact", "--lake", lake)

    assert (code, "not put together" in said) == (1, True)


def test_collect_and_compact_say_what_they_put_together(spool: Path, tmp_path: Path) -> None:
    lake = str(tmp_path / "lake")
    first = _call("collect", "--spool", str(spool), "--lake", lake)
    second = _call("compact", "--lake", lake)

    n_days = len(list((tmp_path / "lake" / "v1" / "windows").iterdir()))
    assert (first[0], second[0], n_days) == (0, 0, 1)
    assert "files of days that are over became" in first[1] + second[1]


def test_nothing_collected_yet_is_no_failure(tmp_path: Path) -> None:
    assert _call("compact", "--lake", str(tmp_path / "lake"))[0] == 0


def test_a_lake_that_somebody_writes_is_not_put_together(
    spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect([spool], tmp_path / "lake")
    monkeypatch.setattr(turns, "PATIENCE_S", 0.1)

    with turns.alone(tmp_path / "lake"):
        code, said = _call("compact", "--lake", str(tmp_path / "lake"))

    assert (code, "another collection" in said) == (1, True)
