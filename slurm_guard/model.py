"""The nouns of the audit half as frozen values. No I/O, no Polars.

Units stand in the names: `_at` UTC epoch seconds, `_ms` integer milliseconds, `_gpu_ms` GPU-milliseconds
(one GPU for one millisecond), `_mj` integer millijoules. Null is "not observed", 0 an observed zero.
"""

from dataclasses import dataclass, field
from enum import Enum
from itertools import chain

from slurm_guard.costmodel import Analytic as Analytic
from slurm_guard.costmodel import Comparison as Comparison
from slurm_guard.costmodel import Cost as Cost
from slurm_guard.sitemodel import Explained, Maintenance, Recurrence, Site
from slurm_guard.summodel import GroupSum, NightSum


class Verdict(str, Enum):
    """Exactly one per run, most serious first."""

    ALERT = "ALERT"
    REVIEW = "REVIEW"
    NOTE = "NOTE"
    CLEAR = "CLEAR"
    NOT_AUDITABLE = "NOT AUDITABLE"


class Account(str, Enum):
    """Where a run's allocated GPU time went; the accounts of a run sum to its allocation."""

    IDLE = "idle"  # GPU seen, no work on it
    PROGRESS = "progress"  # work covered by credited progress
    PHASE = "phase"  # start-up, evaluation, checkpoint: recognised and bounded
    WAIT = "wait"  # kernel active at the communication-wait level
    FOREIGN = "foreign"  # work of processes that are not the run's
    CONTRADICTION = "contradiction"  # progress claimed, denied by the physical evidence
    RESIDUAL = "residual"  # the run's own active work left over
    UNOBSERVED = "unobserved"  # nobody looked, or the GPU could not say


UNEXPLAINED = (Account.FOREIGN, Account.CONTRADICTION, Account.RESIDUAL)


class Family(str, Enum):
    """Evidence families: maximum within one, sum across (docs/method.md)."""

    A = "process identity"
    B = "work residual"
    C = "rhythm and causality"
    D = "progress integrity"
    E = "storage"
    F = "network"
    G = "accounting"
    H = "mix"


class Severity(str, Enum):
    """How much it matters if it is true."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


class Audience(str, Enum):
    """Who should read it."""

    OWNER = "owner"
    OPERATOR = "operator"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a job as accounting has it, clipped to the audited window.

    A job requeued twice is three runs. `id` is `cluster/job_id/start` (start: whole epoch seconds).
    """

    id: str
    cluster: str
    job_id: int  # raw
    job: str  # as Slurm shows it: 1_4, 100+1
    user: str
    uid: int | None
    account: str
    partition: str
    qos: str
    name: str
    state: str
    submit_at: float | None
    start_at: float
    end_at: float | None  # null: still running when accounting was read
    from_at: float  # clipped to the window
    until_at: float
    suspended_s: int
    nodes: tuple[str, ...]
    n_gpus: int  # of the whole run; 0: none allocated
    gpu_type: str | None  # TRES type, null when untyped
    comment: str | None
    work_dir: str | None
    stdout: str | None
    extra: str | None = None  # --extra, where the site stores it

    @property
    def allocated_gpu_ms(self) -> int:
        """What Slurm charges for the clipped interval: GPUs x (interval - suspended)."""
        return self.n_gpus * max(0, round((self.until_at - self.from_at) * 1000) - self.suspended_s * 1000)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One fact that speaks for or against, such that a stranger can check it."""

    what: str  # plain words
    value: float | None
    unit: str
    source: str  # table or file
    see: str  # a command that shows it; where none can, words. Empty: nothing does
    clears: str  # what would clear it


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's word on one run. Its identity survives re-runs: check id and run id."""

    check: str
    run: str
    family: Family
    severity: Severity
    confidence: float  # 0..1, how sure that the fact is as stated
    weight: float  # natural-log weight of evidence, capped by the check; negative speaks for the run
    hard: bool  # a fact that needs no corroboration
    audience: Audience
    sentence: str
    evidence: tuple[Evidence, ...]
    attack: tuple[str, ...] = ()  # MITRE ATT&CK ids

    def __post_init__(self) -> None:
        if not self.evidence:
            raise ValueError(f"finding {self.check} on {self.run} has no evidence")


@dataclass(frozen=True, slots=True)
class Skip:
    """A run, file or check that could not be judged, and why."""

    subject: str
    reason: str  # slug
    detail: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """A quantity with its interval, in GPU-milliseconds."""

    lo_gpu_ms: int
    mid_gpu_ms: int
    hi_gpu_ms: int


@dataclass(frozen=True, slots=True)
class Redone:
    """How much of a run's progress repeats what had been made before a restart. It is explained like all
    logged progress, and held against nobody. Units are those of the summary and of the audited window.
    """

    net_units: float  # new ground; gross = net + redone
    redone_units: float  # between a restart's counter and how far the training had come
    earlier_units: float  # of those: an earlier run of the training had made them (requeued, a chain of jobs)
    perhaps_units: float  # of net: by a counter that began anew, where it had been before
    n_resumes: int  # restarts below a counter that had been passed
    n_begun_anew: int  # the counter fell to its first value: another training, or the same from scratch
    n_untold: int  # it began higher, and which training that goes on with, if any, is not known
    gpu_ms: int  # GPU time of the progress account that went into redone_units
    earlier_gpu_ms: int  # … into earlier_units


@dataclass(frozen=True, slots=True)
class ProgressSummary:
    """What the run logged, in numbers."""

    sources: tuple[str, ...]
    n_points: int
    n_tracks: int
    first_at: float | None
    last_at: float | None
    units: float | None  # gross units of progress in the window
    unit: str | None  # step, samples, tokens
    trust: str  # observed, consistent, claimed-only, contradicted, none
    problems: tuple[str, ...] = ()
    redone: Redone | None = None  # null: no progress, or a log of several writers whose counters mix


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """A moment worth a mark: process, network, lifecycle."""

    at: float
    until_at: float | None
    lane: str  # process, network, run
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Parallel lists over the run's windows: one entry per slot of `slot_s` seconds from `start_at`."""

    start_at: float
    slot_s: float
    accounts: dict[str, list[int | None]]  # account -> GPU-ms per slot
    power_w: list[float | None]  # sum over the run's GPUs
    progress_per_s: list[float | None]
    events: list[TimelineEvent] = field(default_factory=list)

    @property
    def is_observed(self) -> bool:
        """Whether anything at all was seen; of what nobody watched there is nothing to draw."""
        seen = [v for name, v in self.accounts.items() if name != Account.UNOBSERVED.value]
        return any(v is not None for v in chain(self.power_w, self.progress_per_s, *seen))


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything the audit says about one run."""

    run: Run
    verdict: Verdict
    classes: tuple[str, ...]  # parked, no-progress-source, silent, …
    sentence: str
    ledger_gpu_ms: dict[str, int]  # account value -> GPU-ms; sums to run.allocated_gpu_ms
    unexplained: Bounds
    smallest_visible_gpu_ms: int | None  # null: nothing could have been seen
    cost: Cost
    score: float
    findings: tuple[Finding, ...]
    progress: ProgressSummary
    timeline: Timeline | None  # null: CLEAR, or nothing was observed
    coverage_pct: float  # observed share of the allocation
    notes: tuple[str, ...] = ()  # what could not be seen
    explained: tuple[Explained, ...] = ()  # findings that an exemption of the site covers
    left: Verdict | None = None  # what the other findings ask for, NOTE: nothing; null: none is covered
    again: tuple[Recurrence, ...] = ()
    p_value: float | None = None  # of a soft ALERT, against other users' earlier runs; null: not asked
    burn_in: str | None = None  # the entry of `audit.burn_in` that names its job; null: none does

    @property
    def asks(self) -> bool:
        """Whether somebody should look: ALERT or REVIEW, by findings that the site has not explained."""
        return (self.left or self.verdict) in (Verdict.ALERT, Verdict.REVIEW)

    def __post_init__(self) -> None:
        if self.timeline is not None and not self.timeline.is_observed:
            object.__setattr__(self, "timeline", None)  # 20,000 runs that nobody watched: 1.5 GB of nulls


LEAST_STRANGER_MS = 60_000  # of GPU time; a probe or a query of the driver is less. Judgement.


@dataclass(frozen=True, slots=True)
class Outside:
    """GPU work outside any allocation of the run or user it comes from (rulings 2); never in a ledger sum."""

    node: str
    gpu: str
    start_at: float
    end_at: float
    gpu_ms: int
    pid: int | None
    uid: int | None
    exe: str | None
    run: str | None  # published id of the run it is credited to
    sentence: str
    job: int | None = None  # that its node saw it in, where this audit has no run with GPUs of it
    asked: bool = False  # no run's verdict can be about it: somebody should look
    maintenance: bool = False  # not asked about: an administrator's, on a GPU of no run, in maintenance


@dataclass(frozen=True, slots=True)
class NodeCoverage:
    """What was heard of one node."""

    node: str
    n_gpus: int
    observed_gpu_ms: int
    last_heard_at: float | None
    note: str
    maintenance_s: float = 0.0  # of the audited window that the node was in maintenance


@dataclass(frozen=True, slots=True)
class Audit:
    """One window's document (docs/formats.md)."""

    cluster: str
    from_at: float
    until_at: float
    version: str
    settings: dict[str, object]
    judgements: tuple[Judgement, ...]
    outside: tuple[Outside, ...]
    skips: tuple[Skip, ...]
    nodes: tuple[NodeCoverage, ...]
    site: Site | None = None  # null: written by a release that knew no word of the site
    sums: tuple[GroupSum, ...] = ()  # the cluster, then by account, partition and section of the report
    trend: tuple[NightSum, ...] = ()  # the last 30 nights, this one last; empty: an earlier release
    maintenance: tuple[Maintenance, ...] = ()  # windows that overlap the audited one, in order

    @property
    def strangers(self) -> tuple[Outside, ...]:
        """Work of processes that no run's verdict can be about, a minute of GPU time and more of one user and
        program on a node."""
        worked: dict[tuple[str, int | None, str | None], int] = {}
        for o in self.outside:
            if o.asked:
                worked[o.node, o.uid, o.exe] = worked.get((o.node, o.uid, o.exe), 0) + o.gpu_ms
        return tuple(o for o in self.outside if o.asked and worked[o.node, o.uid, o.exe] >= LEAST_STRANGER_MS)

    @property
    def asks(self) -> bool:
        """Whether anything of the night asks for a look."""
        return bool(self.strangers) or any(j.asks for j in self.judgements)
