"""The network half of a run's judgement, and whether it stands on one time axis with the GPU half."""

from pathlib import Path
from typing import NamedTuple

from slurm_guard.model import Account, Family, Judgement, Timeline, TimelineEvent
from tests.rig.judge import Case

TUNNEL = "reverse-tunnel"
# How far a mark may stand from what it marks, by the rig's time scale: two looks at the tables, a window of
# the counters, three seconds for a process to begin.
LATE_S = {"rig": 10.0, "production": 90.0}


class Visits(NamedTuple):
    """What the guest noted: instants of the host's clock."""

    first_at: float
    last_at: float
    asked_at: float | None  # when he first asked for work; null: never
    n: int


def read_visits(log: Path) -> Visits | None:
    """Null: nobody came in."""
    try:
        rows = [line.split() for line in log.read_text("ascii").splitlines()]
    except FileNotFoundError:
        return None
    asked = [float(at) for at, work in rows if work == "1"]
    return Visits(float(rows[0][0]), float(rows[-1][0]), asked[0] if asked else None, len(rows))


def find_network_faults(
    case: Case, wanted: str | None, visits: Visits | None, late_s: float = LATE_S["rig"]
) -> list[str]:
    """What is not as the table's `network` says; empty: all is well."""
    if wanted is None or case.judgement is None:
        return []
    found = _quiet(case.judgement) if wanted == "quiet" else _tunnel(case.judgement, visits, late_s)
    return [f"{case.scenario.name}: {words}" for words in found]


def find_axis_faults(line: Timeline, visits: Visits, late_s: float = LATE_S["rig"]) -> list[str]:
    """The tunnel's mark from first to last use, a process from the order on, and unexplained work."""
    if visits.asked_at is None:
        return ["nobody asked for work"]
    first_at, last_at, asked_at = visits.first_at, visits.last_at, visits.asked_at
    faults = []
    ends_at = line.start_at + line.slot_s * len(line.power_w)
    marks = [e for e in line.events if e.lane == "network" and e.text.startswith("reverse tunnel")]
    if not any(_spans(mark, (first_at, last_at), ends_at, late_s) for mark in marks):
        faults.append(f"no mark of the tunnel from {first_at:.0f} to {last_at:.0f}: {marks}")
    began = [e.at for e in line.events if e.lane == "process"]
    if not any(asked_at - 1 <= at <= asked_at + late_s for at in began):
        faults.append(f"no process's mark at {asked_at:.0f}: {began}")
    before, after = (_unexplained_s(line, *span) for span in ((line.start_at, asked_at), (asked_at, ends_at)))
    if after <= 0 or before > 0.2 * after:
        faults.append(f"unexplained GPU-seconds: {before:.1f} before the order, {after:.1f} from then on")
    return faults


def _quiet(judgement: Judgement) -> list[str]:
    return [f"{f.check}: {f.sentence}" for f in judgement.findings if f.family is Family.F]


def _tunnel(judgement: Judgement, visits: Visits | None, late_s: float) -> list[str]:
    if visits is None:
        return ["nobody came in"]
    faults = []
    if not any(f.check == TUNNEL and f.hard for f in judgement.findings):
        faults.append(f"no hard finding {TUNNEL}: {[f.check for f in judgement.findings]}")
    if not any(f.family in (Family.A, Family.B) for f in judgement.findings):
        faults.append(f"no finding on the GPU's work: {[f.check for f in judgement.findings]}")
    if judgement.timeline is None:
        return [*faults, "no timeline"]
    return faults + find_axis_faults(judgement.timeline, visits, late_s)


def _spans(mark: TimelineEvent, used: tuple[float, float], ends_at: float, late_s: float) -> bool:
    until_at = mark.at if mark.until_at is None else mark.until_at
    starts = abs(mark.at - used[0]) <= late_s
    return starts and used[1] - late_s <= until_at <= ends_at + late_s


def _unexplained_s(line: Timeline, from_at: float, until_at: float) -> float:
    """GPU-seconds in slots that lie wholly in between."""
    values = line.accounts[Account.RESIDUAL.value]
    inside = [
        0 if value is None else value
        for k, value in enumerate(values)
        if line.start_at + k * line.slot_s >= from_at
        and line.start_at + (k + 1) * line.slot_s <= until_at + 1e-6
    ]
    return sum(inside) / 1000
