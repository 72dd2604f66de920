"""What a check is and what it says: a level, one sentence, one remedy, and where it was seen."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from slurm_guard.doctor.facts import Facts

_T = TypeVar("_T")


class Level(str, Enum):
    """How much a finding matters, the least first."""

    OK = "ok"
    UNSEEN = "could not look"
    WARNING = "warning"
    PROBLEM = "problem"


class Role(str, Enum):
    """What a machine is for; one may be both."""

    NODE = "node"
    HEAD = "head"


BOTH = (Role.NODE, Role.HEAD)
NODE = (Role.NODE,)
HEAD = (Role.HEAD,)


@dataclass(frozen=True, slots=True)
class Unseen:
    """A fact that could not be had. `why`: a sentence's second half."""

    why: str


class NotSeenError(Exception):
    """A check needs a fact that could not be had."""


def seen(fact: "_T | Unseen") -> "_T":
    """The fact. Raises NotSeenError, which becomes `could not look`."""
    if isinstance(fact, Unseen):
        raise NotSeenError(fact.why)
    return fact


@dataclass(frozen=True, slots=True)
class Said:
    """What a check found. `where` empty: this machine."""

    level: Level
    sentence: str
    remedy: str = ""
    where: str = ""


def ok(sentence: str, where: str = "") -> Said:
    """All is well, and why."""
    return Said(Level.OK, sentence, "", where)


def warning(sentence: str, remedy: str, where: str = "") -> Said:
    """It works, and something is lost or will go wrong."""
    return Said(Level.WARNING, sentence, remedy, where)


def problem(sentence: str, remedy: str, where: str = "") -> Said:
    """Something of slurm-guard does not work, hurts jobs, or tells others what is not for them."""
    return Said(Level.PROBLEM, sentence, remedy, where)


def unseen(sentence: str, remedy: str = "", where: str = "") -> Said:
    """A part of it could not be looked at."""
    return Said(Level.UNSEEN, sentence, remedy, where)


@dataclass(frozen=True, slots=True)
class Check:
    """`what` is looked at, `why` it matters, `remedy` in general, all for the docs. `healthy`: the sentence
    where `find` says nothing. `looker`: what would let it look, said with every `could not look`."""

    id: str
    what: str
    why: str
    remedy: str
    roles: tuple[Role, ...]
    healthy: str
    find: "Callable[[Facts], Iterable[Said]]"
    looker: str = "run it as root, on a machine where Slurm's commands answer"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `where`: a machine or a node."""

    check: str
    where: str
    level: Level
    sentence: str
    remedy: str
