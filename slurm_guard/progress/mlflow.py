"""MLflow's file store: `mlruns/<experiment>/<run>/metrics/<key>`, lines of `time_ms value step`.

Each key is a file of its own; the files of one run are read together and the longest speaks. `system/…` keys
count samples of the machine, not steps. The database form is not read: see docs/progress.md.
"""

import re

from slurm_guard.progress.protocol import Claim, Reader
from slurm_guard.progress.text import TextReader
from slurm_guard.progress.values import to_count, to_known_instant, to_loss

_LINE = re.compile(r"(\d{13}) ([-+]?(?:\d[\d.eE+-]{0,40}|nan|inf|NaN|Infinity)) (-?\d{1,16})")
_LEAST_LINES = 3  # outside a folder named metrics (judgement)


class MlflowLines:
    """A value that is no number does not count, its step does; a step below 0 is MLflow's "none"."""

    name = "mlflow"
    needles: tuple[bytes, ...] = (b" ",)

    def read(self, text: str, offset: int) -> Claim | None:
        match = _LINE.fullmatch(text.rstrip())
        step = to_count(match[3]) if match is not None else None
        if match is None or step is None:
            return None
        return Claim(offset, "step", step=step, at=to_known_instant(match[1]), loss=to_loss(match[2]))

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims


class MlflowSource:
    """Told by its lines: every whole one in the head has the three numbers."""

    name = "mlflow"
    resyncs = True

    def claims(self, head: bytes, path: str) -> float:
        """0.9 in a run's folder of metrics, 0.6 elsewhere; 0 for the machine's own metrics."""
        if not head[:1].isdigit():
            return 0.0  # most files
        lines = head[: head.rfind(b"\n") + 1].decode("ascii", "replace").splitlines()
        if not lines or not all(map(_LINE.fullmatch, lines)):
            return 0.0
        steps = [int(line.rpartition(" ")[2]) for line in lines]
        if "/metrics/" in path:
            return 0.0 if "/metrics/system/" in path else 0.9
        return 0.6 if len(lines) >= _LEAST_LINES and steps == sorted(steps) else 0.0

    def reader(self) -> Reader:
        return TextReader([MlflowLines()])


def key_of(path: str) -> str:
    """The metric's name."""
    return path.rpartition("/metrics/")[2]
