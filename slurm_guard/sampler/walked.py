"""What a finished reading found by its look through the work directory: files to follow from then on."""

from __future__ import annotations

from slurm_guard.light import Any, NamedTuple, from_json

# Of one reading: at most 256 files asked for and 64 found, and folders with 512 checkpoints in each.
MOST_LINES = 2_000
CHECKPOINT = "checkpoint"  # the readers' name of that source
MOST_LINE_B = 65_536


class Findings(NamedTuple):
    """What the sampler takes from a reading."""

    paths: list[str]  # that the reading found by its walk or as declared, and opened
    checkpoints: list[list[Any]]  # [folder, step, whether epochs count, trusted from, trusted until]
    models: list[list[Any]]  # [folder with checkpoints, parameters, those in every token's way or null]


def walked(path: str) -> Findings:
    """What a reading found in the work directory; nothing if it is unreadable."""
    found = Findings([], [], [])
    folders: dict[int, str] = {}
    try:
        with open(path, "rb") as file:
            file.readline(MOST_LINE_B)  # the head
            for _ in range(MOST_LINES):
                body = from_json(file.readline(MOST_LINE_B))
                if body.get("k") == "log":
                    _take_log(body, found, folders)
                elif body.get("k") == "point" and body["file"] in folders:  # they come first
                    place = folders[body["file"]], body["step"], "epoch" in body["flags"]
                    found.checkpoints.append([*place, body["obs_lo_at"], body["obs_hi_at"]])
                else:
                    break
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        pass
    return found


def _take_log(body: dict[str, Any], found: Findings, folders: dict[int, str]) -> None:
    """A file to follow, or a folder with checkpoints."""
    if body.get("source") == CHECKPOINT:
        folders[body["file"]] = body["path"]
        if body.get("params") is not None:
            found.models.append([body["path"], body["params"], body.get("dense")])
    elif body["path"].endswith("/wandb-metadata.json"):
        pass  # written once, and no log
    elif body.get("how") in ("walk", "declared") and body.get("size") is not None:
        found.paths.append(body["path"])
