"""Parts that are kept: an audit that was stopped goes on, one of a changed night makes what depends on it."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from slurm_guard.audit.facts import Facts
from slurm_guard.engine import kept, local, parts
from slurm_guard.engine.folder import Folder, open_folder
from slurm_guard.engine.run import Means
from slurm_guard.engine.tasks import Task, make
from slurm_guard.errors import GuardError
from slurm_guard.lake.schema import TABLES
from tests.unit.engine.nights import FEW, NODE_H, WHOLE_H, outcome, several, write_lake

N_PARTS = 3  # of the five: some have files in common


class Stopped(BaseException):
    """As Ctrl-C comes."""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Facts, Path, tuple[str, str]]:
    """A night, its lake, and what one look at it gives."""
    facts = several(FEW)
    lake = tmp_path_factory.mktemp("kept") / "lake"
    write_lake(dict(facts.frames), lake)
    return facts, lake, outcome(facts, lake, WHOLE_H)[:2]


@pytest.fixture
def night(
    pristine: tuple[Facts, Path, tuple[str, str]], tmp_path: Path
) -> tuple[Facts, Path, tuple[str, str]]:
    """The same with a lake of its own."""
    shutil.copytree(pristine[1], tmp_path / "lake")
    return pristine[0], tmp_path / "lake", pristine[2]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Every task that is made."""
    found: list[Task] = []

    def counted(site: parts.Site, folder: Folder, task: Task) -> None:
        make(site, folder, task)
        found.append(task)

    monkeypatch.setattr(local, "make", counted)
    return found


def audited(facts: Facts, lake: Path, means: Means = Means()) -> tuple[str, str]:  # noqa: B008 - frozen
    return outcome(facts, lake, NODE_H, means=means)[:2]


def steps(tasks: list[Task]) -> dict[str, int]:
    return {step: sum(task.step == step for task in tasks) for step in ("survey", "measure", "judge")}


def test_a_second_audit_makes_nothing_and_gives_the_same(
    night: tuple[Facts, Path, tuple[str, str]], made: list[Task]
) -> None:
    facts, lake, whole = night

    first = audited(facts, lake)
    n_first = steps(made)
    made.clear()

    assert first == audited(facts, lake) == whole
    assert n_first == {"survey": N_PARTS, "measure": N_PARTS, "judge": N_PARTS}
    assert made == []


@pytest.mark.parametrize("step", ["survey", "measure", "judge"])
def test_an_audit_that_was_stopped_goes_on(
    step: str,
    night: tuple[Facts, Path, tuple[str, str]],
    made: list[Task],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts, lake, whole = night

    counted = vars(local)["make"]

    def stopped(site: parts.Site, folder: Folder, task: Task) -> None:
        if steps(made)[step] == 2:
            raise Stopped
        counted(site, folder, task)

    with monkeypatch.context() as patch:
        patch.setattr(local, "make", stopped)
        with pytest.raises(Stopped):
            audited(facts, lake)

    assert audited(facts, lake) == whole
    assert steps(made) == {"survey": N_PARTS, "measure": N_PARTS, "judge": N_PARTS}
    assert len({task.name for task in made}) == 3 * N_PARTS


@pytest.mark.slow
@pytest.mark.parametrize("step", ["survey", "measure", "judge"])
def test_a_process_that_is_killed_in_any_pass_leaves_what_the_next_goes_on_with(
    step: str, night: tuple[Facts, Path, tuple[str, str]], made: list[Task]
) -> None:
    facts, lake, whole = night
    code = (
        "import sys; from pathlib import Path; from tests.unit.engine.nights import *\n"
        "outcome(several(FEW), Path(sys.argv[1]), NODE_H, means=Means())"
    )
    env = {**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))}
    head = subprocess.Popen([sys.executable, "-c", code, str(lake)], env=env)
    while head.poll() is None and not list(lake.glob(f"parts/*/{step}-*")):
        time.sleep(0.002)
    head.kill()
    head.wait()
    before = {path.name for path in lake.glob("parts/*/*")}

    again = audited(facts, lake)

    assert again == whole
    assert not {task.name for task in made} & before
    assert (
        len(made) + sum(name.startswith(("survey-", "measure-", "judge-")) for name in before) == 3 * N_PARTS
    )


def test_two_audits_of_a_night_at_once_give_the_same_and_leave_whole_files(
    night: tuple[Facts, Path, tuple[str, str]],
) -> None:
    facts, lake, whole = night

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: audited(facts, lake), range(2)))

    (folder,) = (lake / "parts").iterdir()
    names = sorted(path.name for path in folder.iterdir())
    assert both == [whole, whole]
    assert len(names) == 4 * N_PARTS + 1  # three passes, what the third goes on with, and the lock
    assert all(open_folder(folder).get(name) is not None for name in names if name != "lock")


def test_a_late_file_of_one_node_makes_its_part_alone_again(
    night: tuple[Facts, Path, tuple[str, str]], made: list[Task]
) -> None:
    facts, lake, whole = night
    audited(facts, lake)
    made.clear()
    (one, *_) = sorted((lake / "v1" / "windows").rglob("*.parquet"))
    pl.read_parquet(one).tail(3).write_parquet(one.with_name("late.parquet"))  # rows that are there already

    again = audited(facts, lake)

    assert again == whole
    assert steps(made) == {"survey": 1, "measure": 1, "judge": 1}
    assert all(one.stem in task.part.reach for task in made)


def test_what_a_node_says_later_to_have_lost_makes_its_part_again(
    night: tuple[Facts, Path, tuple[str, str]], made: list[Task]
) -> None:
    facts, lake, _ = night
    audited(facts, lake)
    made.clear()
    run = pl.read_parquet(min((lake / "v1" / "tickets").rglob("*.parquet"))).row(0, named=True)
    row = {"at": run["at"] + 5 * 86_400.0, "seq": 7, "sha256": "0" * 64}
    row |= {name: run[name] for name in ("cluster", "node", "run")}
    day = lake / "v1" / "lost" / "date=2026-06-05"
    day.mkdir(parents=True)
    known = {name: [row.get(name)] for name in TABLES["lost"]}
    pl.DataFrame(known, schema=TABLES["lost"]).write_parquet(day / "late.parquet")

    again = audited(facts, lake)

    assert again == outcome(facts, lake, WHOLE_H)[:2]
    assert steps(made) == {"survey": 1, "measure": 1, "judge": 1}


def test_rows_that_come_late_give_what_one_look_gives(
    night: tuple[Facts, Path, tuple[str, str]], made: list[Task]
) -> None:
    facts, lake, whole = night
    (one, *_) = sorted((lake / "v1" / "windows").rglob("*.parquet"))
    rows = pl.read_parquet(one)
    rows.head(rows.height // 2).write_parquet(one)
    before = audited(facts, lake)
    rows.tail(rows.height - rows.height // 2).write_parquet(one.with_name("late.parquet"))
    made.clear()

    again = audited(facts, lake)

    assert before != whole
    assert again == whole
    assert steps(made)["survey"] == 1


def test_a_run_that_accounting_tells_otherwise_makes_its_part_again(
    night: tuple[Facts, Path, tuple[str, str]], made: list[Task]
) -> None:
    facts, lake, _ = night
    audited(facts, lake)
    made.clear()
    first, *rest = facts.runs
    other = replace(facts, runs=(replace(first, name="another"), *rest))

    again = audited(other, lake)

    assert again == outcome(other, lake, WHOLE_H)[:2]
    assert steps(made)["survey"] == steps(made)["measure"] == 1


def test_another_configuration_shares_the_survey_and_no_more(
    night: tuple[Facts, Path, tuple[str, str]], made: list[Task]
) -> None:
    facts, lake, _ = night
    audited(facts, lake)
    made.clear()

    audited(replace(facts, summaries={facts.runs[0].id: "jobstats says so"}), lake)
    n_summary = steps(made)
    other = replace(facts, config=replace(facts.config, slack_s=facts.config.slack_s + 1))
    again = audited(other, lake)

    assert n_summary == {"survey": 0, "measure": 0, "judge": 1}
    assert steps(made) == {"survey": 0, "measure": N_PARTS, "judge": N_PARTS + 1}
    assert again == outcome(other, lake, WHOLE_H)[:2]


def test_what_a_disk_has_spoilt_is_made_again(
    night: tuple[Facts, Path, tuple[str, str]], made: list[Task]
) -> None:
    facts, lake, whole = night
    audited(facts, lake)
    made.clear()
    (folder,) = (lake / "parts").iterdir()
    for step in ("survey", "measure", "judge"):
        path = min(folder.glob(f"{step}-*"))
        path.write_bytes(path.read_bytes()[:-1] + b"?")

    again = audited(facts, lake)

    assert again == whole
    assert steps(made) == {"survey": 1, "measure": 1, "judge": 1}


def test_a_spoilt_file_that_only_the_third_pass_needs_is_made_again(
    night: tuple[Facts, Path, tuple[str, str]], made: list[Task]
) -> None:
    facts, lake, whole = night
    audited(facts, lake)
    made.clear()
    (folder,) = (lake / "parts").iterdir()
    spoilt = min(folder.glob("night-measure-*"))
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"?")
    for path in folder.glob("judge-*"):
        path.unlink()

    again = audited(facts, lake)

    assert again == whole
    assert steps(made) == {"survey": 0, "measure": 1, "judge": N_PARTS}


@pytest.mark.parametrize("step", ["survey", "measure"])
@pytest.mark.parametrize("hurt", ["gone", "empty", "other"])
def test_who_does_not_see_the_heads_lake_makes_nothing_that_is_kept(
    hurt: str,
    step: str,
    night: tuple[Facts, Path, tuple[str, str]],
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
        with pytest.raises(GuardError, match="not the one") as caught:
            audited(facts, lake)

    assert caught.value.slug == "lake-changed"
    assert audited(facts, lake) == whole


def test_a_result_in_the_place_of_another_is_made_again(
    night: tuple[Facts, Path, tuple[str, str]], made: list[Task]
) -> None:
    facts, lake, whole = night
    audited(facts, lake)
    made.clear()
    (folder,) = (lake / "parts").iterdir()
    first, second, _ = sorted(folder.glob("judge-*"))
    kept_ = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept_)
    shutil.copy(min(folder.glob("survey-*")), min(folder.glob("measure-*")))

    again = audited(facts, lake)

    assert again == whole
    assert steps(made) == {"survey": 0, "measure": 1, "judge": 2}


def test_only_the_last_nights_are_kept_and_nothing_of_an_audit_that_has_ended(
    night: tuple[Facts, Path, tuple[str, str]],
) -> None:
    facts, lake, _ = night
    few = replace(facts, runs=facts.runs[:1])
    for k in range(3):
        audited(replace(few, until_at=few.until_at + k), lake)

    left = sorted((lake / "parts").iterdir())

    assert len(left) == 2
    assert not [path for each in left for path in each.iterdir() if path.name.startswith((".", "run-"))]
    assert {oct(path.stat().st_mode & 0o777) for path in [lake / "parts", *left]} == {"0o700"}


def test_results_that_nothing_uses_any_more_go(night: tuple[Facts, Path, tuple[str, str]]) -> None:
    facts, lake, _ = night
    few = replace(facts, runs=facts.runs[:1])
    audited(few, lake)
    (folder,) = (lake / "parts").iterdir()
    before = {path.name for path in folder.iterdir()}

    audited(replace(few, version="another"), lake)

    after = {path.name for path in folder.iterdir()}
    assert len(after) == len(before)
    assert {name for name in before & after if not name.startswith("survey-")} == {"lock"}


def test_a_night_that_is_being_audited_is_not_taken_away(tmp_path: Path) -> None:
    names = [("lake", "c", 0.0, float(k)) for k in range(3)]
    with kept.work_of(tmp_path / "parts", 1, names[0]) as first:
        first.night.put("mine", 1)
        with kept.work_of(tmp_path / "parts", 1, names[1]) as second:
            second.used.add("other")
            second.night.put("other", 2)
        with kept.work_of(tmp_path / "parts", 1, names[0]) as beside:
            beside.night.put("beside", 3)

        assert first.night.get("mine") == 1  # beside has used nothing, and is not alone
        assert kept.forget(tmp_path / "parts") == [(first.night.path, kept.forget(tmp_path / "parts")[0][1])]
    assert kept.forget(tmp_path / "parts") == []
    assert list((tmp_path / "parts").iterdir()) == []


def test_what_a_killed_audit_left_is_taken_away_by_the_next(tmp_path: Path) -> None:
    night = ("lake", "c", 0.0, 1.0)
    with kept.work_of(tmp_path / "parts", 1, night) as work:
        dead = work.night.below("run-dead")
        dead.put("site", 1)
    with kept.work_of(tmp_path / "parts", 1, night) as work:
        work.night.below("run-dead").put("site", 1)
        with kept.work_of(tmp_path / "parts", 1, night) as beside:
            names = beside.night.names()

            assert "run-dead" not in names
            assert work.run.path.name in names  # its audit lives


def test_a_folder_of_another_user_or_open_to_others_is_not_read(tmp_path: Path) -> None:
    mine = tmp_path / "parts"
    open_folder(mine).put("x", 1)

    mine.chmod(0o770)
    with pytest.raises(GuardError, match="0770") as group:
        open_folder(mine)
    mine.chmod(0o701)
    with pytest.raises(GuardError, match="0701"):
        open_folder(mine)
    mine.chmod(0o700)
    (tmp_path / "link").symlink_to(mine)
    with pytest.raises(GuardError, match="is a link"):
        open_folder(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(GuardError, match="no folder"):
        open_folder(tmp_path / "file")

    assert group.value.slug == "parts-unsafe"
    assert open_folder(mine).get("x") == 1
    (mine / "x").chmod(0o620)
    with pytest.raises(GuardError, match="0620"):
        open_folder(mine).get("x")
    os.mkfifo(mine / "pipe", 0o600)
    with pytest.raises(GuardError, match="is no file"):
        open_folder(mine).get("pipe")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_what_belongs_to_another_user_is_not_read(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "parts")
    folder.put("x", 1)
    os.chown(tmp_path / "parts" / "x", 65_534, -1)

    with pytest.raises(GuardError, match="uid 65534") as file:
        folder.get("x")
    os.chown(tmp_path / "parts", 65_534, -1)
    with pytest.raises(GuardError, match="uid 65534"):
        open_folder(tmp_path / "parts")

    assert file.value.slug == "parts-unsafe"


def test_a_link_in_the_place_of_a_night_or_a_result_is_not_followed(
    night: tuple[Facts, Path, tuple[str, str]], tmp_path: Path
) -> None:
    facts, lake, _ = night
    few = replace(facts, runs=facts.runs[:1])
    audited(few, lake)
    (folder,) = (lake / "parts").iterdir()
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(GuardError, match="is a link"):
        audited(few, lake)
    folder.unlink()
    (tmp_path / "elsewhere").rename(folder)
    result = min(folder.glob("judge-*"))
    result.rename(tmp_path / "result")
    result.symlink_to(tmp_path / "result")

    with pytest.raises(GuardError, match="parts-unsafe"):
        audited(few, lake)


def test_a_file_that_is_none_of_ours_is_not_unpickled(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "parts")
    (tmp_path / "parts" / "x").write_bytes(b"cos\nsystem\n(S'touch hurt'\ntR.")
    folder.put("y", 1)
    of_another = (tmp_path / "parts" / "y").read_bytes().replace(b"part 1 ", b"part 1 f", 1)
    (tmp_path / "parts" / "z").write_bytes(of_another)
    for name in "xz":
        (tmp_path / "parts" / name).chmod(0o600)

    assert [folder.get(name) for name in "xyz"] == [None, 1, None]


def test_a_lake_of_another_user_keeps_nothing_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept.own_folder(tmp_path) == tmp_path / "parts"

    monkeypatch.setattr("slurm_guard.engine.kept.os.geteuid", lambda: os.getuid() + 1)

    assert kept.own_folder(tmp_path) is None
