"""One run's judgement as display strings."""

import re

from slurm_guard import attack
from slurm_guard.model import Account, Bounds, Finding, Judgement, Timeline, TimelineEvent, Verdict
from slurm_guard.report import bars, charts, decisions, repeats, sentences, series, sizes, words
from slurm_guard.report.safe import LONG, SHORT, clean, clean_or_dash, shorten
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
MOST_SOURCES = 3
WIDE_PX, NARROW_PX = 980, 340  # the drawing on a desk and on a phone, where text keeps its size


_ENDS = re.compile(r"(?<=[\w)]\.) (?=[A-Z])")  # between two sentences

_COMMAND = 700  # characters: a command that is cut cannot be pasted; the longest of ours has 500


def verdict_slug(verdict: Verdict) -> str:
    """The verdict as a class name."""
    return verdict.value.lower().replace(" ", "-")


_NOTHING_FOR = "Nothing was found that speaks for it; that is no evidence against it."


def build_row(judgement: Judgement, unit: Unit, times: Times) -> RunRow:
    """The run as one line; every string of the document made harmless, a dash where nothing is known."""
    run, ledger, bounds = judgement.run, judgement.ledger_gpu_ms, judgement.unexplained
    unseen = sentences.is_unseen(judgement)
    judged = not bars.is_unmatched(judgement) and not unseen
    is_aside = decisions.is_set_aside(judgement)
    return RunRow(
        anchor=anchor_of(run.id),
        verdict=decisions.EXPLAINED.upper() if is_aside else judgement.verdict.value,
        slug=decisions.EXPLAINED if is_aside else verdict_slug(judgement.verdict),
        job=clean(run.job, 40),
        name=clean_or_dash(run.name, 60),
        owner=f"{clean_or_dash(run.user, 40)} / {clean_or_dash(run.account, 40)}",
        allocated=unit.show(run.allocated_gpu_ms),
        explained="–" if unseen else unit.show(bars.explained_gpu_ms(ledger)),
        idle="–" if unseen else unit.show(bars.of(ledger, Account.IDLE.value)),
        unobserved=unit.show(bars.of(ledger, Account.UNOBSERVED.value)),
        unexplained=unit.show(bounds.mid_gpu_ms) if judged else "–",
        bounds=f"{unit.show(bounds.lo_gpu_ms)}–{unit.show(bounds.hi_gpu_ms)}" if judged else "",
        trust=clean_or_dash(judgement.progress.trust, 20),
        sentence=clean(judgement.sentence),
        aside=decisions.aside(judgement, times),
    )


def anchor_of(run_id: str) -> str:
    """An id for links: letters, digits and dashes only, whatever the cluster is called."""
    return "run-" + re.sub(r"[^A-Za-z0-9]+", "-", run_id[:120]).strip("-").lower()


def build_card(judgement: Judgement, unit: Unit, times: Times, beyond: str = "") -> Card:
    """The run in full. `beyond`: what its processes did outside its allocation, as a sentence."""
    row = build_row(judgement, unit, times)
    ordered = sorted(judgement.findings, key=lambda f: (not f.hard, -abs(f.weight), f.check))
    against = [f for f in ordered if f.hard or f.weight >= 0][:MOST_FINDINGS]
    favour = [f for f in ordered if not f.hard and f.weight < 0][:MOST_FINDINGS]
    return Card(
        row=row,
        lead=_lead(row.sentence, judgement),
        title=f"Job {row.job}" + (f" · {row.name}" if row.name != "–" else ""),
        classes=tuple(clean(name, 40) for name in judgement.classes[:MOST_WORDS]),
        facts=_facts(judgement, unit, times),
        unexplained=sentences.unexplained(judgement, unit, beyond),
        bar=bars.build_bar(bars.shown_ledger(judgement), unit, _drawn_bounds(judgement)),
        ledger=_ledger(judgement, unit),
        imbalance=sentences.imbalance(judgement, unit),
        timeline=_timeline(judgement, unit, times),
        against=tuple(_finding(f, unit, decisions.of_finding(f, judgement)) for f in against),
        favour=tuple(_finding(f, unit) for f in favour),
        no_favour=_NOTHING_FOR if against and not favour and judgement.asks else "",
        clears=_clears(against),
        unseen=tuple(clean(note) for note in judgement.notes[:MOST_WORDS]),
        smallest=sentences.smallest(judgement, unit),
        remarks=sentences.remarks(judgement),
        remedy=sentences.remedy(judgement),
        site=decisions.remarks(judgement, times),
    )


def _lead(sentence: str, judgement: Judgement) -> str:
    """What stands on top: the first sentence, and of the others those that are not among what the numbers
    show."""
    first, *rest = _ENDS.split(sentence)
    said = " ".join(clean(f.sentence) for f in judgement.findings)
    return " ".join([first, *(part for part in rest if part not in said)])


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
        *repeats.facts(judgement, unit),
        _price(judgement),
        *sizes.facts(judgement),
    )


def _logged(judgement: Judgement) -> Fact:
    progress = judgement.progress
    said = words.plural(progress.n_points, "point") if progress.n_points else "none found"
    if progress.units is not None and progress.n_points:
        said = f"{repeats.many(progress.units, judgement)} in {said}"
    more = len(progress.sources) - MOST_SOURCES
    sources = ", ".join(shorten(source, 120) for source in progress.sources[:MOST_SOURCES]) or "no source"
    others = f" and {words.plural(more, 'more source')}" if more > 0 else ""
    return Fact("Progress logged", said, f"{sources}{others}; log: {_trust(progress.trust)}")


def _trust(trust: str) -> str:
    """The word and what it says."""
    return f"{clean_or_dash(trust, 20)}" + (f": {words.TRUST[trust]}" if trust in words.TRUST else "")


def _price(judgement: Judgement) -> Fact:
    cost = judgement.cost
    if cost.value is None:
        why = (
            "no progress was logged"
            if judgement.progress.n_points == 0
            else "too little work or progress to learn it"
        )
        return Fact("Price of progress", "not known", why)
    spread = f" ± {words.number(100 * cost.rel_sigma)} %" if cost.rel_sigma is not None else ""
    value = words.measure(cost.value, clean(cost.unit, 30)) + spread
    source = words.COST_SOURCES.get(cost.source, clean(cost.source, 40))
    learnt = f", {words.plural(cost.n, 'interval')}" if cost.n else ""
    return Fact("Price of progress", value, f"from {source}{learnt}")


def _drawn_bounds(judgement: Judgement) -> Bounds | None:
    return None if bars.is_unmatched(judgement) else judgement.unexplained


def _ledger(judgement: Judgement, unit: Unit) -> tuple[Fact, ...]:
    ledger = bars.shown_ledger(judgement)
    whole = sum(ledger.values())
    notes = {name: words.percent(bars.of(ledger, name), whole) for name in words.BAR_ORDER}
    notes[Account.PROGRESS.value] += repeats.beside_progress(judgement, unit)
    return tuple(
        Fact(name, unit.full(bars.of(ledger, name)), notes[name])
        for name in words.BAR_ORDER
        if bars.of(ledger, name) != 0
    )


def _finding(finding: Finding, unit: Unit, explained: str = "") -> FindingView:
    said = "a fact that stands by itself" if finding.hard else _strength(finding.weight)
    return FindingView(
        check=clean(finding.check, 60),
        family=finding.family.value,
        sentence=clean(finding.sentence),
        strength=f"{said}; {_sure(finding.confidence)}",
        hard=finding.hard,
        evidence=tuple(
            EvidenceView(
                clean(e.what, 240),
                words.amount(e.value, clean(e.unit, 30), unit),
                clean(e.source, 200),
                clean(e.see, _COMMAND),
                clean(e.clears, 400),
            )
            for e in finding.evidence[:MOST_EVIDENCE]
        ),
        attack=clean(attack.spell(finding.attack[:MOST_WORDS]), LONG) if _is_strong(finding) else "",
        explained=explained,
    )


def _is_strong(finding: Finding) -> bool:
    """Whether it may be called by the name of what it would be: a hint may not."""
    return finding.hard or finding.weight >= 3


def _sure(confidence: float) -> str:
    """How sure the check is that the fact is as stated: by judgement, so in words and not in percent."""
    return "certain" if confidence >= 0.97 else "likely" if confidence >= 0.8 else "possible"


def _strength(weight: float) -> str:
    """Weights are natural logs of odds by judgement: 1 is about 3 to 1, 3 about 20 to 1."""
    size = abs(weight)
    word = "weak" if size < 1 else "moderate" if size < 3 else "strong"
    return f"{word} evidence" if size >= 0.1 else "a remark, no evidence"


def _clears(against: list[Finding]) -> tuple[str, ...]:
    said = [clean(e.clears, 400) for f in against for e in f.evidence if e.clears.strip()]
    return tuple(dict.fromkeys(said))[:MOST_WORDS]


def _timeline(judgement: Judgement, unit: Unit, times: Times) -> TimelineView | None:
    timeline = series.shown_timeline(judgement)
    if timeline is None or timeline.slot_s <= 0 or not timeline.power_w:
        return None
    logged = judgement.progress.unit
    frame = charts.Frame(times, unit, repeats.plural_unit(logged) if logged else "")
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
            EventView(n, _when(e, timeline, times), clean(e.lane, SHORT), clean(e.text, 240))
            for n, e in enumerate(events, 1)
        ),
        ties=tuple(t for t in words.TIES if any(f"({t})" in e.text for e in events)),
        more_events=f"{words.plural(more, 'more event')} in the document" if more > 0 else "",
    )


def _when(event: TimelineEvent, timeline: Timeline, times: Times) -> str:
    """Times of day; with the date where the run goes on past midnight, with seconds where any has them."""
    day = times.full(timeline.start_at)[:10]
    moments = (m for e in timeline.events for m in (times.moment(e.at), times.moment(e.until_at)))
    exact = any(m is not None and m.second for m in moments)
    said = [
        (times.clock(at) if exact else times.full(at)[11:]) if times.full(at)[:10] == day else times.full(at)
        for at in (event.at, event.until_at)
        if at is not None
    ]
    return " to ".join(said)
