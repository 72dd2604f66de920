"""Tables of a part's slices on disk, while others are measured."""

import errno
from dataclasses import dataclass
from pathlib import Path

import polars as pl


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A shelf (audit/slices.py) in a folder that is nobody else's: Arrow files, as they lie in memory."""

    folder: Path

    def put(self, name: str, frame: pl.DataFrame) -> None:
        """In the place of what has that name. Raises OSError."""
        frame.write_ipc(self.folder / name, compression="lz4")

    def get(self, name: str) -> pl.DataFrame:
        """What was put there. Raises OSError."""
        try:
            return pl.read_ipc(self.folder / name)
        except pl.exceptions.PolarsError as error:
            raise OSError(errno.EIO, f"{name} is not as it was written ({error})") from None
