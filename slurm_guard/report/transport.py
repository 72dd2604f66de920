"""What carries letters, as a seam: what happened to one, said such that none is ever sent twice."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from slurm_guard.report.letter import Letter


class Fate(str, Enum):
    """What is known about a letter after a try."""

    SENT = "sent"  # it was taken
    REFUSED = "refused"  # it will not be taken: final
    DEFERRED = "deferred"  # certainly not sent; may be tried again
    UNCLEAR = "unclear"  # it may have been taken and no answer came; never tried again by itself


@dataclass(frozen=True, slots=True)
class Outcome:
    """The fate of one letter and the other side's words, made harmless. `trouble`: the slug of an error that
    is nothing about this reader, so that the next letter will meet it as well; empty: none. A mail
    server's unclear fate has one: a thousand letters to one that answers nothing after the dot would all be
    unclear, and none of those goes again by itself."""

    fate: Fate
    detail: str
    trouble: str = ""


class Transport(Protocol):
    """Something that carries letters."""

    def send(self, letter: Letter, before_handover: Callable[[], None]) -> Outcome:
        """Try once; calls `before_handover` just before the step after which it may have been taken.

        Never raises for what the other side does.
        """
        ...
