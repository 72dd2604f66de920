"""WRF: `Timing for main: time … on domain 1` in rsl.out.0000. The counter is the model's time in seconds."""

import re

from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import days_of

_MAIN = re.compile(
    r"Timing for main(?: \(dt= {0,8}[\d.]{1,12}\))?: time (\d{4})-(\d\d)-(\d\d)_(\d\d):(\d\d):(\d\d)"
    r"(?:[+.][\d/]{1,12})? on domain {1,6}(\d{1,3}): {1,12}[\d.]{1,16} elapsed seconds",
    re.ASCII,
)
_MARKS = (("SUCCESS COMPLETE WRF", "end"), ("Timing for Writing restart", "checkpoint"))
DAY_S = 86_400
DAYS_TO_1970 = 719_162  # from the first day of the year 1


class WrfLines:
    """Seconds of model time since the year 1: a restart steps back to where it goes on. No nests."""

    name = "wrf"
    needles: tuple[bytes, ...] = (b"Timing for main", b"SUCCESS COMPLETE WRF", b"Timing for Writing restart")

    def read(self, text: str, offset: int) -> Claim | None:
        main = _MAIN.match(text)
        if main is None:
            phase = next((phase for words, phase in _MARKS if words in text[:200]), None)
            return None if phase is None else Claim(offset, "phase", phase=phase, advances=False)
        days = days_of(main[1], main[2], main[3])
        hour, minute, second = int(main[4]), int(main[5]), int(main[6])
        if int(main[7]) != 1 or days is None or hour > 23 or minute > 59 or second > 60:
            return None
        step = (days + DAYS_TO_1970) * DAY_S + hour * 3600 + minute * 60 + second
        return Claim(offset, "step", step=step)

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims
