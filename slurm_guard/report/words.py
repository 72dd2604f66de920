"""Numbers, instants and names as the reader sees them; one place for every unit and every word."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from slurm_guard import sums
from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.model import Account, Verdict

EXPLAINED = sums.EXPLAINING
# The order of a bar: explained, idle, unobserved, and the unexplained at the end where its bounds are drawn.
# `unmatched` is ours alone: the residual of runs that could not be audited, which must not look unexplained.
UNMATCHED, NO_SOURCE, NOT_READ = sums.UNMATCHED, sums.NO_SOURCE, sums.NOT_READ
BAR_ORDER = (
    *(account.value for account in EXPLAINED),
    Account.IDLE.value,
    Account.UNOBSERVED.value,
    UNMATCHED,
    Account.RESIDUAL.value,
    Account.CONTRADICTION.value,
    Account.FOREIGN.value,
)

GLOSSARY = {
    "progress": "GPU work that the logged progress costs. A run's log word says whether anything outside "
    "the job agrees with its log; where nothing does, the upper bound of the unexplained holds this as well.",
    "phase": "Start-up, evaluation and checkpoints: recognised, and bounded in length.",
    "wait": "The GPU was held busy at the level of waiting for other GPUs or for data.",
    "idle": "Allocated and watched, with no work on it.",
    "unobserved": "Nobody looked, or the GPU could not say. Never counted for or against a run.",
    UNMATCHED: "Own work of runs that could not be audited: nothing to set it against, and nothing against "
    "it. In the document it stands under residual and contradiction.",
    "residual": "Work of the run's own processes beyond what its logged progress costs.",
    "contradiction": "Claimed progress, denied by the GPU or the log itself.",
    "foreign": "Work of processes that do not belong to the run.",
}

# Whether anything that the job does not control agrees with its log: ProgressSummary.trust.
CLAIMED, CONTRADICTED, NO_LOG = "claimed-only", "contradicted", "none"
TRUST = {
    "observed": "the GPU's work agrees with the log, and the sampler saw most of the log being written",
    "consistent": "the GPU's work agrees with the log; when its lines were written was not seen",
    CLAIMED: "nothing outside the job confirmed the log or denied it: its work is credited, and the upper "
    "bound of the unexplained holds it all",
    CONTRADICTED: "the GPU's counters deny the log, or its own times do: the finding says which",
    NO_LOG: "no training progress was read",
}

COST_SOURCES = {
    "own-cheapest": "the run's own cheap stretches",
    "peers": "comparable runs of earlier nights",
    "own-and-peers": "the run's own cheap stretches and comparable runs of earlier nights",
    "analytic": "the model's size and the GPUs' peak alone: a wide band",
}

# Which runs an exemption of the site is for.
SCOPES = {
    "run": "this run",
    "job-name": "this user's jobs of this name",
    "user": "this user's jobs",
    "account": "this account's jobs",
}

# How the audit ties a run's processes to its log (docs/method.md, section 3).
TIES = {
    "linked": "holds the progress log, wrote it, or is a rank beside the process that did",
    "kin": "some tie to it, and perhaps part of the training: credited, and the upper bound knows of it",
    "stray": "used the run's GPUs without any tie to the log that could be seen: counted as residual",
}

VERDICT_WORDS = {
    Verdict.ALERT: "a hard fact, or unexplained GPU work by two kinds of evidence: look today",
    Verdict.REVIEW: "one kind of evidence: something to look at, not enough to call it an alert",
    Verdict.NOTE: "worth knowing: a hang, much unobserved, processes in doubt, some residual, guests "
    "or odd records",
    Verdict.CLEAR: "nothing seen that needs a look; the log word says whether anything but the job "
    "vouches for its log",
    Verdict.NOT_AUDITABLE: "no way to set GPU time against progress",
}

BURN_IN_WORDS = "jobs that the site's configuration calls burn-in: GPUs at work that no progress explains"
PARKED_WORDS = "GPUs held for long with nothing on them: a cost to talk about, and nothing unexplained"
EXPLAINED_WORDS = "called as above, and the site has said why it needs no look, and until when"

# What an alert is about, by the check whose hard fact made it one: (of one run, of several).
FACTS = {
    "foreign-process": "a process on GPUs that were not its run's",
    "leftover-process": "a process that outlived its run",
    "progress-without-gpu": "progress logged while the GPUs were idle",
    "reverse-tunnel": "a reverse tunnel to outside, in use",
}
OTHER_FACT = "a fact that stands by itself"
UNEXPLAINED_WORK = "GPU work that logged progress does not explain"

METHOD = (
    "Each GPU's work is measured on the node, from counters that the job cannot write, and attributed to "
    "processes by the kernel's own records where slurm-guard's sampler ran. "
    "Logged training progress is priced at what a unit of it cost in the run's own cheap stretches and in "
    "comparable runs of earlier nights; work beyond that price is unexplained, and its bounds hold the "
    "price's uncertainty. "
    "What was not seen is unobserved and counts neither way; a log that nothing outside the job confirms is "
    "credited all the same, its run is marked claimed-only, and its upper bound holds all of it."
)
# Behind it, where another monitor's readings are shown.
METHOD_OF_OTHERS = (
    " Of GPUs that another monitor read no process is known: whose they were is its word, or follows from "
    "accounting where a run had every GPU of its nodes. No work on them is held against a run."
)


@dataclass(frozen=True, slots=True)
class Unit:
    """The one unit of GPU time on a page, so that its columns compare."""

    name: str
    gpu_ms: int

    def show(self, gpu_ms: int) -> str:
        """A bare number: about three figures, an observed zero as 0, anything less than shown as `<0.01`."""
        return number(gpu_ms / self.gpu_ms)

    def full(self, gpu_ms: int) -> str:
        """The number with the unit."""
        return f"{self.show(gpu_ms)} {self.name}"


_HOURS = Unit("GPU-h", 3_600_000)
_MINUTES = Unit("GPU-min", 60_000)
_SECONDS = Unit("GPU-s", 1_000)


def unit_for(allocations_gpu_ms: Iterable[int]) -> Unit:
    """GPU-hours, as everywhere; a smaller unit only where the largest run of a page is a few minutes
    (judgement: a hundredth of the unit is then more than a twentieth of it)."""
    largest = max(allocations_gpu_ms, default=0)
    if largest == 0 or largest >= _HOURS.gpu_ms // 5:
        return _HOURS
    return _MINUTES if largest >= 2 * _MINUTES.gpu_ms else _SECONDS


def number(value: float) -> str:
    """Three figures or so; thousands set apart."""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.005:
        return "<0.01" if value > 0 else ">−0.01"
    text = f"{size:.2f}" if size < 10 else f"{size:.1f}" if size < 1000 else f"{size:,.0f}"
    return text if value > 0 else f"−{text}"


def _millions(value: float, unit: str) -> str:
    size, name = next(
        (s, n) for s, n in ((1e12, "10¹²"), (1e9, "billion"), (1e6, "million")) if abs(value) >= s
    )
    return f"{number(value / size)} {name} {unit}"


def measure(value: float | None, unit: str) -> str:
    """A value with its unit; a dash for null. Counts below ten million keep all figures."""
    if value is None:
        return "–"
    if unit.startswith("mJ"):  # the document's integers; a step takes joules to megajoules
        size, name = next(
            (s, n) for s, n in ((1e9, "MJ"), (1e6, "kJ"), (1e3, "J"), (0, "mJ")) if abs(value) >= s
        )
        return f"{number(value / (size or 1))} {name}{unit[2:]}"
    if unit.startswith("bytes") and abs(value) >= 1e4:
        size, name = next((s, n) for s, n in ((2**30, "GiB"), (2**20, "MiB"), (0, "KiB")) if abs(value) >= s)
        return f"{number(value / (size or 1024))} {name}{unit[5:]}"
    if unit and 1e7 <= abs(value) < 1e15:  # of ten million, nobody reads the last six figures
        return _millions(value, unit)
    text = f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else number(value)
    if 0 < abs(value) < 0.01:
        text = f"{value:.2g}"
    return f"{text} {unit}".rstrip()


def amount(value: float | None, unit: str, page: Unit) -> str:
    """A measure in the page's words: GPU time in the page's unit, lengths of time in hours and minutes."""
    if value is not None and unit in _GPU_TIME:
        return f"{page.full(round(value * _GPU_TIME[unit]))}{' of SM time' if unit == 'SM-s' else ''}"
    return duration(value) if value is not None and unit == "s" and value >= 0 else measure(value, unit)


# Milliseconds of one GPU; SM-s is the driver's per-process time, in seconds of a whole GPU.
_GPU_TIME = {"GPU-h": 3_600_000, "GPU-min": 60_000, "GPU-s": 1_000, "GPU-ms": 1, "SM-s": 1_000}


def percent(part: float, whole: float) -> str:
    """Share of a whole; a dash when the whole is nothing."""
    if whole <= 0:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1 %"
    if 99.9 < share < 100:
        return ">99.9 %"
    return f"{share:.1f} %" if share not in (0, 100) else f"{share:.0f} %"


def duration(length_s: float) -> str:
    """A length of time in at most two units."""
    whole = round(length_s)
    for unit_s, name, below_s, below in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= unit_s:
            rest = whole % unit_s // below_s
            return f"{whole // unit_s} {name}" + (f" {rest} {below}" if rest else "")
    return f"{length_s:.1f} s" if 0 < length_s < 10 and length_s != int(length_s) else f"{whole} s"


def load_zone(name: str) -> tzinfo:
    """The zone that times are shown in. Raises GuardError config-value for an unknown one."""
    if name.upper() == "UTC":
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise GuardError(
            "config-value",
            f"report.timezone: there is no time zone {name!r} on this machine",
            'use a name like "UTC" or "Europe/Berlin"; on a bare machine install tzdata',
            EXIT_USAGE,
        ) from None


@dataclass(frozen=True, slots=True)
class Times:
    """Instants in the page's zone."""

    zone: tzinfo

    def moment(self, at: float | None) -> datetime | None:
        """Null for null and for what no calendar holds."""
        try:
            return None if at is None else datetime.fromtimestamp(at, self.zone)
        except (OverflowError, OSError, ValueError):
            return None

    def full(self, at: float | None, missing: str = "–") -> str:
        """Date, minute and zone; seconds where they are not zero."""
        moment = self.moment(at)
        if moment is None:
            return missing
        return moment.strftime("%Y-%m-%d %H:%M" + (":%S" if moment.second else ""))

    def clock(self, at: float | None, missing: str = "–") -> str:
        """Time of day with seconds."""
        moment = self.moment(at)
        return missing if moment is None else moment.strftime("%H:%M:%S")

    def span(self, from_at: float | None, until_at: float | None) -> str:
        """Two instants, the date once where it is the same."""
        first, last = self.moment(from_at), self.moment(until_at)
        if first is None or last is None:
            return f"{self.full(from_at)} to {self.full(until_at)}"
        same = first.date() == last.date()
        seconds = ":%S" if first.second or last.second or last - first < timedelta(minutes=10) else ""
        head = first.strftime("%Y-%m-%d %H:%M" + seconds)
        return f"{head} to {last.strftime(('' if same else '%Y-%m-%d ') + '%H:%M' + seconds)}"

    def zone_name(self, at: float) -> str:
        """The zone's short name at an instant."""
        moment = self.moment(at)
        return (moment.tzname() if moment is not None else None) or "UTC"


def plural(count: int, word: str, words: str | None = None) -> str:
    """`1 run`, `2 runs`, `1,204 runs`."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"
