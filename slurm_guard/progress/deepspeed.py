"""DeepSpeed's CSV monitor: `Train_Samples_train_loss.csv`, a heading `step,train_loss`, rows of two numbers.

What the heading calls a step is the engine's count of samples (`engine.global_samples`); the file's name says
so. One file for each value, opened anew for every row; the files of one folder are read together, and the
longest speaks. A resumed training writes the heading once more.
"""

import re

from slurm_guard.progress.protocol import NOTHING, Claim, Reader
from slurm_guard.progress.text import TextReader
from slurm_guard.progress.values import to_count, to_loss

PREFIX = "Train_Samples_"
_ROW = re.compile(r"(\d{1,16}),([-+]?(?:\d[\d.eE+-]{0,40}|nan|inf)|tensor\([^)]{1,60}\))?", re.ASCII)
_HEADING = re.compile(r"step,[A-Za-z][\w .-]{0,100}", re.ASCII)


def is_monitor(path: str) -> bool:
    """Whether a file has the name of a value of the training (not `Train_Eigenvalues_…`)."""
    name = path.rpartition("/")[2]
    return name.startswith(PREFIX) and name.endswith(".csv")


class DeepspeedLines:
    """Samples; the loss where the file's heading names one."""

    name = "deepspeed"
    needles: tuple[bytes, ...] = (b",",)

    def __init__(self) -> None:
        self._lossy = False

    def read(self, text: str, offset: int) -> Claim | None:
        text = text.rstrip()
        row = _ROW.fullmatch(text)
        if row is not None:
            loss = to_loss(row[2]) if self._lossy else None
            samples = to_count(row[1])
            return NOTHING if samples is None else Claim(offset, "samples", samples=samples, loss=loss)
        if _HEADING.fullmatch(text) is None:
            raise ValueError("neither a heading nor a row")
        self._lossy = text.endswith("loss")
        return NOTHING

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims


class DeepspeedSource:
    """Told by its name and its heading."""

    name = "deepspeed"
    resyncs = True

    def claims(self, head: bytes, path: str) -> float:
        """0.9 for a file of such a name whose first line is the heading."""
        if not is_monitor(path):
            return 0.0
        first = head.partition(b"\n")[0].decode("ascii", "replace").rstrip()
        return 0.9 if _HEADING.fullmatch(first) is not None else 0.0

    def reader(self) -> Reader:
        return TextReader([DeepspeedLines()])
