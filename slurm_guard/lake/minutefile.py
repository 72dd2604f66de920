"""The ledger by GPU and minute as one Parquet file, written by batches: memory holds one batch of runs."""

import tempfile
from pathlib import Path
from types import TracebackType

import polars as pl

from slurm_guard.lake.write import make_folder, write_whole


class MinuteFile:
    """Takes batches of rows and puts them at `path` in their order when it is left, whole or not at all.

    Beside it stands a folder of parts meanwhile, which goes in any case. Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: list[Path] = []

    def __enter__(self) -> "MinuteFile":
        make_folder(self._path.parent)
        self._folder = tempfile.TemporaryDirectory(prefix=f".{self._path.name[:200]}.", dir=self._path.parent)
        return self

    def take(self, rows: pl.LazyFrame) -> None:
        """The next batch."""
        part = Path(self._folder.name) / f"{len(self._parts)}.parquet"
        frame = rows.collect()
        write_whole(part, lambda out: frame.write_parquet(out, compression="zstd"))
        self._parts.append(part)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._parts:
                every = pl.scan_parquet(self._parts, glob=False)
                write_whole(self._path, lambda out: every.sink_parquet(out, compression="zstd"))
        finally:
            self._folder.cleanup()
