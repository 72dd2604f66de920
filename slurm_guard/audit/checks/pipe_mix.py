"""Hours of integer work alone, flat and without memory traffic, in a run that claims no arithmetic."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import spoken
from slurm_guard.audit.arithmetic import claims_arithmetic
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.checks.intent_held import intent_of, promises
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds, of the SMs' time. Measured on an H100 (docs/gpu-measurements.md): hashing keeps the integer
    pipe busy for 101 % of it and memory for 0, two trainings for 16 to 17 % and 50 to 71 %."""

    weight: float = 0.5  # context: honest programs do the same
    least_h: float = 1.0  # GPU-hours. Judgement
    mostly: float = 0.5  # of the run's own work. Judgement
    ints: float = 0.8  # judgement, between these
    spread: float = 0.1  # flat: from the 10 % to the 90 % quantile of windows. Judgement
    dram: float = 0.05  # judgement, between these


def find(case: Case, params: Params) -> list[Finding]:
    """Context where most of the run's work looks like hashing, and neither log nor declaration says more."""
    mix, kind = case.mix, intent_of(case).kind
    if mix is None or claims_arithmetic(case.track) or (kind is not None and not promises(kind)):
        return []
    bare_us, own_us = 1000.0 * sum(case.slots.bare), 1000.0 * sum(case.slots.own)
    if bare_us < max(3.6e9 * params.least_h, params.mostly * own_us, case.worth_us):
        return []
    if mix.ints < params.ints or mix.spread > params.spread or mix.dram > params.dram:
        return []
    sentence = (
        f"For {spoken(bare_us)} the GPUs' integer pipes alone worked, evenly at {100 * mix.ints:.0f} % and "
        "with next to no memory traffic: hashing looks so, and so do searches and other exact computations."
    )
    evidence = Evidence(
        "work on integers alone",
        bare_us / 3.6e9,
        "GPU-h",
        "lake table windows (int_ms, tensor_ms, dram_ms, sm_ms, more: FP16_UTIL, FP32_UTIL, FP64_UTIL)",
        see.rows(case.run, "windows", "start_at,node,gpu_index,sm_ms,int_ms,tensor_ms,dram_ms,more"),
        "the owner's word of what the program computes: guard:kind=… in --comment or --extra",
    )
    weight = params.weight if case.track.arcs else 0.0
    return [finding(CHECK, case, Rating(Severity.LOW, 0.8, weight), sentence, evidence)]


CHECK = Check(
    "pipe-mix",
    "Integer work alone",
    Family.H,
    detects="An hour of GPU work and more, at least half of the run's, in which GPUs that tell of their "
    "pipes (Hopper and later) make no floating-point operation, keep the integer pipe busy evenly and move "
    "next to nothing in memory, of a run whose log has no loss or that has no log.",
    does_not_detect="Hashing that is made to need memory, or that mixes in other work; GPUs before "
    "Hopper. A log with losses is asked by no-arithmetic.",
    false_alarms="Everything that computes with integers in registers: sieves, exact searches, "
    "cryptography, some aligners and graph codes. Context: with a log it makes a run a NOTE at most, "
    "without one the run is not auditable as before. A declared kind that is no training and no serving "
    "ends it.",
    remedy="Declare what the job does: guard:kind=…",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "the GPU does not tell of its pipes"),
        Example("trained-with-pipes", "floating-point pipes work as well"),
        Example("integer-search", "integers alone, and memory is read all the time"),
        Example("integer-declared", "declared as a search"),
        Example("hashing-under-log", "its log has losses: no-arithmetic says it"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("integer-hashing", "the log counts steps without a loss"),
        Example("integer-unlogged", "no log: not auditable, and this beside it"),
    ),
    attack=("T1496.001",),
)
