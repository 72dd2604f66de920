"""The hand-written night of the sample agrees with itself: figures, tables, nodes, and the nights before."""

import re

import pytest

from slurm_guard.lake.schema import TABLES
from slurm_guard.model import Judgement, Timeline
from slurm_guard.report.series import resample, stretches
from tests.unit.report import builders

NIGHT = builders.night()
DRAWN = pytest.mark.parametrize("judgement", [builders.alert(), builders.review()], ids=["alert", "review"])


def _line(judgement: Judgement) -> Timeline:
    assert judgement.timeline is not None
    return judgement.timeline


@DRAWN
def test_a_timeline_sums_to_the_ledger_and_to_the_logged_steps(judgement: Judgement) -> None:
    line = _line(judgement)

    slots = builders.ledger_of(line)
    assert {name: judgement.ledger_gpu_ms[name] for name in slots} == pytest.approx(slots, abs=500)
    assert sum(judgement.ledger_gpu_ms.values()) == judgement.run.allocated_gpu_ms
    assert judgement.progress.units == round(builders.steps_of(judgement.run, line))
    unseen = 100 * slots["unobserved"] / judgement.run.allocated_gpu_ms
    assert judgement.coverage_pct == pytest.approx(100 - unseen)


@DRAWN
def test_a_stretch_is_what_its_finding_says_and_what_is_left_over(judgement: Judgement) -> None:
    found = stretches(resample(_line(judgement), 10_000))
    left = sum(part for _, _, part in found)

    assert left == judgement.unexplained.mid_gpu_ms
    said = [e.value for f in judgement.findings for e in f.evidence if e.unit == "GPU-h"]
    account = "foreign" if judgement.ledger_gpu_ms["foreign"] else "residual"
    assert said == [round(judgement.ledger_gpu_ms[account] / builders.GPU_H, 2)]


def test_a_log_that_stood_still_has_no_progress_in_its_line() -> None:
    line = _line(builders.review())
    ((from_at, until_at, _),) = stretches(resample(line, 10_000))
    slots = range(
        round((from_at - line.start_at) / line.slot_s), round((until_at - line.start_at) / line.slot_s)
    )

    assert {line.progress_per_s[i] for i in slots} == {0.0}
    assert (until_at - from_at) / 60 == 41


def test_a_training_slows_down_by_what_it_lost_to_another_and_its_price_stays() -> None:
    judgement = builders.alert()
    line = _line(judgement)
    before, beside = line.progress_per_s[100], line.progress_per_s[350]
    assert before is not None
    assert beside is not None

    assert f"{100 * beside / before:.0f} % of its speed" in judgement.sentence
    assert judgement.cost.value == pytest.approx(1000 * builders.POWER_W * 8 / before)
    residual, progress = (line.accounts[name][350] for name in ("residual", "progress"))
    assert residual is not None
    assert progress is not None
    (ratio,) = [e.value for f in judgement.findings if f.check == "work-residual" for e in f.evidence]
    assert ratio == pytest.approx(1 + residual / progress, abs=0.01)


def test_sources_are_tables_of_the_lake_and_the_commands_beside_them_show_these() -> None:
    shown = re.compile(r"slurm-guard lake show (\w+)")
    for evidence in (e for j in NIGHT.judgements for f in j.findings for e in f.evidence):
        head, _, names = evidence.source.removeprefix("lake ").partition(" ")

        assert evidence.source.startswith("lake ")
        assert head in ("table", "tables")
        assert set(names.split(" and ")) <= set(TABLES)
        assert set(shown.findall(evidence.see)) == set(names.split(" and "))


def test_no_gpu_is_given_twice_and_no_node_is_unknown() -> None:
    size = {node.node: node.n_gpus for node in NIGHT.nodes}
    runs = [j.run for j in NIGHT.judgements]

    for at in {run.start_at for run in runs}:
        held: dict[str, int] = {}
        for run in runs:
            if run.start_at <= at < run.until_at:
                held[run.nodes[0]] = held.get(run.nodes[0], 0) + run.n_gpus
        assert all(n <= size[node] for node, n in held.items())
    unheard = {node.node for node in NIGHT.nodes if node.last_heard_at is None}
    assert not unheard & {run.nodes[0] for run in runs}
    assert not [s for s in NIGHT.skips for node in unheard if s.subject.startswith(f"{node}/")]


def test_the_nights_before_are_the_same_wherever_they_are_counted() -> None:
    assert NIGHT.site is not None
    earlier = NIGHT.trend[:-1]

    assert len(earlier) == NIGHT.site.n_nights
    assert sum(n.n_alert + n.n_review - n.n_explained for n in earlier) == NIGHT.site.n_asked
    assert sum(n.n_runs for n in earlier) == NIGHT.site.budget.n_references
    assert NIGHT.trend[-1].n_runs == NIGHT.site.budget.n_runs == len(NIGHT.judgements)
    found = [p for p in NIGHT.site.precision if p.kind == "verdict"]
    assert sum(p.n_right + p.n_wrong + p.n_unclear for p in found) == NIGHT.site.n_disposed
    assert sum(p.n_right + p.n_wrong for p in found if p.name == "ALERT") <= sum(n.n_alert for n in earlier)
    (again,) = [r for j in NIGHT.judgements for r in j.again]
    assert sum(n.n_explained for n in earlier[-again.of_nights :]) == again.n_explained == again.n_nights


def test_every_steps_price_is_the_power_over_the_pace() -> None:
    for judgement in NIGHT.judgements:
        progress = judgement.progress
        if progress.units is None or progress.first_at is None or judgement.timeline is not None:
            continue
        pace = progress.units / (judgement.run.until_at - progress.first_at)

        assert judgement.cost.value == pytest.approx(
            1000 * builders.POWER_W * judgement.run.n_gpus / pace, rel=0.01
        )
