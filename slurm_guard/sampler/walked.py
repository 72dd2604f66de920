"""What a finished reading found by its look through the work directory: files to follow from then on."""

from __future__ import annotations

from slurm_guard.light import from_json

MOST_LINES = 1_000  # of files in one reading; the reader names at most 256 asked for and 64 found
MOST_LINE_B = 65_536


def walked(path: str) -> list[str]:
    """The paths that a reading found by its walk or as declared, and opened; none if it is unreadable."""
    found: list[str] = []
    try:
        with open(path, "rb") as file:
            file.readline(MOST_LINE_B)  # the head
            for _ in range(MOST_LINES):
                body = from_json(file.readline(MOST_LINE_B))
                if body.get("k") != "log":
                    break
                if body.get("how") in ("walk", "declared") and body.get("size") is not None:
                    found.append(body["path"])
    except (OSError, ValueError, KeyError, AttributeError):
        pass
    return found
