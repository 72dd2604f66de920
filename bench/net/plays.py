"""What was seen of each play, a line of JSON each, so that a long benchmark can be gone on with."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple


class Played(NamedTuple):
    """`seen`: shapes told of; `alert`: a hard fact was; `n_uses`: exchanges and transfers that came to an
    end; `looks_late`: looks from the one in which the first began to the first word of a relay;
    `busy_late`: looks up to it in which an exchange had come to an end since the one before. `event_s`:
    seconds from the beginning of the first exchange to the event, where its program says when; `round_ms`:
    CPU time of a round between two looks in which there was somebody to look at."""

    name: str
    shape: str
    k: int
    code: str
    seen: tuple[str, ...]
    alert: bool
    n_uses: int
    looks_late: int | None
    busy_late: int | None
    n_looks: int
    said: str
    event_s: float | None = None
    round_ms: float | None = None


def code_digest() -> str:
    """Of the code that judges: plays by another are not counted together."""
    root = Path(__file__).parents[2] / "slurm_guard"
    paths = [*sorted((root / "sampler").glob("*.py")), root / "netlink.py", root / "networks.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


class Book:
    """Plays in a file; without a path in memory alone."""

    def __init__(self, path: str | None, code: str) -> None:
        self._path, self._code = path, code
        self.played: list[Played] = []
        if path is not None and Path(path).exists():
            lines = Path(path).read_text().splitlines()
            every = [
                Played(**{**json.loads(line), "seen": tuple(json.loads(line)["seen"])}) for line in lines
            ]
            self.played = [p for p in every if p.code == code]

    def has(self, name: str, k: int) -> bool:
        """Whether this was played with this code."""
        return any(p.name == name and p.k == k for p in self.played)

    def add(self, played: Played) -> None:
        """One more."""
        self.played.append(played)
        if self._path is not None:
            with Path(self._path).open("a") as lines:
                lines.write(json.dumps(played._asdict()) + "\n")
