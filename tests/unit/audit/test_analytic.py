"""Tokens against parameters and peaks, with figures that are known from elsewhere."""

from dataclasses import replace
from functools import cache

import pytest

from slurm_guard.audit.analytic import FORWARD, RECOMPUTED, THROUGH, band_of, joules, many, token_arcs
from slurm_guard.audit.boards import Reach
from slurm_guard.audit.case import Case
from slurm_guard.audit.checks import impossible_rate
from slurm_guard.audit.facts import Facts, split
from slurm_guard.audit.night import case_of as made
from slurm_guard.audit.night import measure
from slurm_guard.audit.peaks import peak_of
from slurm_guard.audit.run import audit_facts
from slurm_guard.audit.size import Size
from slurm_guard.audit.sustained import faster_than
from slurm_guard.audit.track import Arc
from slurm_guard.audit.whole import whole_of
from slurm_guard.model import Judgement, Verdict
from tests.builders import Log, Tenant, World, build
from tests.shapes import HONEST, SHAPES, SIZED, TOO_FAST, TRAIN

B = 10**9
MARGIN = impossible_rate.CHECK.params.margin


def judged(world: World) -> Judgement:
    """Job 7 of a world."""
    return next(j for j in audit_facts(build(world)).judgements if j.run.job_id == 7)


@cache
def case_of(shape: str) -> Case:
    """Job 7 of a shape, before it is judged."""
    facts: Facts = build(SHAPES[shape])
    runs, _ = split(facts.runs)
    night, told = measure(runs, facts)
    whole = whole_of(runs, facts, told)
    return next(made(i, run, night, (whole, facts)) for i, run in enumerate(runs) if run.job_id == 7)


def share_of_peak(name: str, n_gpus: int, params: int, tokens_s: float, operations: float = 6.0) -> float:
    """Of the 16-bit peak, as published shares are counted."""
    peak = peak_of(name)
    assert peak is not None
    return operations * params * tokens_s / (n_gpus * peak.dense)


# Model, its size, GPUs, tokens a second: published or calculated from what was published.
REACHED = {
    # 8 billion at 40 % of the peak of one board.
    "Llama 3 8B": (Size(8 * B, 8 * B, "header"), "NVIDIA H100 80GB HBM3", 1, 8242.0, 6.0),
    # nanoGPT: 250 ms an iteration of 491,520 tokens on 8 A100.
    "nanoGPT 124M": (Size(124 * 10**6, None, "said"), "NVIDIA A100-SXM4-40GB", 8, 1.966e6, 6.0),
    # DeepSeek-V3: 180,000 H800-hours for 10^12 tokens, 37 of 671 billion parameters at work.
    "DeepSeek-V3": (Size(671 * B, 17 * B, "header"), "NVIDIA H800", 2048, 2048e12 / (180_000 * 3600), 6.0),
    # The same, by a log that tells the total alone.
    "DeepSeek-V3, said": (Size(671 * B, None, "said"), "NVIDIA H800", 2048, 2048e12 / (180_000 * 3600), 6.0),
    # Llama 2 70B with adapters, eight bits: MLPerf 5.0 on 8 H200, 3,072 sequences of 8,192 in 1,340 s.
    "LoRA on 70B": (Size(70 * B, 70 * B, "header"), "NVIDIA H200", 8, 3072 * 8192 / 1340, 4.0),
    # Prompts in four bits at 60 % of that mode's dense rate, and no loss.
    "prompts, FP4": (Size(8 * B, 8 * B, "header"), "NVIDIA B200", 1, 0.6 * 9e15 / (2 * 8e9), 2.0),
}


@pytest.mark.parametrize("name", REACHED)
def test_what_was_reached_is_far_from_impossible(name: str) -> None:
    size, board, n_gpus, tokens_s, operations = REACHED[name]
    peak = peak_of(board)
    assert peak is not None
    claimed = [Arc(60.0 * k, 60.0 * (k + 1), 60.0 * tokens_s, None) for k in range(100)]
    needs = (THROUGH if operations > FORWARD else FORWARD) * size.least

    assert faster_than(claimed, (0.0, 6000.0), MARGIN * n_gpus * peak.most / needs) is None
    assert needs * tokens_s < 0.35 * n_gpus * peak.most


@pytest.mark.parametrize("name", [n for n in REACHED if "said" not in n and "FP4" not in n])
def test_a_trainings_energy_lies_within_the_band(name: str) -> None:
    """At the power limit all the time, and at half of it."""
    size, board, n_gpus, tokens_s, operations = REACHED[name]
    peak = peak_of(board)
    assert peak is not None
    range_mw = n_gpus * 500_000.0
    active = {"DeepSeek-V3": 37 * B}.get(name, size.params)
    case = case_of("sized")
    band = band_of(
        size, Reach(n_gpus * peak.dense, n_gpus * peak.most, 0.0, range_mw), case.track, case.study
    )

    assert band is not None
    assert 0.05 < share_of_peak(board, n_gpus, active, tokens_s, operations) < 0.75
    for power in (0.5, 1.0):
        assert band.lo_mj < power * range_mw / tokens_s < band.hi_mj


def test_the_bands_figures_are_those_of_the_method() -> None:
    """8 billion parameters, 989 TFLOP/s, 440 W between idle and limit: 6N at 40 % would be 0.053 J."""
    band = case_of("sized").band

    assert band is not None
    assert band.lo_mj / 1000 == pytest.approx(2 * 8e9 / 0.5 / 3958e12 * 440 / 2, rel=0.01)
    assert band.hi_mj / 1000 == pytest.approx(8 * 8e9 / 0.01 / 989e12 * 440, rel=0.01)
    assert band.own_mj is not None
    assert band.lo_mj < band.own_mj < band.hi_mj


def test_a_size_that_tells_no_experts_apart_has_a_lower_kind_end() -> None:
    case = case_of("sized")
    told, total = (
        band_of(Size(8 * B, dense, "said"), case.reach, case.track, case.study) for dense in (8 * B, None)
    )

    assert told is not None
    assert total is not None
    assert total.lo_mj == pytest.approx(told.lo_mj / 32)
    assert total.hi_mj == told.hi_mj


def test_steps_are_priced_by_the_tokens_in_them() -> None:
    """A track that is priced in steps has the same tokens in the same time."""
    track = case_of("sized").track
    steps = replace(track, unit="step", n_tracks=1)

    tokens = sum(a.units for a in token_arcs(steps))

    assert tokens == pytest.approx(track.units, rel=0.01)
    assert token_arcs(replace(steps, n_tracks=2)) == ()


def test_the_document_has_the_band_beside_the_cost() -> None:
    found = judged(SHAPES["sized"]).cost

    assert found.source == "own-cheapest"
    assert found.analytic is not None
    assert (found.analytic.params, found.analytic.params_from) == (8 * B, "header")
    assert found.analytic.own_mj == found.value


@pytest.mark.parametrize("change", ["model", "params", "tokens", "energy"])
def test_without_one_of_its_parts_there_is_no_band(change: str) -> None:
    world = SHAPES["sized"]
    world = {
        "model": replace(world, model="Some Board"),
        "params": replace(world, log=replace(SIZED, params=None, dense=None)),
        "tokens": replace(world, log=replace(SIZED, tokens=0)),
        "energy": replace(world, model="NVIDIA H100 80GB HBM3 MIG 3g.40gb", mig="3g.40gb", meters=("gpm",)),
    }[change]

    assert judged(world).cost.analytic is None


def test_a_run_without_a_cost_of_its_own_has_the_bands_middle_and_an_upper_bound() -> None:
    plain = judged(replace(SHAPES["dear-and-short"], model="Some Board"))
    found = judged(SHAPES["dear-and-short"])

    assert plain.cost.source == "none"
    assert (found.cost.source, found.cost.unit, found.cost.channel) == ("analytic", "mJ/token", "energy")
    assert found.cost.analytic is not None
    assert found.cost.value is not None
    assert found.cost.analytic.lo_mj < found.cost.value < found.cost.analytic.hi_mj
    before, after = plain.unexplained, found.unexplained
    assert (before.lo_gpu_ms, before.mid_gpu_ms) == (after.lo_gpu_ms, after.mid_gpu_ms)
    assert before.hi_gpu_ms < after.hi_gpu_ms
    assert any(n.startswith("By the model's size alone") for n in found.notes)
    assert (plain.verdict, plain.ledger_gpu_ms) == (found.verdict, found.ledger_gpu_ms)


def test_within_the_band_the_upper_bound_stays() -> None:
    plain = judged(replace(SHAPES["sized-short"], model="Some Board"))

    assert judged(SHAPES["sized-short"]).unexplained == plain.unexplained


def weights(world: World) -> dict[str, float]:
    """What speaks against job 7."""
    return {f.check: f.weight for f in judged(world).findings}


FAST = replace(SHAPES["too-fast-alone"], log=TOO_FAST)


def test_a_claim_below_one_and_a_half_times_the_ceiling_is_not_asked_about() -> None:
    assert "impossible-rate" not in weights(replace(FAST, log=replace(TOO_FAST, tokens=1_080_000)))
    assert "impossible-rate" in weights(replace(FAST, log=replace(TOO_FAST, tokens=1_150_000)))


def test_beyond_the_ceiling_it_speaks_only_where_nothing_agrees_with_the_log() -> None:
    assert weights(FAST)["impossible-rate"] == 2.0
    assert weights(SHAPES["too-fast"])["impossible-rate"] == 0.5


def test_a_total_of_a_log_counts_for_a_thirtysecond_and_never_speaks() -> None:
    said = replace(TOO_FAST, dense=None, params_from="said")

    assert "impossible-rate" not in weights(replace(FAST, log=said))
    assert weights(replace(FAST, log=replace(said, tokens=32 * TOO_FAST.tokens)))["impossible-rate"] == 0.5


def test_without_a_loss_forward_alone_is_asked_about_as_context() -> None:
    served = replace(TOO_FAST, losses=False)

    assert weights(replace(FAST, log=replace(served, tokens=4 * 742_125)))["impossible-rate"] == 0.5
    assert "impossible-rate" not in weights(replace(FAST, log=replace(served, tokens=2 * 742_125)))


def test_what_a_serving_engine_counts_is_not_asked() -> None:
    """Its caches answer prompts without arithmetic."""
    served = replace(TOO_FAST, losses=False, tokens=8 * 742_125)

    assert "impossible-rate" in weights(replace(FAST, log=served))
    assert "impossible-rate" not in weights(replace(FAST, log=replace(served, source="vllm")))


def test_the_users_other_gpus_may_share_the_work() -> None:
    other = Tenant("second", 60, 1e9, gpus=(1,), job_id=8)
    world = replace(FAST, tenants=(*FAST.tenants, other), log=replace(TOO_FAST, tokens=2 * 742_125))

    found = judged(world)

    assert {f.check: f.weight for f in found.findings}["impossible-rate"] == 0.5
    assert any("other jobs at the time" in f.sentence for f in found.findings)
    elsewhere = replace(other, uid=4711)
    assert weights(replace(world, tenants=(*FAST.tenants, elsewhere)))["impossible-rate"] == 2.0


def test_on_an_instance_the_ceiling_is_a_part_of_the_boards() -> None:
    part = replace(FAST, model="NVIDIA H100 80GB HBM3 MIG 3g.40gb", mig="3g.40gb")

    assert "impossible-rate" in weights(replace(part, log=replace(TOO_FAST, tokens=700_000)))
    assert "impossible-rate" not in weights(replace(part, log=replace(TOO_FAST, tokens=600_000)))


def test_tokens_counted_by_one_rank_of_many_are_not_dear() -> None:
    eight = replace(
        SHAPES["dear-tokens"],
        gpus=8,
        board_gpus=8,
        tenants=(replace(TRAIN, gpus=tuple(range(8))),),
        log=replace(SIZED, tokens=8 * 128),
    )

    assert "dear-for-its-size" not in weights(eight)
    assert "dear-for-its-size" in weights(replace(eight, log=replace(SIZED, tokens=64)))


@pytest.mark.parametrize("paces", [((0, 6.0), (3600, 9.0), (7200, 6.0)), ((0, 6.0), (5400, 9.0))])
def test_a_miscount_is_no_witness_beside_another_finding(paces: tuple[tuple[float, float], ...]) -> None:
    """Some of the log's steps are dearer, for a while or from some step on: REVIEW with or without it."""
    log = Log(paces=paces, tokens=TOO_FAST.tokens)
    plain = replace(HONEST, tenants=(replace(TRAIN, period_s=None),), log=log)
    fast = replace(plain, log=replace(log, params=8 * B, dense=8 * B))

    before, found = judged(plain), judged(fast)

    assert weights(fast)["impossible-rate"] == 2.0
    assert weights(fast)["work-residual"] >= 2.0
    assert (before.verdict, before.unexplained) == (found.verdict, found.unexplained)
    assert found.verdict is Verdict.REVIEW


def test_neither_lists_a_run_by_itself() -> None:
    for shape in ("too-fast", "too-fast-alone", "dear-tokens"):
        assert judged(SHAPES[shape]).verdict is Verdict.NOTE


@pytest.mark.parametrize(
    ("params", "words"),
    [(124e6, "124 million"), (6.74e9, "6.74 billion"), (1e12, "1 trillion"), (900, "900")],
)
def test_sizes_are_said_in_words(params: float, words: str) -> None:
    assert many(params) == words


def test_energies_are_said_with_two_digits() -> None:
    assert [joules(v) for v in (74.3, 0.0123, 4100, 250_000)] == ["0.074", "1.2e-05", "4.1", "250"]


def test_the_readings_are_in_order() -> None:
    assert FORWARD < THROUGH < RECOMPUTED
