"""Whether an event file's name (`…tfevents.<second>.<host>.<pid>.<n>`) says that the run wrote it.

The pid is the writer's own: in a container's PID namespace it is small, and each container has the same ones.
So the second in the name has to lie in that process's life as well.
"""

import os
from typing import NamedTuple

from slurm_guard.progress.request import Author, Request

KNOWN = 0.9  # a process of the run is named (design note, section 3)
UNKNOWN = 0.5  # … as any file that was merely found
OTHER_WRITER = 0.2  # a process, or a Slurm job, that is none of the run's
SLACK_S = 60.0  # a clock that was set, and the time from one look at the processes to the next. Judgement


class _Name(NamedTuple):
    """What the name says."""

    at: float
    host: str
    pid: int


def by_name(path: str, request: Request) -> tuple[float, list[str]]:
    """(confidence of a walked file, problems) by its name alone."""
    name = _parse(path)
    if name is None or name.host not in _hosts(request.node):
        return UNKNOWN, []  # a container's own host name cannot be told from another node's
    namesakes = [author for author in request.authors if _own_pid(author) == name.pid]
    if any(one.start_at - SLACK_S <= name.at <= one.last_at + SLACK_S for one in namesakes):
        return KNOWN, []
    # Who is missing, or in a namespace that nobody told of, may have that number.
    sure = request.all_authors and request.authors and all(one.inner is not None for one in request.authors)
    if namesakes or not sure:
        return UNKNOWN, []
    return OTHER_WRITER, ["other-writer: its name says a process that was not seen in the run"]


def _parse(path: str) -> _Name | None:
    """The name's parts; null: it is no event file's, or says no process (tensorboardX)."""
    _, mark, rest = path.rpartition("/")[2].rpartition("tfevents.")
    parts = rest.split(".")
    numbers = [part for part in parts[2:] if part.isdecimal() and len(part) < 9]
    if not mark or not numbers or not parts[0].isdecimal() or len(parts[0]) > 12:
        return None
    return _Name(float(parts[0]), parts[1], int(numbers[0]))


def _hosts(node: str) -> tuple[str, str]:
    """Short names of this machine: Slurm's, and its own, for we read on the node."""
    return node.split(".")[0], os.uname().nodename.split(".")[0]


def _own_pid(author: Author) -> int:
    return author.pid if author.inner is None else author.inner
