"""Weights & Biases' `files/wandb-metadata.json`: in which Slurm job and on which host a run was written.

No log: it says whose the `.wandb` file beside it is, where that was written before wandb put it in there
(2024). Written online always, offline by old versions.
"""

import json
from typing import Any, NamedTuple

from slurm_guard.progress.protocol import NAMES_HOST, NAMES_JOB, Found, Reader

NAME = "wandb-metadata.json"
SOURCE = "wandbmeta"
MAX_B = 1 << 20  # real ones have some kilobytes


class Said(NamedTuple):
    """What it says. Empty: nothing."""

    job: str
    host: str


class WandbMetaSource:
    """Told by its name."""

    name = SOURCE
    resyncs = False

    def claims(self, head: bytes, path: str) -> float:
        """0.95 for an object of that name."""
        return 0.95 if path.rpartition("/")[2] == NAME and head.lstrip()[:1] == b"{" else 0.0

    def reader(self) -> Reader:
        return WandbMetaReader()


class WandbMetaReader:
    """Keeps the document and reads it at the end."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._read_b = 0

    def feed(self, data: bytes, offset: int) -> int:
        self._read_b += len(data)
        self._kept += data[: MAX_B - len(self._kept)]
        return offset + len(data)

    def skipped(self, offset: int) -> None:
        """What is left is no document any more."""
        self._kept.clear()

    def finish(self) -> Found:
        said = parse_metadata(bytes(self._kept))
        problems = [f"{NAMES_JOB}{said.job}"] if said.job else []
        problems += [f"{NAMES_HOST}{said.host}"] if said.host else []
        return Found([], [], problems, self._read_b)


def parse_metadata(data: bytes) -> Said:
    """The job's number and the host's name, as far as they are such."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return Said("", "")
    if not isinstance(body, dict):
        return Said("", "")
    slurm = body.get("slurm")
    return Said(_number(slurm.get("job_id")) if isinstance(slurm, dict) else "", _name(body.get("host")))


def _number(value: Any) -> str:
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return text if text.isdigit() and text.isascii() and len(text) < 12 else ""


def _name(value: Any) -> str:
    fits = isinstance(value, str) and 0 < len(value) < 64 and value.isascii()
    return value if fits and value.replace("-", "").replace(".", "").isalnum() else ""
