"""A run's track in the unit of progress whose cost is steadiest."""

from slurm_guard.audit import gather
from slurm_guard.audit import track as tracks
from slurm_guard.audit.cost import Theta
from slurm_guard.audit.facts import Facts
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.rhythm import Rhythm
from slurm_guard.audit.study import study
from slurm_guard.audit.track import Track
from slurm_guard.model import Run


def steadiest(run: Run, slots: Slots, found: Track, given: tuple[gather.Series, Facts]) -> Track:
    """The track in the unit whose cost is steadiest; the finest meaning where they are alike."""
    series, facts = given
    units = tracks.usable_units(list(found.marks))
    if len(units) < 2:
        return found
    since_at = run.start_at - facts.config.slack_s
    spreads: dict[str, float] = {}
    for unit in units:
        only = tracks.build(series, {u: 0.0 if u == unit else 1.0 for u in units}, found.problems, since_at)
        theta = study(run, slots, only, Rhythm(), facts.config).theta
        spreads[unit] = _rounded(theta)
    return tracks.build(series, spreads, found.problems, since_at)


def _rounded(theta: Theta | None) -> float:
    """Spread in whole percents, so that a unit is not preferred for a trifle; no θ is the worst."""
    return 1e9 if theta is None else round(theta.spread, 2)
