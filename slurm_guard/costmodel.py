"""What one unit of progress costs, in the audit document: by the run itself, its peers and arithmetic."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparable runs of earlier nights say of a run's cost: those of its kind that cost least."""

    kind: str  # peers: several other users' runs; own-earlier: the user's own
    value: float  # of one unit in them, in the cost's unit and channel
    rel_sigma: float  # of one further run of them
    n_runs: int
    n_nights: int
    n_users: int
    n_others: int  # comparable runs that cost more, or that something spoke against
    smallest_visible_gpu_ms: int  # steady from the first step to the last, that would have shown
    holds: bool  # whether it may hold something against the run; else only the upper bound knows of it
    why: str  # why not; empty where it may


@dataclass(frozen=True, slots=True)
class Analytic:
    """What a token costs by the model's size and the GPUs' peak: a wide band. Size and tokens are claims."""

    params: int
    dense: int | None  # of them those that every token passes; null: not told
    params_from: str  # header: of checkpoints' headers; said: the log's own words
    lo_mj: float  # energy above idle of one token: forward alone in half of the fastest mode
    hi_mj: float  # everything twice at 1 % of the 16-bit peak
    own_mj: float | None  # in the run's cheapest stretches; null: no cost in energy of its own


@dataclass(frozen=True, slots=True)
class Cost:
    """θ: what one unit of progress costs."""

    value: float | None
    unit: str  # "mJ/step", "busy ms/step"
    channel: str  # cycles, energy, busy
    source: str  # own-cheapest, peers, own-and-peers, analytic (the band's middle), none
    rel_sigma: float | None  # relative standard error
    n: int  # the run's own intervals it was learnt from, or held against
    comparison: Comparison | None = None  # null: no comparable runs
    analytic: Analytic | None = None  # null: no size of the model, no tokens, or GPUs whose peak is not known
