"""Judges a family's runs with the real audit and sets the verdicts against the truth."""

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from random import Random
from statistics import median
from typing import Any

from bench.world.families import Family
from bench.world.physics import Truth, World
from bench.world.spec import Spec
from bench.world.tables import EPOCH_AT, Place, Tables, write_run
from slurm_guard.audit.facts import Facts, Snapshot
from slurm_guard.audit.run import audit_and_remember, audit_facts
from slurm_guard.config import AuditConfig
from slurm_guard.history import PastCost
from slurm_guard.lake import history
from slurm_guard.model import Audit, Judgement, Run, Verdict

_SHARES = (0.05, 0.1, 0.25, 0.5)  # what diverting runs divert while they do, in turn
_TOLERANCE = 0.01  # of the allocation, beside the printed bounds
_LEAST_WRONG = 0.1  # of the run's work: a smaller diversion may go unseen
_CONFIG = AuditConfig(least_gpu_h=0.2)  # runs of minutes are judged as well
_SUM_MS = 1000.0  # per GPU
_LONGEST_S = 50_000.0  # a night that holds every run
_DAY_S = 86_400.0
_USERS = 3  # who ran a training in the earlier nights
_FLAGGED = (Verdict.ALERT, Verdict.REVIEW)
_BELIEVED = ("observed", "consistent")
_Z = 1.96  # 95 %


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: what was true of it and what the audit said. Null judgement: the audit failed."""

    is_honest: bool
    is_forged: bool
    truth: Truth
    judgement: Judgement | None
    n_faults: int

    @property
    def counts(self) -> bool:
        """Whether a verdict can be wrong here."""
        return self.is_honest or self.truth.diverted_gpu_ms >= _LEAST_WRONG * max(1, self.truth.work_gpu_ms)

    @property
    def is_wrong(self) -> bool:
        """An honest run that is flagged, or a diversion that is not."""
        if self.judgement is None:
            return False
        return self.counts and (self.judgement.verdict in _FLAGGED) == self.is_honest

    @property
    def is_covered(self) -> bool:
        """Whether the truth lies inside the printed bounds."""
        if self.judgement is None:
            return False
        return (
            not self.is_below_lower
            and self._seen_ms <= self.judgement.unexplained.hi_gpu_ms + self._tolerance_ms
        )

    @property
    def is_below_lower(self) -> bool:
        """Whether more is held against the run than was diverted."""
        if self.judgement is None:
            return False
        return self.judgement.unexplained.lo_gpu_ms > self._seen_ms + self._tolerance_ms

    @property
    def _seen_ms(self) -> float:
        """Diverted while the GPUs were looked at: what nobody observed is in no figure of the audit."""
        return self.truth.diverted_gpu_ms - self.truth.unseen_gpu_ms

    @property
    def _tolerance_ms(self) -> float:
        return _TOLERANCE * self.truth.allocated_gpu_ms


def judge_family(family: Family, n: int, seed: str, nights: int = 0) -> list[Outcome]:
    """Let `n` runs live, each on a node of its own, and audit them as one night. `nights`: earlier ones, in
    which each training ran as other users' before; 0: the audit knows of no earlier night."""
    tables, runs, lived = Tables(), [], []
    past = _earlier(family, n, seed, nights)
    for k in range(n):
        rng = Random(f"{seed}/{family.name}/{k}")
        spec = family.draw(rng, _SHARES[k % len(_SHARES)])
        world = World(spec, rng)
        truth = world.live()
        runs.append(write_run(tables, world, Place(f"n{k}", 100 + k, _config(k, nights))))
        lived.append((spec, truth))
    audit = _audit(tables, runs, past)
    return [_outcome(family, spec, truth, audit, run) for (spec, truth), run in zip(lived, runs, strict=True)]


def _config(k: int, nights: int) -> str:
    """Each run of a family is a training of its own."""
    return f"run{k}.yaml" if nights else ""


def _earlier(family: Family, n: int, seed: str, nights: int) -> list[PastCost]:
    """What audits left of the earlier nights: a run a night for each training, on other boards, by three
    users in turn."""
    rows: list[PastCost] = []
    for m in range(nights):
        tables, runs = Tables(), []
        for k in range(n):
            spec = family.before(family.draw(Random(f"{seed}/{family.name}/{k}"), _SHARES[k % len(_SHARES)]))
            if spec is not None:
                world = World(spec, Random(f"{seed}/{family.name}/{k}/before{m}"))
                world.live()
                runs.append(write_run(tables, world, Place(f"n{k}", 100 + k, _config(k, nights))))
        night = audit_and_remember(_facts(tables, runs, list(rows)))[1] if runs else []
        begin_at = EPOCH_AT - _DAY_S * (nights - m)
        rows += [
            replace(
                row, run=f"{row.run}.{m}", uid=2001 + m % _USERS, from_at=begin_at, until_at=begin_at + _DAY_S
            )
            for row in night
        ]
    return rows


def _facts(tables: Tables, runs: list[Run], past: list[PastCost]) -> Facts:
    until_at = EPOCH_AT + _LONGEST_S
    known = history.snapshot("costs", history.frame_of("costs", past))
    told = Snapshot(known.frame, known.sha256, known.n_nights) if past else None
    frames = tables.frames()
    return Facts("c", EPOCH_AT - 60, until_at, "0", tuple(runs), frames, _CONFIG, costs=told)


def _audit(tables: Tables, runs: list[Run], past: list[PastCost]) -> Audit | None:
    try:
        return audit_facts(_facts(tables, runs, past))
    except Exception:  # noqa: BLE001 - a benchmark counts what the engine cannot do, and shows it
        traceback.print_exc(file=sys.stderr)
        return None


def _outcome(family: Family, spec: Spec, truth: Truth, audit: Audit | None, run: Run) -> Outcome:
    if audit is None:
        return Outcome(family.is_honest, spec.is_log_forged, truth, None, 1)
    judgement = next(judgement for judgement in audit.judgements if judgement.run.id == run.id)
    off_ms = abs(sum(judgement.ledger_gpu_ms.values()) - truth.allocated_gpu_ms)
    n_faults = int(off_ms > _SUM_MS * spec.n_gpus)
    n_faults += sum(skip.subject.endswith(run.id) or skip.subject == run.nodes[0] for skip in audit.skips)
    return Outcome(family.is_honest, spec.is_log_forged, truth, judgement, n_faults)


def row(what: str, side: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of some runs; `docs/adversarial.md` says what each means."""
    judged = [outcome.judgement for outcome in outcomes if outcome.judgement is not None]
    verdicts = [judgement.verdict for judgement in judged]
    wrong, of = sum(o.is_wrong for o in outcomes), sum(o.counts for o in outcomes)
    lo, hi = wilson(wrong, of)
    return {
        "what": what,
        "side": side,
        "n": len(outcomes),
        "alert": verdicts.count(Verdict.ALERT),
        "review": verdicts.count(Verdict.REVIEW),
        "note": verdicts.count(Verdict.NOTE),
        "clear": verdicts.count(Verdict.CLEAR),
        "not_auditable": verdicts.count(Verdict.NOT_AUDITABLE),
        "wrong": wrong,
        "of": of,
        "wrong_lo_pct": lo,
        "wrong_hi_pct": hi,
        "covered": sum(o.is_covered for o in outcomes),
        "width_pct": _median_width_pct(judged),
        "lower_above_truth": sum(o.is_below_lower for o in outcomes),
        "compared": sum(judgement.cost.comparison is not None for judgement in judged),
        "believed": sum(judgement.progress.trust in _BELIEVED for judgement in judged),
        "forged": sum(o.is_forged for o in outcomes),
        "faults": sum(o.n_faults for o in outcomes),
    }


def _median_width_pct(judged: list[Judgement]) -> float | None:
    widths = [
        100 * (j.unexplained.hi_gpu_ms - j.unexplained.lo_gpu_ms) / j.run.allocated_gpu_ms for j in judged
    ]
    return median(widths) if widths else None


def wilson(n_hits: int, n: int) -> tuple[float | None, float | None]:
    """The 95 % interval of a share in percent; null without cases."""
    if n == 0:
        return None, None
    share, z2 = n_hits / n, _Z**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)
