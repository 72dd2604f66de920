"""What is known of the store without asking it."""

from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard.config import Config, LakeConfig
from slurm_guard.doctor.fromstore import StoreState, load_store
from slurm_guard.errors import GuardError
from slurm_guard.lake.store.push import push
from tests.buckets import MemoryBucket


def _config(lake: Path, url: str = "s3://b/c") -> Config:
    return replace(Config(), lake=LakeConfig(path=str(lake), store=url))


def test_no_store_is_no_state(tmp_path: Path) -> None:
    assert load_store(_config(tmp_path, "")) == StoreState()


def test_what_a_lake_is_and_when_it_was_sent(tmp_path: Path) -> None:
    before = load_store(_config(tmp_path))
    push(tmp_path, MemoryBucket())
    after = load_store(_config(tmp_path))

    assert (before.kind, before.last_at) == ("", None)
    assert after.kind == "source"
    assert after.last_at is not None


def test_a_role_that_is_damaged_is_said(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "role.json").write_text("{")

    with pytest.raises(GuardError, match="store-role"):
        load_store(_config(tmp_path))


@pytest.mark.parametrize("text", ["", "[]", '{"at": "x"}', '{"at": NaN}'])
def test_a_note_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    push(tmp_path, MemoryBucket())
    (tmp_path / "store" / "last.json").write_text(text)

    assert load_store(_config(tmp_path)).last_at is None
