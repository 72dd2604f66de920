"""The ledger's file: whole, or not there and said as a disk's refusal."""

import resource
from pathlib import Path

import polars as pl
import pytest

from slurm_guard.lake.minutefile import MinuteFile


def test_a_full_disk_is_an_error_of_the_disk_and_leaves_nothing(tmp_path: Path) -> None:
    rows = pl.DataFrame({"minute": [hash((1, k)) for k in range(100_000)]}).lazy()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"), MinuteFile(tmp_path / "ledger.parquet") as file:
            file.take(rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert list(tmp_path.iterdir()) == []
