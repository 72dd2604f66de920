"""What a token costs by arithmetic alone: the model's size against the peak of the GPUs (docs/method.md, 5).

The size and the tokens are the job's own words, and what share of the peak a training reaches differs a
hundredfold between honest ones. So this is a wide band: shown, asked about far outside, and in the ledger
nothing but an upper bound where the run has no cost of its own.
"""

from dataclasses import dataclass, replace
from math import log, sqrt

from slurm_guard.audit.blocks import KNOWN
from slurm_guard.audit.boards import Reach
from slurm_guard.audit.bounds import Left
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.size import Size
from slurm_guard.audit.spans import Kind
from slurm_guard.audit.study import Study
from slurm_guard.audit.track import Arc, Track, arcs_of, usable_units
from slurm_guard.model import Analytic, Cost

# Operations per parameter and token: forward alone 2; backward through frozen weights 2 more, and 2 for the
# weights that train; all of it again where activations are recomputed. Documented (PaLM, app. B;
# Megatron-LM).
FORWARD, THROUGH, RECOMPUTED = 2.0, 4.0, 8.0
# At the dear end a share of the 16-bit peak: published trainings reach 20 to 57 % at scale, small models and
# reinforcement learning a few percent. At the kind end a share of the fastest mode: real ones reach 5 to 19 %
# of it (tests/contract/test_analytic_real.py), and its dense rate is half of it. Judgement.
LEAST_SHARE, MOST_SHARE = 0.01, 0.5
LEAST_POWER = 0.5  # of the range from idle to limit, of a board at such a pace. Judgement


@dataclass(frozen=True, slots=True)
class Band:
    """Energy above idle of one token, mJ, from the kindest reading to the dearest. `own_mj`: of the run's
    cheapest stretches; null: it has no energy cost of its own."""

    size: Size
    lo_mj: float
    hi_mj: float
    own_mj: float | None


def token_arcs(track: Track) -> tuple[Arc, ...]:
    """Increments of tokens, whatever unit the run is priced in; empty: its log counts none, or several logs'
    counts would have to be told apart."""
    if track.unit == "tokens":
        return track.arcs
    marks = list(track.marks)
    if track.n_tracks != 1 or "tokens" not in usable_units(marks):
        return ()
    return tuple(arcs_of(marks, "tokens"))


def per_unit(track: Track) -> float | None:
    """Tokens in one unit of progress, on average; null: the log counts none."""
    tokens, units = sum(a.units for a in token_arcs(track)), track.units
    return tokens / units if tokens > 0 and units > 0 else None


def band_of(size: Size | None, reach: Reach | None, track: Track, study: Study) -> Band | None:
    """The band of one token; null without a size, tokens, known boards or their power limits."""
    tokens = per_unit(track)
    if size is None or reach is None or reach.range_mw is None or tokens is None:
        return None
    energy = study.own.get("energy")
    theta = None if energy is None else energy.theta
    return Band(
        size,
        FORWARD * size.least * LEAST_POWER * reach.range_mw / (MOST_SHARE * reach.most),
        RECOMPUTED * size.params * reach.range_mw / (LEAST_SHARE * reach.dense),
        None if theta is None else theta.value / tokens,
    )


def widened(left: Left, band: Band | None, track: Track, slots: Slots, study: Study) -> Left:
    """What is left over where the run has no cost of its own: the upper value holds what even the dear end of
    the band does not explain. Nothing else is taken from it."""
    tokens = per_unit(track)
    if band is None or tokens is None or study.theta is not None or not study.power_believed:
        return left
    if sum(slots.dyn_cov) < KNOWN * sum(slots.cov):
        return left
    work = sum(v * k.get(Kind.TRAIN, 0.0) for v, k in zip(slots.own_dyn, study.kinds, strict=True))
    needs = sum(study.units) * tokens * band.hi_mj
    return replace(left, hi=max(left.hi, 1.0 - needs / work)) if work > 0 else left


def note(band: Band) -> str:
    """What stands in place of a cost that could not be learnt."""
    return (
        f"By the model's size alone a token costs between {joules(band.lo_mj)} and {joules(band.hi_mj)} J "
        "above idle: the upper bound holds what even the dearer of both does not explain."
    )


def documented(band: Band | None) -> Analytic | None:
    """The band as the document has it."""
    if band is None:
        return None
    own = None if band.own_mj is None else round(band.own_mj, 6)
    size = band.size
    return Analytic(size.params, size.dense, size.source, round(band.lo_mj, 9), round(band.hi_mj, 9), own)


def alone(band: Analytic | None) -> Cost | None:
    """The cost of a run that has none of its own: the middle of the band, as if its ends were those of 95 %
    of a log-normal distribution. Null without a band."""
    if band is None or band.lo_mj <= 0.0:
        return None
    middle, sigma = sqrt(band.lo_mj * band.hi_mj), log(band.hi_mj / band.lo_mj) / (2 * 1.96)
    return Cost(round(middle, 6), "mJ/token", "energy", "analytic", round(sigma, 6), 0, None, band)


def many(params: float) -> str:
    """A number of parameters in words."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if params >= size:
            return f"{params / size:.3g} {word}"
    return f"{params:,.0f}"


def joules(mj: float) -> str:
    """Energy of a token in J, two digits."""
    return f"{mj / 1000:.2g}" if mj < 99_500 else f"{mj / 1000:,.0f}"
