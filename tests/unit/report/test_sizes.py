"""The band of a token's cost on a run's card."""

from dataclasses import replace

from slurm_guard.model import Analytic, Judgement
from slurm_guard.report import sizes
from tests.unit.report import builders


def sized(band: Analytic | None) -> Judgement:
    """A run whose cost stands beside this band."""
    run = builders.alert()
    return replace(run, cost=replace(run.cost, analytic=band))


def test_the_card_says_the_band_whose_word_the_size_is_and_what_the_run_took() -> None:
    (fact,) = sizes.facts(sized(Analytic(8_000_000_000, None, "said", 1.8, 2846.2, 61.3)))

    assert fact.value == "1.80 mJ/token to 2.85 J/token"
    assert fact.note.startswith("a model of 8.00 billion parameters (as its log says)")
    assert fact.note.endswith("the run's cheapest stretches took 61.3 mJ/token")


def test_without_a_cost_of_its_own_nothing_is_made_up() -> None:
    (fact,) = sizes.facts(sized(Analytic(8_000_000_000, 8_000_000_000, "header", 1.8, 2846.2, None)))

    assert "(by its checkpoints' headers)" in fact.note
    assert "cheapest" not in fact.note


def test_without_a_band_there_is_no_line() -> None:
    assert sizes.facts(sized(None)) == ()
