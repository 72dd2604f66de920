"""Stable-Baselines3's monitor.csv: a row an episode: reward, length, seconds. Lengths add up to steps."""

import re

from slurm_guard.progress.jsonl import parse_object
from slurm_guard.progress.protocol import Claim, TableLines
from slurm_guard.progress.values import STEP_LIMIT, to_float, to_known_instant

_ROW = re.compile(
    r"-?[\d.]{1,24}(?:e[-+]?\d{1,3})?,(\d{1,9}),(\d{1,9}(?:\.\d{1,9})?)(?:,[^\n]{0,2000})?", re.ASCII
)


class MonitorLines(TableLines):
    """Begins with `#{"t_start": …}` and the heading `r,l,t`."""

    name = "monitor"
    needles: tuple[bytes, ...] = (b'#{"t_start"', b"r,l,t")

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._named = False
        self._steps = 0
        self._last_s = 0.0

    def read(self, text: str, offset: int) -> Claim | None:
        if text.startswith('#{"t_start"'):
            self._began_at = to_known_instant((parse_object(text[1:].strip()) or {}).get("t_start"))
            self._named = self._began_at is not None
            return None
        if self._named and re.match(r"r,l,t\b", text):
            self.following, self._named = True, False
            return None
        row = _ROW.fullmatch(text.rstrip("\r")) if self.following else None
        if row is None:
            return None
        self._steps += int(row[1])
        if self._steps >= STEP_LIMIT:
            return None
        return Claim(offset, "step", step=self._steps, at=self._at(to_float(row[2]) or 0.0))

    def _at(self, since_s: float) -> float | None:
        """The row's time; null from where the seconds fall: a resumed run counts from another beginning."""
        if since_s < self._last_s:
            self._began_at = None
        self._last_s = since_s
        return None if self._began_at is None else to_known_instant(self._began_at + since_s)

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims
