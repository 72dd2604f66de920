"""A lake that changes while a night is read: the document is of one state, and what came is not lost."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from slurm_guard.engine import local, parts, run
from slurm_guard.engine.folder import Folder
from slurm_guard.engine.sight import check_view
from slurm_guard.engine.tasks import Task, make
from slurm_guard.errors import GuardError
from slurm_guard.lake import compact, turns
from slurm_guard.lake.arrived import arrived_since
from slurm_guard.lake.view import View, look
from tests.unit.engine.nights import N_PARTS, NODE_H, WHOLE_H, Night, audited, outcome, steps

DAYS = (date.min, date.max)
Meanwhile = Callable[[str, Callable[[], object]], None]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[View]:
    """Every look at the lake."""
    found: list[View] = []

    def counted(*given: object) -> View:
        found.append(look(*given))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr(run, "look", counted)
    return found


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch, made: list[Task]) -> Meanwhile:
    """Has something done once, after the first part of a pass is made."""
    counted = vars(local)["make"]

    def at(step: str, act: Callable[[], object]) -> None:
        waiting = [act]

        def make_and_act(site: parts.Site, folder: Folder, task: Task) -> None:
            counted(site, folder, task)
            if task.step == step and waiting:
                waiting.pop()()

        monkeypatch.setattr(local, "make", make_and_act)

    return at


def withheld(lake: Path) -> list[Path]:
    """Half of the windows and of the logs' points of each node, which have not come yet."""
    later = []
    for table in ("windows", "points"):
        for path in sorted((lake / "v1" / table).rglob("*.parquet")):
            rows = pl.read_parquet(path)
            rows.gather_every(2).write_parquet(path)
            later.append(path.with_name(f"late-{path.name}.hidden"))
            rows.gather_every(2, 1).write_parquet(later[-1])
    return later


def arrive(later: list[Path]) -> None:
    for path in later:
        path.rename(path.with_suffix(""))


@pytest.mark.parametrize("step", ["survey", "measure"])
def test_what_is_collected_while_parts_are_made_is_in_none_of_them_and_in_the_next_audit(
    step: str, night: Night, looks: list[View], meanwhile: Meanwhile
) -> None:
    facts, lake, whole = night
    later = withheld(lake)
    before = outcome(facts, lake, WHOLE_H)[:2]
    looks.clear()
    meanwhile(step, lambda: arrive(later))

    under_way = audited(facts, lake)

    assert before != whole
    assert under_way == before
    assert len(looks) == 1
    assert {path.name for _, path in looks[0].newer()} == {path.with_suffix("").name for path in later}
    assert audited(facts, lake) == whole


def test_one_look_at_a_small_night_reads_no_file_that_came_after_it(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, lake, whole = night
    later = withheld(lake)
    before = outcome(facts, lake, WHOLE_H)[:2]

    def look_first(*given: object) -> View:
        view = look(*given)  # type: ignore[arg-type]
        arrive(later)
        return view

    with monkeypatch.context() as patched:
        patched.setattr(run, "look", look_first)
        under_way = outcome(facts, lake, WHOLE_H)[:2]

    assert under_way == before != whole
    assert outcome(facts, lake, WHOLE_H)[:2] == whole


def test_files_that_are_put_together_meanwhile_are_read_as_they_were(
    night: Night, looks: list[View], meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, lake, whole = night
    monkeypatch.setattr(compact, "LEAST_FILES", 2)
    meanwhile("survey", lambda: compact.compact(lake, DAYS))

    under_way = audited(facts, lake)

    assert under_way == whole
    assert list((lake / "v1").rglob("c-*.parquet"))
    assert len(looks) == 1
    assert looks[0].newer() == []


def test_what_put_together_files_replaced_may_go_when_it_is_time_and_the_night_is_looked_at_again(
    night: Night, looks: list[View], meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, lake, whole = night
    monkeypatch.setattr(compact, "LEAST_FILES", 2)

    def twice() -> None:
        compact.compact(lake, DAYS)
        assert compact.compact(lake, DAYS, time.time() + compact.GRACE_S + 60).n_removed

    meanwhile("survey", twice)

    assert audited(facts, lake) == whole
    assert len(looks) == 2


@pytest.mark.parametrize("step", ["survey", "measure"])
def test_a_file_that_is_written_anew_meanwhile_makes_its_part_again_and_no_other(
    step: str, night: Night, made: list[Task], looks: list[View], meanwhile: Meanwhile
) -> None:
    facts, lake, whole = night
    path = max((lake / "v1" / "windows").rglob("*.parquet"))

    def forget() -> None:
        """As `forget` does: the same name, fewer rows."""
        rows = pl.read_parquet(path).gather_every(3)
        rows.write_parquet(path.with_name(".new"))
        path.with_name(".new").rename(path)

    meanwhile(step, forget)

    under_way = audited(facts, lake)

    assert under_way == outcome(facts, lake, WHOLE_H)[:2] != whole
    assert len(looks) == 3  # and the one above
    assert steps(made)["survey"] <= N_PARTS + 1


def test_a_file_of_the_same_size_is_told_by_its_time_before_anything_is_judged(
    night: Night, made: list[Task], looks: list[View], meanwhile: Meanwhile
) -> None:
    facts, lake, whole = night
    path = min((lake / "v1" / "windows").rglob("*.parquet"))
    meanwhile("measure", lambda: os.utime(path))

    assert audited(facts, lake) == whole
    assert len(looks) == 2
    assert steps(made)["judge"] == N_PARTS


def test_a_small_night_of_which_a_file_goes_while_it_is_read_is_read_again(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, lake, _ = night
    path = min((lake / "v1" / "windows").rglob("*.parquet"))
    views = []

    def prune(*given: object) -> View:
        views.append(look(*given))  # type: ignore[arg-type]
        path.unlink(missing_ok=True)
        return views[-1]

    with monkeypatch.context() as patched:
        patched.setattr(run, "look", prune)
        under_way = outcome(facts, lake, WHOLE_H)[:2]

    assert under_way == outcome(facts, lake, WHOLE_H)[:2]
    assert len(views) == 2


def test_a_lake_that_is_another_one_at_each_look_ends_the_audit(
    night: Night, looks: list[View], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, lake, _ = night
    path = min((lake / "v1" / "windows").rglob("*.parquet"))

    def restless(site: parts.Site, folder: Folder, task: Task) -> None:
        make(site, folder, task)
        path.write_bytes(path.read_bytes() + b" ")

    monkeypatch.setattr(local, "make", restless)

    with pytest.raises(GuardError, match="nothing was published") as caught:
        audited(facts, lake)

    assert caught.value.slug == "lake-changed"
    assert "changed on " in caught.value.sentence
    assert f"such as {path.relative_to(lake)}" in caught.value.sentence
    assert "`prune`" in caught.value.hint
    assert "mount" not in caught.value.hint
    assert len(looks) == 3


def test_what_a_node_misses_because_it_went_on_the_head_is_said_as_that(
    night: Night, looks: list[View], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who makes a part is the first to see it, and cannot know where it went."""
    facts, lake, _ = night
    paths = iter(sorted((lake / "v1" / "windows").rglob("*.parquet")))

    def after_a_prune(site: parts.Site, folder: Folder, task: Task) -> None:
        with suppress(StopIteration):
            next(paths).unlink()
        make(site, folder, task)

    monkeypatch.setattr(local, "make", after_a_prune)
    monkeypatch.setattr(run, "_LOOKS", 1)

    with pytest.raises(GuardError) as caught:
        audited(facts, lake)

    assert caught.value.slug == "lake-changed"
    assert "changed on " in caught.value.sentence
    assert "does not see" not in caught.value.sentence


@pytest.mark.slow
def test_an_audit_in_a_process_of_its_own_gives_one_state_whenever_a_collector_comes(night: Night) -> None:
    facts, lake, whole = night
    later = withheld(lake)
    before = outcome(facts, lake, WHOLE_H)[0]
    code = (
        "import sys; from pathlib import Path; from tests.unit.engine.nights import *\n"
        "found = outcome(several(FEW), Path(sys.argv[1]), NODE_H, processes=2, means=Means())\n"
        "Path(sys.argv[2]).write_text(found[0])"
    )
    env = {**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))}
    out = lake.with_name("audit.json")
    head = subprocess.Popen([sys.executable, "-c", code, str(lake), str(out)], env=env)
    while head.poll() is None and not list(lake.glob("parts/*/survey-*")):
        time.sleep(0.002)
    for path in later:
        arrive([path])
        time.sleep(0.05)

    assert head.wait(120) == 0
    assert out.read_text() == before
    assert outcome(facts, lake, NODE_H)[0] == whole[0]


def test_a_look_lets_a_collection_end_and_does_not_wait_for_ever(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, lake, _ = night
    later = withheld(lake)
    code = (
        "import fcntl, pathlib, sys, time\n"
        "lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "for name in sys.argv[2:]:\n"
        "    print(flush=True); time.sleep(0.05); pathlib.Path(name).rename(name.removesuffix('.hidden'))"
    )
    words = [sys.executable, "-c", code, str(lake / ".lock"), *map(str, later)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as collector:
        assert collector.stdout is not None
        collector.stdout.readline()

        view = look(lake, facts.from_at, facts.until_at)
    with (lake / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        monkeypatch.setattr(turns, "WAIT_S", 0.2)
        late = look(lake, facts.from_at, facts.until_at)

    assert view.newer() == []
    assert {path.with_suffix("") for path in later} <= set(view.seen)
    assert late.files == view.files


def test_who_writes_waits_for_who_looks_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".lock").touch()
    with (tmp_path / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        monkeypatch.setattr(turns, "PATIENCE_S", 0.2)
        with pytest.raises(GuardError, match="lake-busy"), turns.alone(tmp_path):
            pass
    with turns.alone(tmp_path):
        pass


def test_a_late_file_is_told_apart_from_old_ones_that_it_was_put_together_with(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, lake, _ = night
    later = withheld(lake)
    windows = [path for path in later if "windows" in path.parts]
    monkeypatch.setattr(compact, "LEAST_FILES", 2)
    compact.compact(lake, DAYS)
    view = look(lake, facts.from_at, facts.until_at)
    none = arrived_since(view)

    arrive(windows)
    compact.compact(lake, DAYS)

    assert none == {}
    assert {table for table, _ in view.newer()} == {"windows"}
    assert {path.name[:2] for _, path in view.newer()} == {"c-"}
    assert {node for node, _ in arrived_since(view)} == {
        path.name.removeprefix("late-").split(".")[0] for path in windows
    }
    check_view(view)  # nothing that was there went


@pytest.mark.parametrize("step", ["survey", "measure"])
@pytest.mark.parametrize("hurt", ["gone", "empty", "other"])
def test_who_does_not_see_the_heads_lake_makes_nothing_that_is_kept(
    hurt: str,
    step: str,
    night: Night,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts, lake, whole = night
    there, away = lake / "v1", tmp_path / "v1"

    def elsewhere(site: parts.Site, folder: Folder, task: Task) -> None:
        """As on a node without the mount, with an empty one, or with another lake's."""
        if task.step != step:
            make(site, folder, task)
            return
        there.rename(away)
        if hurt != "gone":
            there.mkdir()
        if hurt == "other":
            shutil.copytree(away, there, dirs_exist_ok=True)
            for path in there.glob("windows/*/*"):
                path.write_bytes(path.read_bytes() + b" ")
        try:
            make(site, folder, task)
        finally:
            shutil.rmtree(there, ignore_errors=True)
            away.rename(there)

    with monkeypatch.context() as patched:
        patched.setattr(local, "make", elsewhere)
        with pytest.raises(GuardError, match="does not see the lake") as caught:
            audited(facts, lake)

    said = {"gone": "none of ", "empty": "none of ", "other": "have another size"}
    assert caught.value.slug == "lake-changed"
    assert said[hurt] in caught.value.sentence
    assert f"mount that lake on {os.uname().nodename} at the same path" in caught.value.hint
    assert "prune" not in caught.value.hint
    assert audited(facts, lake) == whole
