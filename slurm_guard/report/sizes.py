"""What a token costs by the model's size alone, beside what it cost the run: a wide band, in words."""

from slurm_guard.model import Judgement
from slurm_guard.report import words
from slurm_guard.report.view import Fact

_BY = {"header": "by its checkpoints' headers", "said": "as its log says"}


def facts(judgement: Judgement) -> tuple[Fact, ...]:
    """A line of a run's card; none where the log names no size, or the boards' peak is not known."""
    band = judgement.cost.analytic
    if band is None:
        return ()
    lo, hi, own = (words.measure(v, "mJ/token") for v in (band.lo_mj, band.hi_mj, band.own_mj))
    said = (
        f"a model of {words.number(band.params / 1e9)} billion parameters "
        f"({_BY.get(band.params_from, 'claimed')}) between half of these GPUs' fastest mode and 1 % of "
        "their 16-bit peak"
    )
    took = f"; the run's cheapest stretches took {own}" if band.own_mj is not None else ""
    return (Fact("Price by the model's size", f"{lo} to {hi}", said + took),)
