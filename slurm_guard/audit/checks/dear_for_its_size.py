"""Tokens that cost more energy than a model of the run's size needs at a hundredth of the GPUs' peak."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.analytic import LEAST_SHARE, Band, joules, many
from slurm_guard.audit.arithmetic import claims_arithmetic
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    weight: float = 0.3  # judgement: context; energy by arithmetic alone never lists a run
    least_params: int = 50_000_000  # judgement: below, launching kernels is what costs, not arithmetic


def find(case: Case, params: Params) -> list[Finding]:
    """Context where even the run's cheapest stretches lie above the dear end of the band, as if one of its
    GPUs alone had counted the tokens. Work that is shared with other processes is not asked about."""
    band = case.band
    if band is None or band.own_mj is None or band.size.params < params.least_params:
        return []
    if case.study.is_split or sum(case.slots.doubt) > 0 or not claims_arithmetic(case.track):
        return []
    if band.own_mj <= band.hi_mj * case.run.n_gpus:
        return []
    sentence = (
        f"A token cost {joules(band.own_mj)} J even in the run's cheapest stretches; a model of "
        f"{many(band.size.params)} parameters needs {joules(band.hi_mj)} J at {100 * LEAST_SHARE:.0f} % of "
        "these GPUs' peak. Small batches, a model that is mostly not saved, or another count look the same."
    )
    return [finding(CHECK, case, Rating(Severity.LOW, 0.3, params.weight), sentence, _evidence(case, band))]


def _evidence(case: Case, band: Band) -> Evidence:
    return Evidence(
        f"energy above idle per token, against {joules(band.hi_mj)} J by the model's size",
        round((band.own_mj or 0.0) / 1000, 6),
        "J/token",
        "lake tables windows (energy_mj, power_limit_mw), points (tokens) and logs (params)",
        see.both(
            see.rows(case.run, "windows", "start_at,node,gpu_index,energy_mj,power_limit_mw,covered_ms"),
            see.rows(case.run, "points", "at,step,tokens"),
        ),
        "batches of a few hundred tokens, generated text, simulated environments, long inputs that are not "
        "counted, tokens counted by one rank of many, weights that are used and not saved",
    )


CHECK = Check(
    "dear-for-its-size",
    "Much energy for a model of this size",
    Family.B,
    detects="Energy above idle per token, in the run's cheapest stretches, beyond what a model of the told "
    "size needs at a hundredth of the GPUs' 16-bit peak with everything computed twice. Work that is there "
    "from the first step to the last can look so.",
    does_not_detect="Whatever lies within that wide band; models below 50 million parameters, GPUs without "
    "energy, work shared by several processes, logs without a size, tokens or a loss.",
    false_alarms="Small batches on large boards, generation token by token, environments on the GPU, a log "
    "that counts a part of its tokens, checkpoints that hold a part of the model. Context and never more.",
    remedy="Compare with another run of the same program; ask for its batch and sequence length.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "the log names no size"),
        Example("sized", "a quarter of the peak"),
        Example("tiny-model", "ten million parameters: nothing is asked"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("dear-tokens", "a twentieth of a percent of the peak, all along"),),
    attack=("T1496.001",),
)
