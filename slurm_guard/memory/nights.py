"""An index of each audited night beside its document, so that later nights need not read the document.

`<report.path>/<YYYY-MM-DD>/history.json`, replaced when the night is audited again.

Format history
    1  2026-11: siteword.PastNight. `sums` came later: where it is missing, the night is not in the trend.
"""

import json
import re
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

from slurm_guard.document import as_record
from slurm_guard.jsonsteps import NIGHT, lift
from slurm_guard.model import Skip
from slurm_guard.siteword import PastNight

NAME = "history.json"
KIND = "slurm-guard night"
FORMAT = 1
MOST_BYTES = 8 << 20  # an index at its bounds has about 2 MiB
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def to_text(night: PastNight) -> str:
    """The index as JSON, newline at the end."""
    body = {"kind": KIND, "format": FORMAT, **asdict(night)}
    return json.dumps(body, ensure_ascii=True, allow_nan=False, separators=(",", ":")) + "\n"


def read_nights(
    folder: Path, cluster: str, before_at: float, most: int
) -> tuple[tuple[PastNight, ...], tuple[Skip, ...]]:
    """The cluster's last nights that had ended by then, the earliest first; a skip for each unreadable one.

    A night without an index (audited by an earlier release, or to another file) is not known.
    """
    nights: list[PastNight] = []
    skips: list[Skip] = []
    later = (datetime.fromtimestamp(before_at, timezone.utc) + timedelta(days=1)).date().isoformat()
    try:
        named = [p for p in folder.iterdir() if _DAY.fullmatch(p.name) and p.name <= later]
    except FileNotFoundError:
        return (), ()  # nothing was ever kept
    except OSError as error:
        return (), (Skip("nights", "history-unreadable", error.strerror or "not listed"),)
    for day in sorted(named, key=lambda p: p.name, reverse=True):
        if len(nights) >= most:
            break
        try:
            night = _read(day / NAME)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            skips.append(Skip(f"night {day.name}", "history-unreadable", str(said)[:200]))
            continue
        if night.cluster == cluster and night.until_at <= before_at:
            nights.append(night)
    return tuple(sorted(nights, key=lambda n: (n.from_at, n.until_at))), tuple(skips)


def _read(path: Path) -> PastNight:
    """Raises OSError and ValueError."""
    with path.open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES >> 20} MiB")
    data = json.loads(raw, parse_constant=_refuse)
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise ValueError("not an index of a night")
    number = data.get("format")
    if not isinstance(number, int) or number > FORMAT:
        raise ValueError(f"format {number!r}, this slurm-guard reads up to {FORMAT}")
    lifted = lift(data, (number, FORMAT), NIGHT)
    if lifted is None:
        raise ValueError(f"format {number} is read no more")
    return as_record(PastNight, lifted)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")
