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


def wrong_in_window(window: MaintenanceConfig) -> list[tuple[str, str]]:
    """(key, what is wrong with it) of each key that is."""
    names = ("nodes", "since", "until", "reason")
    found = [(name, wrong) for name in names if (wrong := _wrong(name, getattr(window, name)))]
    if any(name in ("since", "until") for name, _ in found):
        return found
    since, until = parse_when(window.since), parse_when(window.until)
    if (since.tzinfo is None) != (until.tzinfo is None):
        found.append(("until", "and since must both have a zone, or neither"))
    elif until <= since:
        found.append(("until", f"({window.until}) must be later than since ({window.since})"))
    return found


def _wrong(name: str, value: str) -> str:
    """Of one key; "": nothing."""
    if not value.strip():
        return "must not be empty"
    try:
        if name == "nodes" and not expand(value):
            return f"({value!a}) names no node"
    except ValueError as error:
        return f"({value[:80]!a}) is no host list: {error}"
    try:
        if name in ("since", "until"):
            parse_when(value)
    except ValueError:
        return f"({value[:80]!a}) is no time"
    if name == "reason" and (len(value) > MOST_REASON or not value.isprintable()):
        return f"must be one line of at most {MOST_REASON} characters"
    return ""


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
