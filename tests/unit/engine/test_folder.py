"""The folder of kept parts: closed to others, bounded, and not taken from under an audit."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard.engine import kept
from slurm_guard.engine.folder import open_folder
from slurm_guard.errors import GuardError
from tests.unit.engine.nights import Night, audited


def test_only_the_last_nights_are_kept_and_nothing_of_an_audit_that_has_ended(
    night: Night,
) -> None:
    facts, lake, _ = night
    few = replace(facts, runs=facts.runs[:1])
    for k in range(3):
        audited(replace(few, until_at=few.until_at + k), lake)

    left = sorted((lake / "parts").iterdir())

    assert len(left) == 2
    assert not [path for each in left for path in each.iterdir() if path.name.startswith((".", "run-"))]
    assert {oct(path.stat().st_mode & 0o777) for path in [lake / "parts", *left]} == {"0o700"}


def test_results_that_nothing_uses_any_more_go(night: Night) -> None:
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


def test_a_link_in_the_place_of_a_night_or_a_result_is_not_followed(night: Night, tmp_path: Path) -> None:
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
