"""[[maintenance]] of the configuration: times in which nodes are in the site's hands.

Times are checked without the site's zone: nodes read the file too, and may lack the zones.
"""

from dataclasses import dataclass
from datetime import datetime, tzinfo

from slurm_guard.configkey import key as _key
from slurm_guard.hostlist import expand

MOST_REASON = 200  # characters; it stands in the head of each page. Judgement
LONG_S = 31 * 86_400.0  # judgement: what lasts longer is no maintenance, and hides that nodes are silent
OLD_S = 31 * 86_400.0  # judgement: as long as a night may be audited again
EXAMPLES = {
    "nodes": 'nodes = "gpu[001-004]"',
    "since": 'since = "2026-09-22T08:00"',
    "until": 'until = "2026-09-22T12:00"',
    "reason": 'reason = "firmware of the GPUs"',
}


@dataclass(frozen=True, slots=True)
class MaintenanceConfig:
    """[[maintenance]]: one window. All four keys have to be there."""

    nodes: str = _key("", "the nodes, as a Slurm host list: gpu[001-004,007]")
    since: str = _key("", "when it begins: 2026-09-22T08:00, in report.timezone, or with +02:00 behind it")
    until: str = _key("", "when it ends, written likewise")
    reason: str = _key("", "why, in a few words; it is shown above everything")


def parse_when(text: str) -> datetime:
    """An ISO time, with a zone or without. Raises ValueError."""
    said = text.strip()
    return datetime.fromisoformat(f"{said[:-1]}+00:00" if said[-1:] in ("Z", "z") else said)


def instant(text: str, zone: tzinfo) -> float:
    """Epoch seconds; `zone` holds where the text names none. Raises ValueError."""
    found = parse_when(text)
    try:
        return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).timestamp()
    except OverflowError as error:
        raise ValueError(str(error)) from None


def wrong_window(window: MaintenanceConfig) -> tuple[str, str]:
    """(key, what is wrong with it); empty: nothing."""
    for name in ("nodes", "since", "until", "reason"):
        if not getattr(window, name).strip():
            return name, "must not be empty"
    try:
        if not expand(window.nodes):
            return "nodes", f"({window.nodes!a}) names no node"
    except ValueError as error:
        return "nodes", f"({window.nodes[:80]!a}) is no host list: {error}"
    for name in ("since", "until"):
        try:
            parse_when(getattr(window, name))
        except ValueError:
            return name, f"({getattr(window, name)[:80]!a}) is no time"
    since, until = parse_when(window.since), parse_when(window.until)
    if (since.tzinfo is None) != (until.tzinfo is None):
        return "until", "and since must both have a zone, or neither"
    if until <= since:
        return "until", f"({window.until}) must be later than since ({window.since})"
    if len(window.reason) > MOST_REASON or not window.reason.isprintable():
        return "reason", f"must be one line of at most {MOST_REASON} characters"
    return "", ""


def doubtful_windows(
    windows: list[MaintenanceConfig], zone: tzinfo, now_at: float
) -> list[tuple[MaintenanceConfig, str]]:
    """(window, why) of right windows that nobody may have meant to be there: over long ago, or without an
    end in sight."""
    found = []
    for window in windows:
        since, until = instant(window.since, zone), instant(window.until, zone)
        if now_at - until > OLD_S:
            found.append((window, f"it ended {(now_at - until) / 86_400:.0f} days ago"))
        elif until - since > LONG_S:
            days = (until - since) / 86_400
            found.append((window, f"it lasts {days:.0f} days, in which silent nodes are not missed"))
    return found
