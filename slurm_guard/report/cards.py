"""One run's judgement as display strings."""

import re

from slurm_guard.model import Account, Bounds, Finding, Judgement, TimelineEvent, Verdict
from slurm_guard.report import bars, charts, series, words
from slurm_guard.report.safe import LONG, SHORT, clean, clean_or_dash
from slurm_guard.report.view import (
    Card,
    EventView,
    EvidenceView,
    Fact,
    FindingView,
    RunRow,
    TimelineView,
)
from slurm_guard.report.words import Times, Unit

# Judgement: longer lists are not read; the document has everything.
MOST_FINDINGS, MOST_EVIDENCE, MOST_WORDS = 12, 8, 8
WIDE_PX, NARROW_PX = 980, 480  # the drawing on a desk and on a phone; text keeps its size on both

_LOG = (
    "Log a line per step or so to the job's output (key=value, JSON, or a known trainer's format), write "
    "TensorBoard event files, or append to the file named in $SLURM_GUARD_PROGRESS."
)
_HOOK = "Name the prolog in slurm.conf on every GPU node, and look for slurm-guard in the node's syslog."
# What would make the next run auditable, by the class that says why this one was not.
_SAMPLER = "Make sure that the sampler runs on the job's nodes for the whole job; the nodes are listed below."
REMEDIES = {
    "switched-off": "Remove the file that switches slurm-guard off on these nodes.",
    "run-without-ticket": _HOOK,
    "silent": _SAMPLER,
    "refused": "Find out why the node's own records contradict each other: its clock and its driver first.",
    "no-progress-source": _LOG,
}


def verdict_slug(verdict: Verdict) -> str:
    """The verdict as a class name."""
    return verdict.value.lower().replace(" ", "-")


def build_row(judgement: Judgement, unit: Unit) -> RunRow:
    """The run as one line; every string of the document made harmless."""
    run, ledger, bounds = judgement.run, judgement.ledger_gpu_ms, judgement.unexplained
    return RunRow(
        anchor=_anchor(run.id),
        verdict=judgement.verdict.value,
        slug=verdict_slug(judgement.verdict),
        job=clean(run.job, 40),
        name=clean_or_dash(run.name, 60),
        owner=f"{clean_or_dash(run.user, 40)} / {clean_or_dash(run.account, 40)}",
        allocated=unit.show(run.allocated_gpu_ms),
        explained=unit.show(bars.explained_gpu_ms(ledger)),
        idle=unit.show(bars.of(ledger, Account.IDLE.value)),
        unobserved=unit.show(bars.of(ledger, Account.UNOBSERVED.value)),
        unexplained=unit.show(bounds.mid_gpu_ms),
        bounds=f"{unit.show(bounds.lo_gpu_ms)}–{unit.show(bounds.hi_gpu_ms)}",
        coverage=words.percent(judgement.coverage_pct, 100.0),
        sentence=clean(judgement.sentence, LONG),
    )


def _anchor(run_id: str) -> str:
    """An id for links: letters, digits and dashes only, whatever the cluster is called."""
    return "run-" + re.sub(r"[^A-Za-z0-9]+", "-", run_id[:120]).strip("-").lower()


def build_card(judgement: Judgement, unit: Unit, times: Times) -> Card:
    """The run in full."""
    row = build_row(judgement, unit)
    ordered = sorted(judgement.findings, key=lambda f: (not f.hard, -abs(f.weight), f.check))
    against = [f for f in ordered if f.hard or f.weight >= 0][:MOST_FINDINGS]
    favour = [f for f in ordered if not f.hard and f.weight < 0][:MOST_FINDINGS]
    return Card(
        row=row,
        title=f"Job {row.job}" + (f" · {row.name}" if row.name != "–" else ""),
        classes=tuple(clean(name, 40) for name in judgement.classes[:MOST_WORDS]),
        facts=_facts(judgement, unit, times),
        unexplained=_unexplained(judgement, unit),
        bar=bars.build_bar(bars.shown_ledger(judgement), unit, _drawn_bounds(judgement)),
        ledger=_ledger(judgement, unit),
        imbalance=_imbalance(judgement, unit),
        timeline=_timeline(judgement, unit, times),
        against=tuple(_finding(f) for f in against),
        favour=tuple(_finding(f) for f in favour),
        clears=_clears(against),
        unseen=tuple(clean(note) for note in judgement.notes[:MOST_WORDS]),
        smallest=_smallest(judgement, unit),
        remedy=_remedy(judgement),
    )


def _facts(judgement: Judgement, unit: Unit, times: Times) -> tuple[Fact, ...]:
    run = judgement.run
    ran = times.span(run.start_at, run.end_at) if run.end_at is not None else ""
    gpu_type = f" {clean(run.gpu_type, 40)}" if run.gpu_type else ""
    nodes = ", ".join(clean(node, 40) for node in run.nodes[:6]) + (" …" if len(run.nodes) > 6 else "")
    partition = f"partition {clean_or_dash(run.partition, 40)}"
    observed = f"{words.percent(judgement.coverage_pct, 100.0)} observed"
    return (
        Fact("Ran", ran or f"{times.full(run.start_at)}, still running", clean_or_dash(run.state, 40)),
        Fact("GPUs", f"{run.n_gpus}{gpu_type} on {nodes or 'no node'}", partition),
        Fact("Owner", clean_or_dash(run.user, 40), f"account {clean_or_dash(run.account, 40)}"),
        Fact("Allocated", unit.full(run.allocated_gpu_ms), observed),
        _logged(judgement),
        _price(judgement),
    )


def _logged(judgement: Judgement) -> Fact:
    progress = judgement.progress
    said = words.plural(progress.n_points, "point") if progress.n_points else "none found"
    if progress.units is not None and progress.n_points:
        said = f"{words.measure(progress.units, _many(progress.unit))} in {said}"
    sources = ", ".join(clean(source, 160) for source in progress.sources[:3]) or "no source"
    problems = "".join(f"; {clean(problem, 120)}" for problem in progress.problems[:3])
    return Fact("Progress logged", said, f"{sources}; trust: {clean(progress.trust, 40)}{problems}")


def _many(unit: str | None) -> str:
    shown = clean_or_dash(unit, 20)
    return shown if shown.endswith("s") else f"{shown}s"


def _price(judgement: Judgement) -> Fact:
    cost = judgement.cost
    if cost.value is None:
        return Fact("Price of progress", "not known", f"from {clean(cost.source, 40)}")
    spread = f" ± {words.number(100 * cost.rel_sigma)} %" if cost.rel_sigma is not None else ""
    value = words.measure(cost.value, clean(cost.unit, 30)) + spread
    return Fact(
        "Price of progress", value, f"from {clean(cost.source, 40)}, {words.plural(cost.n, 'interval')}"
    )


def _unexplained(judgement: Judgement, unit: Unit) -> str:
    bounds = judgement.unexplained
    if judgement.verdict is Verdict.NOT_AUDITABLE:
        amount = bars.of(bars.shown_ledger(judgement), words.UNMATCHED)
        return f"There is nothing to set {unit.full(amount)} of GPU work against; that says nothing about it."
    if bounds.hi_gpu_ms == 0:
        return f"Nothing of {unit.full(judgement.run.allocated_gpu_ms)} is unexplained."
    return (
        f"At least {unit.show(bounds.lo_gpu_ms)}, at most {unit.show(bounds.hi_gpu_ms)} of "
        f"{unit.full(judgement.run.allocated_gpu_ms)} are not explained by logged progress "
        f"(central estimate {unit.show(bounds.mid_gpu_ms)}, "
        f"{words.percent(bounds.mid_gpu_ms, judgement.run.allocated_gpu_ms)})."
    )


def _drawn_bounds(judgement: Judgement) -> Bounds | None:
    return None if judgement.verdict is Verdict.NOT_AUDITABLE else judgement.unexplained


def _ledger(judgement: Judgement, unit: Unit) -> tuple[Fact, ...]:
    ledger = bars.shown_ledger(judgement)
    whole = sum(ledger.values())
    return tuple(
        Fact(name, unit.full(bars.of(ledger, name)), words.percent(bars.of(ledger, name), whole))
        for name in words.BAR_ORDER
        if bars.of(ledger, name) != 0
    )


def _imbalance(judgement: Judgement, unit: Unit) -> str:
    """The law of conservation, said aloud where a document breaks it by more than a second a GPU."""
    run, total = judgement.run, sum(judgement.ledger_gpu_ms.values())
    if abs(total - run.allocated_gpu_ms) <= 1000 * max(1, run.n_gpus):
        return ""
    return f"The accounts sum to {unit.full(total)}, accounting charged {unit.full(run.allocated_gpu_ms)}."


def _smallest(judgement: Judgement, unit: Unit) -> str:
    if judgement.smallest_visible_gpu_ms is None:
        return "With this run's data no diversion, however large, could have been told from its own work."
    share = words.percent(judgement.smallest_visible_gpu_ms, judgement.run.allocated_gpu_ms)
    least = unit.full(judgement.smallest_visible_gpu_ms)
    return f"The smallest diversion that would have shown here: {least} ({share})."


def _remedy(judgement: Judgement) -> str:
    """The one thing that would make the run auditable; empty for runs that were."""
    if judgement.verdict is not Verdict.NOT_AUDITABLE:
        return ""
    for name, remedy in REMEDIES.items():  # what hinders most comes first
        if name in judgement.classes:
            return remedy
    if judgement.coverage_pct == 0:
        return _SAMPLER
    said = next((e.clears for f in judgement.findings for e in f.evidence if e.clears), "")
    return clean(said) if said else _LOG


def _finding(finding: Finding) -> FindingView:
    said = "a fact that needs no second witness" if finding.hard else _strength(finding.weight)
    return FindingView(
        check=clean(finding.check, 60),
        family=finding.family.value,
        sentence=clean(finding.sentence),
        strength=f"{said}; {words.percent(finding.confidence, 1.0)} sure of the fact",
        hard=finding.hard,
        evidence=tuple(
            EvidenceView(
                clean(e.what, 240),
                words.measure(e.value, clean(e.unit, 30)),
                clean(e.source, 200),
                clean(e.see, 400),
                clean(e.clears, 400),
            )
            for e in finding.evidence[:MOST_EVIDENCE]
        ),
    )


def _strength(weight: float) -> str:
    """Weights are natural logs of odds: 1 is about 3 to 1, 3 about 20 to 1."""
    size = abs(weight)
    word = "no weight" if size < 0.1 else "weak" if size < 1 else "moderate" if size < 3 else "strong"
    return f"{word} (weight {weight:+.1f})".replace("-", "−") if size >= 0.1 else word


def _clears(against: list[Finding]) -> tuple[str, ...]:
    said = [clean(e.clears, 400) for f in against for e in f.evidence if e.clears.strip()]
    return tuple(dict.fromkeys(said))[:MOST_WORDS]


def _timeline(judgement: Judgement, unit: Unit, times: Times) -> TimelineView | None:
    timeline = series.shown_timeline(judgement)
    if timeline is None or timeline.slot_s <= 0 or not timeline.power_w:
        return None
    frame = charts.Frame(times, unit, clean(judgement.progress.unit or "unit", 20))
    events = series.ordered_events(timeline)
    more = len(timeline.events) - len(events)
    columns = series.resample(timeline, 300)
    shaded = series.stretches(columns) if series.is_shaded(judgement) else []
    present = {
        name for name, values in columns.accounts.items() if any(v is not None and v > 0 for v in values)
    }
    return TimelineView(
        wide=charts.build_chart(timeline, WIDE_PX, frame, shaded),
        narrow=charts.build_chart(timeline, NARROW_PX, frame, shaded),
        accounts=tuple(name for name in words.BAR_ORDER if name in present),
        stretches=tuple(
            f"{times.span(from_at, until_at)}: {unit.full(part)}" for from_at, until_at, part in shaded
        )[:MOST_FINDINGS],
        events=tuple(
            EventView(n, _when(e, timeline.start_at, times), clean(e.lane, SHORT), clean(e.text, 240))
            for n, e in enumerate(events, 1)
        ),
        more_events=f"{words.plural(more, 'more event')} in the document" if more > 0 else "",
    )


def _when(event: TimelineEvent, start_at: float, times: Times) -> str:
    """Times of day; with the date where the run goes on past midnight."""
    day = times.full(start_at)[:10]
    said = [
        times.clock(at) if times.full(at)[:10] == day else times.full(at)
        for at in (event.at, event.until_at)
        if at is not None
    ]
    return " to ".join(said)
