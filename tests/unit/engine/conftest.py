"""A night in parts with a lake of its own, and what is made of it."""

import shutil
from pathlib import Path

import pytest

from slurm_guard.engine import local, parts
from slurm_guard.engine.folder import Folder
from slurm_guard.engine.tasks import Task, make
from tests.unit.engine.nights import FEW, WHOLE_H, Night, outcome, several, write_lake


@pytest.fixture(scope="package")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A night, its lake, and what one look at it gives."""
    facts = several(FEW)
    lake = tmp_path_factory.mktemp("kept") / "lake"
    write_lake(dict(facts.frames), lake)
    return facts, lake, outcome(facts, lake, WHOLE_H)[:2]


@pytest.fixture
def night(pristine: Night, tmp_path: Path) -> Night:
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
