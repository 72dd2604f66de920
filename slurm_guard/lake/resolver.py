"""Names that the site's resolver gave out for addresses: `[network] resolver_log`, a line each.

    EPOCH ADDRESS NAME        1764115200.5 203.0.113.9 files.example.org

What a dnsmasq, unbound or BIND logs is turned into it by a line of awk. The names are a zone owner's words:
they explain, and nothing is concluded from one.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from slurm_guard.model import Skip
from slurm_guard.networks import parse_place

MOST_B = 256 << 20  # read of the log's end. Judgement: some days of a cluster's questions
MOST_ADDRESSES = 200_000  # judgement
MOST_NAMES = 4  # of one address: a content network has thousands. Judgement
EARLY_S = 86_400.0  # an answer may be kept for as long before it is used. Judgement: usual limit of caches
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")

Names = dict[tuple[int, int], tuple[str, ...]]  # (bits, address): the newest first


def read_names(path: str, from_at: float, until_at: float) -> tuple[Names, tuple[Skip, ...]]:
    """Names of the window, and why there are none or fewer. An empty path: no log."""
    if not path:
        return {}, ()
    found: Names = {}
    n_bad = 0
    try:
        for line in _lines(Path(path)):
            said = _parse(line)
            n_bad += said is None
            if said is None or not from_at - EARLY_S <= said[0] <= until_at:
                continue
            _, key, name = said
            if key not in found and len(found) >= MOST_ADDRESSES:
                continue
            others = [other for other in found.get(key, ()) if other != name]
            found[key] = (name, *others)[:MOST_NAMES]
    except OSError as error:
        return {}, (Skip(path, "resolver-log", error.strerror or "unreadable"),)
    skips = (Skip(path, "resolver-log", f"{n_bad} lines are not EPOCH ADDRESS NAME"),) if n_bad else ()
    return found, skips


def _lines(path: Path) -> Iterator[str]:
    """The file's last MOST_B bytes; a regular file alone is read."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as log:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(22, "is no regular file")
        if status.st_size > MOST_B:
            log.seek(status.st_size - MOST_B)
            log.readline(4096)
        while line := log.readline(4096):
            yield line.decode("utf-8", "replace")


def _parse(line: str) -> tuple[float, tuple[int, int], str] | None:
    cells = line.split()
    if len(cells) != 3:
        return None
    try:
        at, place = (
            float(cells[0]),
            parse_place(f"{cells[1]}:0" if ":" not in cells[1] else f"[{cells[1]}]:0"),
        )
    except ValueError:
        return None
    name = cells[2].rstrip(".").lower()
    return (at, (place.bits, place.address), name) if _NAME.fullmatch(name) else None
