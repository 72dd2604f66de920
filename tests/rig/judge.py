"""Sets a night's audit document beside what really happened and beside the committed table."""

from collections.abc import Iterable
from typing import NamedTuple

from slurm_guard.model import Account, Judgement
from tests.rig.jobs import Charge
from tests.rig.scenarios import Expected, Scenario
from tests.rig.truth import Truth

EXPLAINED = (Account.PROGRESS, Account.PHASE, Account.WAIT)
MAX_WIDTH_PCT = 15.0  # of the allocation: what the co-tenant's bounds must be narrower than
NARROW = ("cotenant", "cotenant-small")
_SLACK_MS_PER_GPU = 1000  # conservation: within 1 s per GPU


class Case(NamedTuple):
    """One run of the night with everything that is known of it."""

    scenario: Scenario
    job: int
    node: str
    charge: Charge
    truth: Truth
    judgement: Judgement | None  # null: the document has no such run

    @property
    def allocated_ms(self) -> int:
        """GPU-milliseconds that accounting charges."""
        return self.charge.n_gpus * self.charge.elapsed_s * 1000

    @property
    def true_pct(self) -> float:
        """Share of the allocation that other work than the honest loop took."""
        return 100.0 * self.truth.other_ms / self.allocated_ms

    def bounds_pct(self) -> tuple[float, float, float]:
        """The printed bounds as shares of the allocation: low, middle, high."""
        assert self.judgement is not None
        found = self.judgement.unexplained
        low, mid, high = (
            100.0 * ms / self.allocated_ms for ms in (found.lo_gpu_ms, found.mid_gpu_ms, found.hi_gpu_ms)
        )
        return low, mid, high


def find_faults(case: Case, expected: Expected) -> list[str]:
    """Everything about one run that is not as it must be; empty: all is well."""
    name = case.scenario.name
    if case.charge.state != "COMPLETED":
        return [f"{name}: the job itself ended as {case.charge.state}"]
    judgement = case.judgement
    if judgement is None:
        return [f"{name}: the audit has no such run"]
    faults = []
    if judgement.verdict.value not in expected.verdicts:
        wanted = " or ".join(expected.verdicts)
        faults.append(f"{name}: {judgement.verdict.value}, expected {wanted}: {judgement.sentence}")
    if expected.klass is not None and expected.klass not in judgement.classes:
        faults.append(f"{name}: class {expected.klass} is missing from {judgement.classes}")
    faults += _conservation(case, judgement)
    return faults + (_cotenant_bounds(case) if case.scenario.name in NARROW else _within_bounds(case))


def _conservation(case: Case, judgement: Judgement) -> list[str]:
    total = sum(judgement.ledger_gpu_ms.values())
    if abs(total - case.allocated_ms) <= _SLACK_MS_PER_GPU * case.charge.n_gpus:
        return []
    return [f"{case.scenario.name}: accounts sum to {total} GPU-ms, accounting charges {case.allocated_ms}"]


def worst_sum_ms(cases: Iterable[Case]) -> float:
    """Largest difference between a run's accounts and accounting, per GPU."""
    return max(
        abs(sum(case.judgement.ledger_gpu_ms.values()) - case.allocated_ms) / case.charge.n_gpus
        for case in cases
        if case.judgement is not None
    )


def is_inside(case: Case) -> bool:
    """Each run's bounds must hold the truth to a second a GPU: the boards' record is no finer. What nobody
    observed stands beside the bounds, and may be anything."""
    if case.judgement is None:
        return False
    low, _, high = case.bounds_pct()
    unseen = 100.0 * case.judgement.ledger_gpu_ms[Account.UNOBSERVED.value] / case.allocated_ms
    slack = 100.0 * _SLACK_MS_PER_GPU * case.charge.n_gpus / case.allocated_ms
    return low - slack <= case.true_pct <= high + unseen + slack


def _within_bounds(case: Case) -> list[str]:
    if is_inside(case):
        return []
    low, _, high = case.bounds_pct()
    name = case.scenario.name
    return [f"{name}: true share {case.true_pct:.1f} % outside the bounds {low:.1f}–{high:.1f} %"]


def _cotenant_bounds(case: Case) -> list[str]:
    low, _, high = case.bounds_pct()
    faults, name = [], case.scenario.name
    if not low <= case.true_pct <= high:
        faults.append(f"{name}: true share {case.true_pct:.1f} % outside the bounds {low:.1f}–{high:.1f} %")
    if high - low >= MAX_WIDTH_PCT:
        faults.append(f"{name}: bounds are {high - low:.1f} points wide, {MAX_WIDTH_PCT:.0f} allowed")
    return faults


HEADER = (
    "scenario         job       node GPU-s  verdict        explained  idle unobserved"
    "  unexplained (bounds)  %   true %"
)


def render_row(case: Case) -> str:
    """One line of the night's table, GPU-seconds, then shares of the allocation."""
    charge, judgement = case.charge, case.judgement
    head = f"{case.scenario.name:16} {case.job:<9} {case.node:4} {charge.n_gpus * charge.elapsed_s:5}"
    if judgement is None:
        return f"{head}  not in the document"
    ledger = judgement.ledger_gpu_ms
    explained = sum(ledger.get(part.value, 0) for part in EXPLAINED) / 1000
    idle, unseen = (ledger.get(part.value, 0) / 1000 for part in (Account.IDLE, Account.UNOBSERVED))
    low, mid, high = case.bounds_pct()
    return (
        f"{head}  {judgement.verdict.value:13} {explained:10.1f} {idle:5.1f} {unseen:10.1f}"
        f"  {mid:7.1f} ({low:5.1f} – {high:5.1f}) %  {case.true_pct:5.1f}"
    )
