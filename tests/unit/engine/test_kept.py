"""Parts that are kept: an audit that was stopped goes on, one of a changed night makes what depends on it."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import polars as pl
import pytest

from slurm_guard.engine import local, parts
from slurm_guard.engine.folder import Folder, open_folder
from slurm_guard.engine.tasks import Task
from slurm_guard.lake.schema import TABLES
from tests.unit.engine.nights import N_PARTS, WHOLE_H, Night, audited, outcome, steps


class Stopped(BaseException):
    """As Ctrl-C comes."""


def test_a_second_audit_makes_nothing_and_gives_the_same(night: Night, made: list[Task]) -> None:
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
    night: Night,
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
    step: str, night: Night, made: list[Task]
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
    night: Night,
) -> None:
    facts, lake, whole = night

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: audited(facts, lake), range(2)))

    (folder,) = (lake / "parts").iterdir()
    names = sorted(path.name for path in folder.iterdir())
    assert both == [whole, whole]
    assert len(names) == 4 * N_PARTS + 1  # three passes, what the third goes on with, and the lock
    assert all(open_folder(folder).get(name) is not None for name in names if name != "lock")


def test_a_late_file_of_one_node_makes_its_part_alone_again(night: Night, made: list[Task]) -> None:
    facts, lake, whole = night
    audited(facts, lake)
    made.clear()
    (one, *_) = sorted((lake / "v1" / "windows").rglob("*.parquet"))
    pl.read_parquet(one).tail(3).write_parquet(one.with_name("late.parquet"))  # rows that are there already

    again = audited(facts, lake)

    assert again == whole
    assert steps(made) == {"survey": 1, "measure": 1, "judge": 1}
    assert all(one.stem in task.part.reach for task in made)


def test_what_a_node_says_later_to_have_lost_makes_its_part_again(night: Night, made: list[Task]) -> None:
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


def test_rows_that_come_late_give_what_one_look_gives(night: Night, made: list[Task]) -> None:
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


def test_a_run_that_accounting_tells_otherwise_makes_its_part_again(night: Night, made: list[Task]) -> None:
    facts, lake, _ = night
    audited(facts, lake)
    made.clear()
    first, *rest = facts.runs
    other = replace(facts, runs=(replace(first, name="another"), *rest))

    again = audited(other, lake)

    assert again == outcome(other, lake, WHOLE_H)[:2]
    assert steps(made)["survey"] == steps(made)["measure"] == 1


def test_another_configuration_shares_the_survey_and_no_more(night: Night, made: list[Task]) -> None:
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


def test_what_a_disk_has_spoilt_is_made_again(night: Night, made: list[Task]) -> None:
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


def test_a_spoilt_file_that_only_the_third_pass_needs_is_made_again(night: Night, made: list[Task]) -> None:
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


def test_a_result_in_the_place_of_another_is_made_again(night: Night, made: list[Task]) -> None:
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
