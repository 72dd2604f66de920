"""DVCLive: `dvclive/plots/metrics/<key>.tsv`, a heading `step<TAB>loss` or `timestamp<TAB>step<TAB>loss`.

Each key is a file of its own, opened anew for every row; the files of one folder are read together and the
longest speaks. `system/…` keys are the machine's. Its metrics.json holds the last values alone.
"""

import re

from slurm_guard.progress.protocol import NOTHING, Claim, Reader
from slurm_guard.progress.text import TextReader
from slurm_guard.progress.values import to_count, to_known_instant, to_loss

FOLDER = "/plots/metrics/"
_HEADING = re.compile(r"(timestamp\t)?step\t[^\t]{1,200}")
_ROW = re.compile(r"(?:(\d{13})\t)?(\d{1,16})\t([^\t]{0,40})", re.ASCII)


def key_of(path: str) -> str | None:
    """The metric's name; null: no such file."""
    _, found, key = path.rpartition(FOLDER)
    return key[:-4] if found and key.endswith(".tsv") else None


class DvcliveLines:
    """A value that is no number does not count, its step does."""

    name = "dvclive"
    needles: tuple[bytes, ...] = (b"\t",)

    def __init__(self) -> None:
        self._lossy = False

    def read(self, text: str, offset: int) -> Claim | None:
        text = text.rstrip("\r")
        heading = _HEADING.fullmatch(text)
        if heading is not None:
            self._lossy = text.endswith("loss")
            return NOTHING
        row = _ROW.fullmatch(text)
        step = None if row is None else to_count(row[2])
        if row is None or step is None:
            raise ValueError("neither a heading nor a row")
        return Claim(
            offset, "step", step, loss=to_loss(row[3]) if self._lossy else None, at=to_known_instant(row[1])
        )

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims


class DvcliveSource:
    """Told by its folder and its heading."""

    name = "dvclive"
    resyncs = True

    def claims(self, head: bytes, path: str) -> float:
        """0.9 below a folder plots/metrics with the heading; 0 for the machine's own metrics."""
        key = key_of(path)
        first = head.partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
        if key is None or key.startswith("system/") or _HEADING.fullmatch(first) is None:
            return 0.0
        return 0.9

    def reader(self) -> Reader:
        return TextReader([DvcliveLines()])
