"""Step times or losses more regular than any training loop makes them."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.regular import Pace, loss_noise, pace_spread, took_spread
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_points: int = 40  # judgement: fewer do not settle a spread
    pace: float = (
        1.5e-4  # relative spread of claimed step times. Measured: 6e-4 to 2e-3 from record to record
    )
    # in MLPerf logs of fine-tuning (41 to 47 records each), 2e-2 and more elsewhere; a sleeping loop has 1e-4


def _even(pace: Pace, limit: float) -> bool:
    """Told by how little the times stray from a line, by a fine clock's spread, or a coarse one's phase."""
    if pace.walks(limit) is False:
        return True
    return pace.in_phase if pace.resolution >= limit else pace.spread < limit


def find(case: Case, params: Params) -> list[Finding]:
    """A soft finding for the pace; a loss without noise adds to it, but is none by itself: full-batch
    training and a smoothed loss have it honestly."""
    found = []
    pace = pace_spread(case.track, params.least_points)
    if pace is not None and _even(pace, params.pace):
        found.append(
            Evidence(
                f"relative spread of {pace.n} claimed step times",
                pace.spread,
                "of the mean",
                "lake table points (at)",
                see.rows(case.run, "points", "at,step"),
                "a log whose times are rounded or made by a scheduler",
            )
        )
    took = took_spread(case.track, params.least_points)
    if took is not None and took.spread < params.pace:  # the readers drop coarse ones
        found.append(
            Evidence(
                f"relative spread of {took.n} step times that the log prints",
                took.spread,
                "of the mean",
                "lake table points (took_s)",
                see.rows(case.run, "points", "at,step,took_s"),
                "a log that prints an average over the whole run",
            )
        )
    noise = loss_noise(case.track, params.least_points)
    if found and noise is not None and noise.smooth:
        found.append(
            Evidence(
                "noise of the loss, relative to its level",
                noise.noise,
                "of the mean",
                "lake table points (loss)",
                see.rows(case.run, "points", "at,step,loss"),
                "full-batch training without any randomness, or a smoothed loss",
            )
        )
    if not found:
        return []
    what = " and ".join(f"{e.what} {e.value:.1g}" for e in found)
    sentence = f"The log is more regular than training makes it: {what} (loops: 6e-4 and more)."
    return [
        finding(CHECK, case, Rating(Severity.MEDIUM, 0.7, 2.0 + 0.5 * (len(found) - 1)), sentence, *found)
    ]


CHECK = Check(
    "steps-too-regular",
    "A log too regular to be true",
    Family.D,
    detects="Claimed step times that spread less than any real loop's, where the log's clock is fine "
    "enough to tell; "
    "a loss without the noise of mini-batches adds to that.",
    does_not_detect="A forgery that adds noise; a replayed real log; logs with whole seconds.",
    false_alarms="A loop paced by a timer; a log whose times are made by a scheduler. Soft.",
    remedy="None by itself: read it beside the other evidence.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "step times and loss have noise"),
        Example("whole-seconds", "the log's clock is too coarse to tell"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("printed-times", "the log prints the same time for every step, to a tenth of a millisecond"),
        Example("printed-steps", "a timer prints steps and a formula the loss"),
    ),
    attack=("T1565.001",),
)
