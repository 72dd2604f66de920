"""Which part of a run's claimed training the physical evidence denies."""

from dataclasses import dataclass

from slurm_guard.audit.case import Case
from slurm_guard.audit.check import SPEAKS
from slurm_guard.audit.checks import (
    impossible_rate,
    log_of_another_time,
    no_step_rhythm,
    progress_without_gpu,
)
from slurm_guard.audit.spans import Kind
from slurm_guard.audit.study import Study
from slurm_guard.model import Family, Finding


@dataclass(frozen=True, slots=True)
class Denial:
    """`share`: part of the credited training work that is booked as contradiction. `sure`: part of it that
    the lower bound holds against the run, too: two kinds of evidence deny it, or one that is hard. `whole`:
    all slots alike; else those of `study.bare`."""

    share: float = 0.0
    sure: float = 0.0
    whole: bool = False

    def at(self, study: Study, k: int) -> float:
        """The denied share of slot `k`."""
        return self.share if self.whole else study.bare.at(k)


def find_denial(case: Case, findings: tuple[Finding, ...]) -> Denial:
    """The strongest denial of the run's claims; none: shares of 0."""
    if progress_without_gpu.decoupled(case):
        return Denial(1.0, 1.0, whole=True)
    bare = bare_share(case)
    elsewhen = any(f.check == log_of_another_time.CHECK.id for f in findings)
    if not any(f.check == no_step_rhythm.CHECK.id and f.weight >= SPEAKS for f in findings):
        # What missing agreement leaves open is the upper bound's; a log of another day credits nothing.
        return Denial(1.0, bare, whole=True) if elsewhen else Denial(bare, bare)
    # Who counts micro-batches as batches logs another step than the GPU shows, too: one mistake and no second
    # witness.
    others = (f for f in findings if f.check != impossible_rate.CHECK.id)
    second = elsewhen or any(f.family is Family.D and f.weight >= SPEAKS for f in others)
    return Denial(1.0, max(bare, _resolved(case.study) if second else 0.0), whole=True)


def bare_share(case: Case) -> float:
    """Part of the training's work in slots without any floating-point operation."""
    study, train = case.study, case.sums.get(Kind.TRAIN, "own")
    if not study.bare.denies or train <= 0:
        return 0.0
    shares = [study.bare.at(k) * kinds.get(Kind.TRAIN, 0.0) for k, kinds in enumerate(study.kinds)]
    return min(1.0, 1000 * sum(s * own for s, own in zip(shares, case.slots.own, strict=True)) / train)


def _resolved(study: Study) -> float:
    """Share of the windows that could show a step and do not."""
    rhythm = study.rhythm
    return (rhythm.n_flat + rhythm.n_other) / rhythm.n_resolvable if rhythm.n_resolvable else 0.0
