"""The log tells of training, and the GPU makes no floating-point operation."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import spoken
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.spans import Kind
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    weight: float = 6.0  # as of a log that moves without its GPUs, and for the same reason. Judgement


def find(case: Case, params: Params) -> list[Finding]:
    """One hard finding when the log moved beside integer work alone, for long enough to be worth a look."""
    study = case.study
    if not study.bare.denies:
        return []
    times = zip(study.kinds, case.slots.own, strict=True)
    bare_us = sum(
        1000 * study.bare.at(k) * kinds.get(Kind.TRAIN, 0.0) * own for k, (kinds, own) in enumerate(times)
    )
    if bare_us < case.worth_us:
        return []
    sentence = (
        f"The log tells of training steps during {spoken(bare_us)} in which the GPUs made no floating-point "
        "operation: their integer pipes alone worked, as in hashing or searching."
    )
    evidence = Evidence(
        "work under moving progress without floating-point operations",
        bare_us / 1e6,
        "GPU-s",
        "lake table windows (tensor_ms, int_ms, more: FP16_UTIL, FP32_UTIL, FP64_UTIL) and points",
        see.both(
            see.rows(case.run, "windows", "start_at,node,gpu_index,sm_ms,int_ms,tensor_ms,more"),
            see.rows(case.run, "points", "at,step,loss"),
        ),
        "a training on other hardware than these GPUs, and an owner who says what their integer work was",
    )
    return [finding(CHECK, case, Rating(Severity.HIGH, 0.85, params.weight, hard=True), sentence, evidence)]


CHECK = Check(
    "no-arithmetic",
    "Training claimed, no arithmetic on the GPU",
    Family.C,
    detects="A log with losses that moves on while GPUs that tell of their pipes (Hopper and "
    "later) work on integers alone. Loss, gradients and optimiser are floating-point operations, whatever "
    "the model.",
    does_not_detect="Other work that makes floating-point operations, also few of them on purpose; GPUs "
    "before Hopper, which do not tell of their pipes; logs that count steps without a loss.",
    false_alarms="A training on the CPU or another machine, logged by a job that uses its own GPUs for "
    "integer work: the log then does not describe this GPU's work, which is what is said.",
    remedy="Ask what ran on these GPUs; ask for a checkpoint made tonight.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "the GPU does not tell of its pipes: nothing is asked"),
        Example("trained-with-pipes", "the integer pipe works hard, and so do the others"),
        Example("integer-search", "no loss is claimed: a search may be all integers"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("hashing-under-log", "losses are printed, the GPU hashes"),
        Example(
            "hashing-after-training", "the training ended at half time, its log and the GPU's work did not"
        ),
    ),
    attack=("T1496.001", "T1565.001"),
)
