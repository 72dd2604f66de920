"""vLLM's statistics: `Avg prompt throughput: P tokens/s, Avg generation throughput: G tokens/s, …`.

A rate over the time since the line before, about every ten seconds while requests run: tokens are their sum,
a rough count (one fork printed a tenth). The stamp has no year, so only differences count.
"""

import re

from slurm_guard.progress.protocol import NOTHING, Claim
from slurm_guard.progress.values import STEP_LIMIT, to_float

_RATES = re.compile(
    r"Avg prompt throughput: (\d{1,12}(?:\.\d{1,6})?) tokens/s, "
    r"(?:Avg )?generation throughput: (\d{1,12}(?:\.\d{1,6})?) tokens/s"
)
_STAMP = re.compile(r"(?:INFO|DEBUG) (\d\d)-(\d\d) (\d\d):(\d\d):(\d\d) ")
_ENGINE = re.compile(r"\bEngine (\d{1,4}):")
INTERVAL_S = 10.0  # vLLM's default between two lines; it is silent while nothing runs (documented)
GAP_S = 30.0  # a longer silence was an idle engine (judgement: three intervals)
MAX_ENGINES = 1_000  # of one file; more are a joke
_DAY_S = 86_400


class VllmLines:
    """One sum over all engines of the file; each engine's lines are timed by its own line before."""

    name = "vllm"
    needles: tuple[bytes, ...] = (b"Avg prompt throughput:",)

    def __init__(self) -> None:
        self._tokens = 0.0
        self._second: dict[str, int] = {}

    def read(self, text: str, offset: int) -> Claim | None:
        match = _RATES.search(text)
        if match is None:
            return None
        prompt, generated = to_float(match[1]), to_float(match[2])
        named = _ENGINE.search(text)
        if prompt is None or generated is None or len(self._second) > MAX_ENGINES:
            return NOTHING
        self._tokens += (prompt + generated) * self._since(named[1] if named else "", text)
        self._tokens = min(self._tokens, float(STEP_LIMIT - 1))
        return Claim(offset, "tokens", tokens=int(self._tokens))

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims

    def _since(self, engine: str, text: str) -> float:
        """Seconds that the line's rates speak of."""
        match = _STAMP.search(text)
        if match is None:
            return INTERVAL_S
        month, day, hour, minute, second = (int(part) for part in match.groups())
        now = (month * 31 + day) * _DAY_S + hour * 3600 + minute * 60 + second
        before = self._second.get(engine)
        self._second[engine] = now
        if before is None or not 0 < now - before <= GAP_S:
            return INTERVAL_S
        return float(now - before)
